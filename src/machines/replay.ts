import { attemptAfter, findEdge, hasTag } from './edges.ts'
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

const unborn: Replayed = { state: 'new', seq: 0, attempt: 0, leaseToken: null, startedAt: null, finishedAt: null }

/** Takes a history through the machine, from `new`; `faults` says, in words, where it is not one the machine could have made. */
export function replay(history: readonly ReplayedEvent[], maxAttempts: number): { end: Replayed; faults: string[] } {
  const faults: string[] = []
  let job = unborn
  for (const row of history) {
    if (row.seq !== job.seq + 1) faults.push(`after seq ${job.seq} comes seq ${row.seq}`)
    const from = row.from ?? 'new'
    if (from !== job.state) faults.push(`seq ${row.seq} begins in ${from}, but the job was ${job.state}`)
    const edge = [false, true]
      .map((delayed) => findEdge(job.state, { type: row.event, delayed }, { attempt: job.attempt, maxAttempts }))
      .find((found) => found?.to === row.to)
    if (!edge)
      faults.push(
        `seq ${row.seq} takes ${job.state} to ${row.to} by ${row.event}, which is no edge at attempt ${job.attempt} of ${maxAttempts}`,
      )
    const attempt = edge ? attemptAfter(edge.attempt, job.attempt) : row.attempt
    if (row.attempt !== attempt) faults.push(`seq ${row.seq} has attempt ${row.attempt}, the machine ${attempt}`)
    job = after(job, row, attempt)
  }
  return { end: job, faults }
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
