import { attemptAfter, findEdge, hasTag, jobStates } from './edges.ts'
import type { EventType, JobNode, JobState } from './job.ts'

/** One row of a job's history, as far as the machine can tell whether it is right. */
export interface ReplayedEvent {
  readonly seq: number
  readonly event: EventType
  readonly from: JobState | null
  readonly to: JobState
  /** After the transition. */
  readonly attempt: number
  /** Epoch ms. */
  readonly at: number
}

/** Where a history leads: what the job's row must be. */
export interface Replayed {
  readonly state: JobNode
  readonly seq: number
  readonly attempt: number
  /** The `seq` of the lease that is held; null where none is. */
  readonly leaseToken: number | null
  readonly startedAt: number | null
  readonly finishedAt: number | null
}

/** A job before its first event. */
export const unborn: Replayed = {
  state: 'new',
  seq: 0,
  attempt: 0,
  leaseToken: null,
  startedAt: null,
  finishedAt: null,
}

/**
 * Takes one row of a history through the machine, from where those before it led; calls `tell` with each fault that makes it one which the
 * machine could not have written, and goes on from what it says.
 */
export function replay(
  job: Replayed,
  row: ReplayedEvent,
  maxAttempts: number,
  tell: (fault: string) => void,
): Replayed {
  if (!jobStates.includes(row.to)) {
    tell(`seq ${row.seq} leads to "${row.to}", and there is no such state`)
    return { ...job, seq: row.seq }
  }
  if (row.seq !== job.seq + 1) tell(`after seq ${job.seq} comes seq ${row.seq}`)
  const from = row.from ?? 'new'
  if (from !== job.state) tell(`seq ${row.seq} begins in ${from}, but seq ${job.seq} ended in ${job.state}`)
  const edge = [false, true]
    .map((delayed) => findEdge(job.state, { type: row.event, delayed }, { attempt: job.attempt, maxAttempts }))
    .find((found) => found?.to === row.to)
  if (!edge) {
    tell(
      `seq ${row.seq} takes ${job.state} to ${row.to} by ${row.event}, which is no edge at attempt ${job.attempt} of ${maxAttempts}`,
    )
  }
  const attempt = edge ? attemptAfter(edge.attempt, job.attempt) : row.attempt
  if (row.attempt !== attempt) tell(`seq ${row.seq} has attempt ${row.attempt}, the machine ${attempt}`)
  return after(job, row, attempt)
}

function after(job: Replayed, { seq, at, from, to }: ReplayedEvent, attempt: number): Replayed {
  const isHeld = hasTag(to, 'held')
  const begunAnew = from !== null && hasTag(from, 'ended')
  return {
    state: to,
    seq,
    attempt,
    leaseToken: isHeld ? (job.leaseToken ?? seq) : null,
    startedAt: hasTag(to, 'executing') ? at : begunAnew ? null : job.startedAt,
    finishedAt: hasTag(to, 'ended') ? at : null,
  }
}
