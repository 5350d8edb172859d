import type { Cause } from '../../machines/cause.ts'
import { countAfter, describeState, type Edge, eventsFrom, findEdge } from '../../machines/edges.ts'
import { jobEvents } from '../../machines/events.ts'
import type { EventType, JobEvent, JobState } from '../../machines/job.ts'
import type { HistoryEvent, PlaceInLine } from '../../persistence/store.ts'
import { adviceFor } from './advice.ts'
import { nextRun } from './earliest.ts'
import { type Facts, factsOf, type Snapshot, type WorkerHolder } from './facts.ts'
import { type Happened, recount, toHappened } from './happened.ts'
import { explainLateStart } from './late-start.ts'
import type { Obstacle, ObstacleCode } from './obstacle.ts'
import { obstaclesTo, obstaclesToRun } from './obstacles.ts'
import { explainSchedule } from './scheduled.ts'
import { explainSnoozes } from './snoozing.ts'
import { sayWarning } from './succeeded.ts'
import { explainSuspect } from './suspicion.ts'
import { ago, number, sayInstant, sentence } from './text.ts'
import { listHolders } from './workers.ts'

export type { Cause, Happened, Obstacle, ObstacleCode, PlaceInLine }

/** An event that the machine allows in a job's state. */
export interface NextEvent {
  readonly event: EventType
  /** The state that it leads to, as things are now. */
  readonly to: JobState
  readonly cause: Cause
  /** Whether it can happen now; null if this process does not know. */
  readonly possible: boolean | null
  /** Why not. */
  readonly obstacles: readonly Obstacle[]
  readonly sentence: string
}

/** Why a job is in its state, what can happen next, and what prevents it. A snapshot; instants are epoch ms. */
export interface Explanation {
  /** The instant of the snapshot: what the sentences call now. */
  readonly at: number
  readonly jobId: number
  readonly state: JobState
  /** What the state means. */
  readonly meaning: string
  /** All of it in a few sentences, the cause first. */
  readonly summary: string
  /** What to do about it. */
  readonly advice: string
  /** What brought the job to its state. */
  readonly because: Happened
  /** The end of the last attempt that failed, also from before a requeue; null if none has. */
  readonly lastFailure: Happened | null
  /** Every event that the machine allows now, in its order. */
  readonly next: readonly NextEvent[]
  /** What prevents the next run of the job. */
  readonly obstacles: readonly Obstacle[]
  /**
   * Who occupies the workers, if none is free for it: at most ten, first those that ignore their signal, then those that have run longest.
   */
  readonly workers: readonly WorkerHolder[]
  /** How often its idempotency key was used again, so that this job was the answer, and when last; null if it was not. */
  readonly replays: { readonly count: number; readonly lastAt: number } | null
  /** Null if it does not wait in line. */
  readonly line: PlaceInLine | null
  /** Null if nobody knows: someone must do something first, other jobs run before it, no worker is free, or it never runs again. */
  readonly earliestRunAt: number | null
  /** The same in words. */
  readonly earliest: string
  /** The time from which retention removes it; null if it does not, or this process does not know. */
  readonly removedAt: number | null
  /** The trace in which it was enqueued, for a tracing tool; null if there was none. */
  readonly traceId: string | null
}

/** Pure: the same snapshot gives the same explanation. */
export function explain(snapshot: Snapshot): Explanation {
  const facts = factsOf(snapshot)
  const { job, lastEvent, lastFailure, line, replays } = facts.jobFacts
  const obstacles = obstaclesToRun(facts)
  const next = nextRun(facts, obstacles)
  return {
    at: facts.now,
    jobId: job.id,
    state: job.state,
    meaning: describeState(job.state),
    summary: summarize(facts, obstacles),
    advice: adviceFor(facts, obstacles),
    because: toHappened(lastEvent, facts),
    lastFailure: lastFailure && toHappened(lastFailure, facts),
    next: eventsFrom(job.state).map((event) => toNext(event, facts, toTell(obstacles))),
    obstacles,
    workers: facts.server && obstacles.some(({ code }) => code === 'no_free_worker') ? listHolders(facts.server) : [],
    replays,
    line,
    earliestRunAt: next.at,
    earliest: next.when,
    removedAt: removedAt(facts),
    traceId: job.traceId,
  }
}

/** `told`: obstacles that the summary names. */
function toNext(event: EventType, facts: Facts, told: readonly Obstacle[]): NextEvent {
  const { job } = facts.jobFacts
  const edge = findEdge(
    job.state,
    { type: event, crashed: true, blocked: false, delayed: job.runAt > facts.now } as JobEvent,
    job,
  )!
  const obstacles = obstaclesTo(event, facts)
  const possible = isPossible(obstacles)
  const verdict = sayPossible(possible, obstacles, told)
  const happening = `${jobEvents[event].next} (${event}): the job becomes ${edge.to}${consequence(edge, facts)}`
  return {
    event,
    to: edge.to,
    cause: jobEvents[event].cause,
    possible,
    obstacles,
    sentence: `${sentence(happening)} ${verdict}.`,
  }
}

function sayPossible(possible: boolean | null, obstacles: readonly Obstacle[], told: readonly Obstacle[]): string {
  if (possible) return 'It can happen now'
  if (possible === null) return `This process does not know whether it can happen now: ${sayAll(obstacles)}`
  const others = obstacles.filter(({ message }) => !told.some((each) => each.message === message))
  if (others.length === 0) return 'Not now, as the summary says'
  return `Not now: ${sayAll(others)}`
}

function isPossible(obstacles: readonly Obstacle[]): boolean | null {
  if (obstacles.length === 0) return true
  return obstacles.every(({ code }) => code === 'server_elsewhere' || code === 'node_elsewhere') ? null : false
}

/** What an edge does to the attempts, and how it depends on them. */
function consequence({ conditions, attempt }: Edge, { jobFacts: { job } }: Facts): string {
  const of = (n: number) => `attempt ${number(n)} of ${number(job.maxAttempts)}`
  const last = conditions.at(-1)
  if (last?.guard === 'attemptsRemain') return `, because ${of(job.attempt)} is ${last.holds ? 'not ' : ''}the last`
  if (last?.guard === 'crashed' && last.holds) return `, because that is the last crash that it may have`
  switch (attempt) {
    case 'keep':
      return ''
    case 'count':
      return `, and ${of(countAfter(attempt, job.attempt))} begins`
    case 'giveBack':
      return ', and this attempt does not count'
    case 'forget':
      return ', and its attempts start over'
  }
}

function summarize(facts: Facts, obstacles: readonly Obstacle[]): string {
  const { job, lastEvent } = facts.jobFacts
  const told = toTell(obstacles)
  const is = eventsFrom(job.state).length === 0 ? 'has' : 'is'
  const happened = recount(lastEvent, facts)
  // The blocker comes first.
  const leads = told.length > 0 && (!facts.isExecuting || told[0]?.code === 'storage_trouble')
  const [first, second] = leads ? [sayAll(told), happened] : [happened, sayAll(told)]
  const odd = is === 'has' ? sayWarning(facts) : ''
  const subject = `Job ${job.id} (${job.type}) ${is} ${job.state}`
  return [
    odd ? `${subject}${odd}. ${sentence(recount(withoutNote(lastEvent), facts))}` : `${subject}: ${first}.`,
    second && sentence(second),
    explainSchedule(facts),
    explainSnoozes(facts),
    explainLateStart(facts),
    odd.includes('idempotency key') ? '' : explainReplays(facts),
    leftBehind(facts),
    explainSuspect(facts),
    nextRun(facts, obstacles).sentence,
    fate(facts),
    ...(facts.server?.warnings ?? []).map(sentence),
  ]
    .filter(Boolean)
    .join(' ')
}

/** The last sentence already says when it is due, and both say that it has ended. */
function toTell(obstacles: readonly Obstacle[]): readonly Obstacle[] {
  return obstacles.filter(({ code }) => code !== 'not_due' && code !== 'ended')
}

function withoutNote({ note: _, ...event }: HistoryEvent): HistoryEvent {
  return event
}

function sayAll(obstacles: readonly Obstacle[]): string {
  return obstacles.map(({ message }) => message).join('; ')
}

/** The handler of a finished attempt that is still running. */
function leftBehind({ jobFacts: { lease, lastEvent }, server, now }: Facts): string {
  const left = server?.attempts.find(
    ({ leaseToken, phase }) =>
      (phase === 'called' || phase === 'stuck') &&
      leaseToken !== lease?.token &&
      // A later attempt was leased after the file was read.
      leaseToken <= lastEvent.seq,
  )
  if (!left) return ''
  const told = left.aborted ? `, told to stop ${ago(left.aborted.at, now)},` : ''
  return `The handler of an attempt that is over${told} has not ended: it occupies a worker until it does, and can no longer record a result.`
}

/** Says that a caller who used its key again created no new job, and may believe that it did. */
function explainReplays({ jobFacts: { replays }, now }: Facts): string {
  if (!replays) return ''
  const times = replays.count === 1 ? 'once' : `${number(replays.count)} times`
  return `Its idempotency key was used again ${times}, ${replays.count === 1 ? '' : 'the last time '}${ago(replays.lastAt, now)}: the answer was this job, and no new one was made.`
}

function removedAt({ jobFacts: { job }, server }: Facts): number | null {
  if (job.finishedAt === null || !server || server.retentionMs === 0) return null
  return job.finishedAt + server.retentionMs
}

function fate(facts: Facts): string {
  const at = removedAt(facts)
  if (at === null) return ''
  if (at <= facts.now) return 'It may be removed, with its history, at any moment.'
  return `It is removed, with its history, ${sayInstant(at, facts.now)}, or soon after.`
}
