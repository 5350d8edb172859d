import { countAfter, type Edge, findEdge, hasTag, jobStates } from './edges.ts'
import type { EventType, JobEvent, JobNode, JobState } from './job.ts'

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
}

/** A job before its first event. */
export const initialJob: ReplayState = {
  state: 'new',
  seq: 0,
  attempt: 0,
  crashes: 0,
  leaseToken: null,
  startedAt: null,
  finishedAt: null,
}

/**
 * Applies one row of a history to the machine, after those before it. Calls `tell` with each fault that the machine could not have written,
 * and continues from what the row says.
 */
export function replay(
  job: ReplayState,
  row: ReplayEvent,
  maxAttempts: number,
  tell: (fault: string) => void,
): ReplayState {
  if (!jobStates.includes(row.to)) {
    tell(`seq ${row.seq} leads to "${row.to}", which is not a state`)
    return { ...job, seq: row.seq }
  }
  if (row.seq !== job.seq + 1) tell(`seq ${row.seq} follows seq ${job.seq}`)
  const from = row.from ?? 'new'
  if (from !== job.state) tell(`seq ${row.seq} begins in ${from}, but seq ${job.seq} ended in ${job.state}`)
  const edge = edgeOf(job, row, maxAttempts)
  if (!edge) {
    tell(
      `seq ${row.seq} goes from ${job.state} to ${row.to} by ${row.event}, which is not an edge at attempt ${job.attempt} of ${maxAttempts} and ${job.crashes} crashes`,
    )
  }
  const attempt = edge ? countAfter(edge.attempt, job.attempt) : row.attempt
  if (row.attempt !== attempt) tell(`seq ${row.seq} has attempt ${row.attempt}, the machine ${attempt}`)
  return after(job, row, { attempt, crashes: edge ? countAfter(edge.crashes, job.crashes) : job.crashes })
}

/** A history does not store the facts of its events, but where they led and to which attempt. No two edges have both in common. */
function edgeOf(job: ReplayState, row: ReplayEvent, maxAttempts: number): Edge | undefined {
  const found = [false, true]
    .map((is) => ({ type: row.event, delayed: is, crashed: is }) as JobEvent)
    .map((event) => findEdge(job.state, event, { ...job, maxAttempts }))
    .filter((edge) => edge?.to === row.to)
  return found.find((edge) => countAfter(edge!.attempt, job.attempt) === row.attempt) ?? found[0]
}

function after(
  job: ReplayState,
  { seq, at, from, to }: ReplayEvent,
  counts: Pick<ReplayState, 'attempt' | 'crashes'>,
): ReplayState {
  const isHeld = hasTag(to, 'held')
  const begunAnew = from !== null && hasTag(from, 'ended')
  return {
    state: to,
    seq,
    ...counts,
    leaseToken: isHeld ? (job.leaseToken ?? seq) : null,
    startedAt: hasTag(to, 'executing') ? at : begunAnew ? null : job.startedAt,
    finishedAt: hasTag(to, 'ended') ? at : null,
  }
}
