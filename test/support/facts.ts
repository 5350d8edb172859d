import { countAfter, findEdge, hasTag } from '../../src/machines/edges.ts'
import { causeOf } from '../../src/machines/events.ts'
import type { EventType, JobEvent, JobNode, JobState } from '../../src/machines/job.ts'
import type { ServerFacts, Snapshot } from '../../src/observe/explain/facts.ts'
import type { HistoryEvent, JobFacts, Owner } from '../../src/persistence/store.ts'

/** Ten in the morning of some day. */
export const now = Date.UTC(2030, 0, 1, 10)

/** The serving node. */
export const owner: Owner = { pid: 4711, host: 'db1', startedAt: '2030-01-01T08:00:00.000Z' }

/** The usual path of events to each state. */
const ways: Readonly<Record<JobState, readonly EventType[]>> = {
  blocked: ['enqueue'],
  scheduled: ['enqueue'],
  queued: ['enqueue'],
  leased: ['enqueue', 'lease'],
  running: ['enqueue', 'lease', 'start'],
  retrying: ['enqueue', 'lease', 'start', 'fail'],
  succeeded: ['enqueue', 'lease', 'start', 'succeed'],
  dead: ['enqueue', 'lease', 'start', 'reject'],
  cancelled: ['enqueue', 'cancel'],
}

const none = { count: 0, more: false }

type AttemptFacts = ServerFacts['attempts'][number]

export interface Given {
  readonly state?: JobState
  /** The events that led to `state`, if not the usual ones. */
  readonly events?: readonly EventType[]
  readonly job?: Partial<JobFacts['job']>
  readonly jobFacts?: Partial<Omit<JobFacts, 'job'>>
  /** Null for a producer's view. */
  readonly server?: Partial<ServerFacts> | null
  /** The attempt of the job's own lease; by default `called` if the job runs. */
  readonly attempt?: Partial<AttemptFacts> | null
}

/**
 * Facts of job 7 of type `mail`, with 4 attempts, in `state` (queued by default) for 12 s, seen by a serving server with ten free workers.
 * Its history is walked through the machine.
 */
export function someFacts(given: Given = {}): Snapshot {
  const state = given.state ?? 'queued'
  const at = now - 12_000
  const maxAttempts = given.job?.maxAttempts ?? 4
  const events = given.events ?? ways[state]
  const delayed = events[1] === 'due' || state === 'scheduled'
  const { history, crashes } = walk(events, { maxAttempts, delayed, blocked: state === 'blocked', at })
  const lastEvent = given.jobFacts?.lastEvent ?? history.at(-1)!
  const isHeld = state === 'leased' || state === 'running'
  const lease = isHeld
    ? { token: history.findLast(({ event }) => event === 'lease')!.seq, expiresAt: now + 20_000, owner }
    : null
  const isOver = state === 'succeeded' || state === 'dead' || state === 'cancelled'
  const attempt: AttemptFacts = {
    leaseToken: lease?.token ?? 0,
    phase: 'called',
    timeoutMs: 300_000,
    aborted: null,
    stall: { stoppedMs: 0, blockedMs: 0 },
    ...given.attempt,
  }
  return {
    now,
    jobFacts: {
      job: {
        id: 7,
        type: 'mail',
        queue: 'default',
        state,
        priority: 0,
        attempt: lastEvent.attempt,
        maxAttempts,
        crashes,
        timeoutMs: null,
        runAt: state === 'scheduled' || state === 'retrying' ? now + 200_000 : at,
        createdAt: at,
        startedAt: history.some(({ event }) => event === 'start') ? at : null,
        finishedAt: isOver ? at : null,
        idempotencyKey: null,
        traceId: null,
        ...given.job,
      },
      fault: null,
      isUnhandled: false,
      isSuspect: state === 'queued' && crashes >= 2,
      exclusive: null,
      suspectsAhead: { count: 0, more: false },
      lease,
      lastEvent,
      lastFailure: history.findLast(({ error }) => error) ?? null,
      lastEnd: history.findLast(({ from }) => from === 'running') ?? null,
      snoozes: {
        count: history.filter(({ event }) => event === 'snooze').length,
        since: history.find(({ event }) => event === 'snooze')?.at ?? null,
      },
      uniqueKey: state === 'blocked' ? { key: 'k', holder: { id: 5, state: 'running' } } : null,
      replays: null,
      line: state === 'queued' ? { ahead: none, higher: none, highest: 0, queues: { count: 1, more: false } } : null,
      newestOwner: owner,
      ...given.jobFacts,
    },
    server:
      given.server === null
        ? null
        : {
            phase: 'serving',
            hasRecovered: true,
            trouble: null,
            warnings: [],
            abortsAt: null,
            file: '/data/jobs.db',
            hasHandler: true,
            types: ['mail', 'report'],
            retentionMs: hasTag(state, 'expendable') ? 604_800_000 : 0,
            bulk: null,
            slots: 10,
            busy: 0,
            holders: [],
            attempts: state === 'running' && given.attempt !== null ? [attempt] : [],
            outcomes: [],
            ...given.server,
          },
  }
}

function walk(
  events: readonly EventType[],
  given: { maxAttempts: number; delayed: boolean; blocked: boolean; at: number },
): { history: HistoryEvent[]; crashes: number } {
  const history: HistoryEvent[] = []
  let from: JobNode = 'new'
  let attempt = 0
  let crashes = 0
  for (const [index, type] of events.entries()) {
    const event = { type, delayed: given.delayed, blocked: given.blocked, crashed: true } as JobEvent
    const edge = findEdge(from, event, { attempt, maxAttempts: given.maxAttempts, crashes })
    if (!edge) throw new Error(`${from} takes no ${type}`)
    attempt = countAfter(edge.attempt, attempt)
    crashes = countAfter(edge.crashes, crashes)
    history.push({
      seq: index + 1,
      event: type,
      from: from === 'new' ? null : from,
      to: edge.to,
      attempt,
      at: given.at,
      ...causeOf(type),
      error: errorOf(type, from, edge.to),
    })
    from = edge.to
  }
  return { history, crashes }
}

function errorOf(event: EventType, from: JobNode, to: JobNode): HistoryEvent['error'] {
  if (event === 'fail') return { name: 'TypeError', message: 'not yet' }
  if (event === 'reject') return { name: 'PermanentError', message: 'the mailbox is gone' }
  if (event !== 'expire' || from !== 'running') return null
  const last = ', for the fourth time; it ran alone, so it counts as the cause (correct its handler, then requeue it)'
  return {
    name: 'ProcessEndedError',
    message: `the process ended while it ran${to === 'dead' ? last : '; it ran alone'}`,
  }
}
