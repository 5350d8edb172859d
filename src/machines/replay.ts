import { countAfter, type Edge, findEdge, hasTag, jobStates } from './edges.ts'
import type { EventType, JobEvent, JobNode, JobState } from './job.ts'

/** A value that an `amend` replaced, and the one that took its place. */
interface Change {
  readonly from: number
  readonly to: number
}

/**
 * What an `amend` changed: `runAt`, `priority`, `maxRetries`, and `payload`, of which the one before is kept elsewhere, unless a history says
 * with `payloadGone` that it no longer is.
 */
export type Changes = Readonly<Record<string, Change | true>>

/** One row of a job's history, with what the machine can check. */
export interface ReplayEvent {
  readonly seq: number
  readonly event: EventType
  readonly from: JobState | null
  readonly to: JobState
  /** After the transition. */
  readonly attempt: number
  /** Epoch ms. */
  readonly at: number
  /** Of an `amend`. */
  readonly changes?: Changes
}

/** The state to which a history leads: what the job's row must be. */
export interface ReplayState {
  readonly state: JobNode
  readonly seq: number
  readonly attempt: number
  readonly crashes: number
  /** The `seq` of the current lease; null if there is none. */
  readonly leaseToken: number | null
  readonly startedAt: number | null
  readonly finishedAt: number | null
  readonly maxAttempts: number
  /** Null if no event tells. */
  readonly priority: number | null
  readonly runAt: number | null
  /** How often its payload was changed. */
  readonly payloads: number
}

/** A job before its first event; `maxAttempts` as it was enqueued. */
export function initialJob(maxAttempts: number): ReplayState {
  return {
    state: 'new',
    seq: 0,
    attempt: 0,
    crashes: 0,
    leaseToken: null,
    startedAt: null,
    finishedAt: null,
    maxAttempts,
    priority: null,
    runAt: null,
    payloads: 0,
  }
}

/**
 * Applies one row of a history to the machine, after those before it. Calls `tell` with each fault that the machine could not have written,
 * and continues from what the row says.
 */
export function replay(job: ReplayState, row: ReplayEvent, tell: (fault: string) => void): ReplayState {
  if (!jobStates.includes(row.to)) {
    tell(`seq ${row.seq} leads to "${row.to}", which is not a state`)
    return { ...job, seq: row.seq }
  }
  if (row.seq !== job.seq + 1) tell(`seq ${row.seq} follows seq ${job.seq}`)
  const from = row.from ?? 'new'
  if (from !== job.state) tell(`seq ${row.seq} begins in ${from}, but seq ${job.seq} ended in ${job.state}`)
  const edge = edgeOf(job, row)
  if (!edge) {
    tell(
      `seq ${row.seq} goes from ${job.state} to ${row.to} by ${row.event}, which is not an edge at attempt ${job.attempt} of ${job.maxAttempts} and ${job.crashes} crashes`,
    )
  }
  const attempt = edge ? countAfter(edge.attempt, job.attempt) : row.attempt
  if (row.attempt !== attempt) tell(`seq ${row.seq} has attempt ${row.attempt}, the machine ${attempt}`)
  const counts = { attempt, crashes: edge ? countAfter(edge.crashes, job.crashes) : job.crashes }
  return { ...after(job, row, counts), ...termsAfter(job, row, tell) }
}

/** A history does not store the facts of its events, but where they led and to which attempt. No two edges have both in common. */
function edgeOf(job: ReplayState, row: ReplayEvent): Edge | undefined {
  const found = [{}, { delayed: true, crashed: true }, { blocked: true }]
    .map((facts) => ({ type: row.event, delayed: false, crashed: false, blocked: false, ...facts }) as JobEvent)
    .map((event) => findEdge(job.state, event, job))
    .filter((edge) => edge?.to === row.to)
  return found.find((edge) => countAfter(edge!.attempt, job.attempt) === row.attempt) ?? found[0]
}

function after(
  job: ReplayState,
  { seq, at, from, to }: ReplayEvent,
  counts: Pick<ReplayState, 'attempt' | 'crashes'>,
): Omit<ReplayState, keyof ReturnType<typeof termsAfter>> {
  const isHeld = hasTag(to, 'held')
  const begunAnew = from !== null && hasTag(from, 'ended') && !hasTag(to, 'ended')
  return {
    state: to,
    seq,
    ...counts,
    leaseToken: isHeld ? (job.leaseToken ?? seq) : null,
    startedAt: hasTag(to, 'executing') ? at : begunAnew ? null : job.startedAt,
    finishedAt: hasTag(to, 'ended') ? at : null,
  }
}

/** What an `amend` may change. Another event may set `run_at`, to a time that the history does not keep. */
function termsAfter(
  { priority, maxAttempts, runAt, payloads }: ReplayState,
  { seq, event, from, to, changes = {} }: ReplayEvent,
  tell: (fault: string) => void,
) {
  const isSet = from !== null && (hasTag(from, 'ended') || (hasTag(from, 'executing') && hasTag(to, 'timed')))
  if (event !== 'amend') return { priority, maxAttempts, runAt: isSet ? null : runAt, payloads }
  if (Object.keys(changes).length === 0) tell(`seq ${seq} changed something, and does not say what`)
  const next = (name: 'priority' | 'maxRetries' | 'runAt', known: number | null) => {
    const change = changes[name] as Change | undefined
    if (change && known !== null && change.from !== known)
      tell(`seq ${seq} changed ${name} from ${change.from}, and it was ${known}`)
    return change ? change.to : known
  }
  return {
    priority: next('priority', priority),
    maxAttempts: next('maxRetries', maxAttempts - 1)! + 1,
    runAt: next('runAt', runAt),
    payloads: payloads + Number('payload' in changes),
  }
}
