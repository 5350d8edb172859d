import type { EventType, JobNode, JobState } from '../machines/job.ts'
import type { HistogramSnapshot } from './histogram.ts'

/** How often an edge was taken since the file was made. Retention counts as an edge to nowhere. */
export interface EdgeCount {
  readonly from: JobNode
  readonly event: EventType | typeof retention
  readonly to: JobState | null
  readonly count: number
}

/** The name under which `edge_counts` keeps what retention removed. It is not an event of the machine, since the job is gone. */
export const retention = 'retention'

/** How many jobs of a type are in a queue and a state. */
export interface CensusCount {
  readonly type: string
  readonly queue: string
  readonly state: JobState
  readonly count: number
}

/** The most pairs of type and queue that are counted separately. */
export const censusPairsMax = 200
/** The name for all other types and queues; no type or queue can have it. */
export const censusRest = '_other'

/**
 * The commits that wrote at least one event since the store was opened: how long each took, from the start of its transaction until it was
 * on disk, rollbacks included, and how many events it wrote. What retention removed counts as one event.
 */
export interface CommitStats {
  readonly durationMs: HistogramSnapshot
  readonly events: HistogramSnapshot
}

/** In bytes, as they are on disk now. */
export interface FileSizes {
  readonly database: number
  /** The write-ahead log: what was committed and not yet moved into the database. It keeps its size when it is restarted. */
  readonly wal: number
}
