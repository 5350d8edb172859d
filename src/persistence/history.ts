import type { EventCause } from '../machines/cause.ts'
import type { EventType, JobState } from '../machines/job.ts'
import type { ReplayEvent } from '../machines/replay.ts'
import type { StoredError } from '../machines/stored-error.ts'

/** One transition that a job made. `from` is null for the first. */
export interface HistoryEvent extends ReplayEvent, EventCause {
  readonly error: StoredError | null
  /** What the handler noted about the attempt that ended with it: what a receiver answered, why it asked to be run later. */
  readonly note?: string
}

/** Which edges a job took, each once. */
export interface JobPath {
  /** The last transition that is included. */
  readonly seq: number
  /** The first: 1, unless the job has more transitions than one request examines. */
  readonly since: number
  /** In the order in which they were last taken. */
  readonly steps: readonly {
    /** Null for the first transition. */
    readonly from: JobState | null
    readonly event: EventType
    readonly to: JobState
    readonly count: number
  }[]
}

/** One transition of any job. Its `id` is never used again, and is higher than those of the earlier transitions of the job. */
export interface Transition extends HistoryEvent {
  readonly id: number
  readonly jobId: number
  readonly type: string
  readonly queue: string
}

/**
 * One page, by rising `id`. To continue, pass `last` as `after`, or the id of any transition on the page. Nothing appears behind a cursor:
 * what is committed later has a higher id than everything on the page. So a reader that continues misses nothing and reads nothing twice.
 * For this a store may briefly hold back committed transitions while a commit with a lower id is open. A short page may have a successor;
 * only an empty one is the end for now.
 */
export interface TransitionPage {
  readonly transitions: readonly Transition[]
  readonly last: number
}
