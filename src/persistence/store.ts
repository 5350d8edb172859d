import type { BulkFilter } from '../job/filter.ts'
import type { EnqueuedJob, JobRow, NewJobRow } from '../job/row.ts'
import type { EventCause } from '../machines/cause.ts'
import type { Command } from '../machines/events.ts'
import type { EventType, JobNode, JobState } from '../machines/job.ts'
import type {
  DescribedError,
  Lease,
  LeasedJob,
  LeaseEvent,
  PrefetchLimits,
  Recovered,
  StoredError,
} from '../machines/lease.ts'
import type { ReplayEvent } from '../machines/replay.ts'
import type { HistogramSnapshot } from './histogram.ts'

export type { DescribedError, EnqueuedJob, JobRow, Lease, LeasedJob, LeaseEvent, NewJobRow, Recovered, StoredError }

/**
 * The result of an `enqueue`. The ids of new jobs rise within one call, in the order of its jobs. They may have gaps, and jobs that another
 * node stores later may have lower ones.
 * `conflict`: the key at `index` belongs to job `id` (null: to an earlier item) with other content. `full`: the limit on waiting jobs would
 * be exceeded, in all or (`queue`) in one queue; `depth` is the number that wait now.
 */
export type EnqueueResult =
  | { readonly outcome: 'stored'; readonly jobs: readonly EnqueuedJob[] }
  | { readonly outcome: 'conflict'; readonly index: number; readonly id: number | null }
  | { readonly outcome: 'full'; readonly queue: string | null; readonly depth: number }

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

export interface ListFilter extends BulkFilter {
  /** Only jobs with a lower id. */
  readonly before?: number
  readonly limit: number
}

/**
 * One page, newest first. Pass `next` as `before` to continue; it is null at the end. A short page may have a successor; it is only empty
 * if a long stretch has no match.
 */
export interface JobPage {
  readonly jobs: readonly JobRow[]
  readonly next: number | null
}

/**
 * A node: a process that serves the database and holds leases, by the name that it wrote there. It may have ended since; the store decides
 * which nodes are alive (`recoverOrphans`).
 */
export interface Owner {
  readonly pid: number
  readonly host: string
  readonly startedAt: string
}

/** What a node does for all: queue due jobs, take the leases of nodes that are gone, remove what ended long ago. */
export type Duty = 'promotion' | 'recovery' | 'retention'

/** A count; `more`: it stopped at a limit, and there are more. */
export interface Counted {
  readonly count: number
  readonly more: boolean
}

/** The place of a ready job: the jobs of its queue that are leased before it, those of them with a higher priority, and the queues that take turns, its own included. */
export interface PlaceInLine {
  readonly ahead: Counted
  readonly higher: Counted
  /** The highest priority of a ready job of its queue, its own included. */
  readonly highest: number
  readonly queues: Counted
}

/** How many of the newest events of a job are examined for failures, crashes and snoozes. */
export const jobFactsEventsMax = 1_000

/** Everything in the database that explains the state of a job, read at one instant. */
export interface JobFacts {
  readonly job: Pick<
    JobRow,
    | 'id'
    | 'state'
    | 'type'
    | 'queue'
    | 'priority'
    | 'attempt'
    | 'maxAttempts'
    | 'crashes'
    | 'timeoutMs'
    | 'runAt'
    | 'createdAt'
    | 'startedAt'
    | 'finishedAt'
    | 'idempotencyKey'
    | 'traceId'
  >
  /** What of it cannot be read, as a clause; null if all can. It is not run then. */
  readonly fault: string | null
  /** A server had no handler for its type, so it was set aside. */
  readonly isUnhandled: boolean
  /** It is to run alone. */
  readonly isSuspect: boolean
  /** The suspect that was started last and has not ended; null if there is none. */
  readonly exclusive: Pick<JobRow, 'id' | 'crashes' | 'startedAt' | 'timeoutMs'> | null
  /** Suspects in line that start before it. */
  readonly suspectsAhead: Counted
  /** `owner`: the node that holds it; null if it is not known. */
  readonly lease: { readonly token: number; readonly expiresAt: number; readonly owner: Owner | null } | null
  readonly lastEvent: HistoryEvent
  /** The end of the last attempt that failed, also from before a requeue. */
  readonly lastFailure: HistoryEvent | null
  /** The end of the last attempt, however it ended. */
  readonly lastEnd: HistoryEvent | null
  /** Attempts that ended with a snooze, and when the first of them did. */
  readonly snoozes: { readonly count: number; readonly since: number | null }
  /** How often its idempotency key was used again, so that this job was the answer, and when last; null if it was not. */
  readonly replays: { readonly count: number; readonly lastAt: number } | null
  /** Null if it is not ready, was set aside, or is a suspect. */
  readonly line: PlaceInLine | null
  /** The node that began to serve the database last; null if there was none. */
  readonly newestOwner: Owner | null
}

/** The name of the error of a job whose process ended while it ran. */
export const processEnded = 'ProcessEndedError'

export type { Command }

/** Selects jobs that match and whose state allows `command`. */
export interface MatchFilter extends ListFilter {
  readonly command: Command
}

/** Newest first. `from`: the highest id examined, null if there was none; `next` as in `JobPage`. */
export interface IdPage {
  readonly ids: readonly number[]
  readonly from: number | null
  readonly next: number | null
}

/** The result of a command: the job after it, or the state that does not allow it. */
export type CommandResult =
  | { readonly outcome: 'done'; readonly job: JobRow }
  | { readonly outcome: 'refused'; readonly state: JobState }
  | { readonly outcome: 'unknown' }

/** What the store reports by itself. */
export type StoreEvent =
  /** Leases of this process that ended without an outcome from it: the job was cancelled, or its lease expired. */
  | { readonly type: 'lost'; readonly leases: readonly (Lease & { readonly cancelled: boolean })[] }
  /**
   * Commits fail (`error`), or succeed again (null). Meanwhile writes are rejected or wait. `cause`: the disk is full, or another process
   * holds a lock on the file; undefined if it is neither.
   */
  | { readonly type: 'health'; readonly error: string | null; readonly cause?: 'full' | 'locked' | undefined }
  /** The event loop was blocked for `ms`; no lease was lost. */
  | { readonly type: 'stalled'; readonly ms: number }
  /** The wall clock jumped ahead or back by `ms`. Nothing is deleted until it has been steady for a while. */
  | { readonly type: 'clockJumped'; readonly ms: number }
  /** Something about the database files that the operator should know. */
  | { readonly type: 'file'; readonly message: string }
  /** Queued jobs without a handler here were set aside; they wait for a process that has one. */
  | { readonly type: 'unhandled'; readonly types: readonly string[]; readonly count: number }
  /** Queued jobs whose rows cannot be read were set aside; they wait until somebody has repaired them. */
  | { readonly type: 'unreadable'; readonly ids: readonly number[] }
  /** The store cannot continue and has committed nothing since: the process must exit with a non-zero code. */
  | { readonly type: 'fatal'; readonly error: Error }

/**
 * The invariants that a file can show. It cannot show what callers were told (I1), the order of starts, or how soon jobs end: tests with an
 * outside witness prove those.
 */
export const invariants = {
  I1: 'every job is there and complete',
  I2: 'every job was enqueued, and no id is used twice',
  I3: 'the history of each job is gap-free, and each step an edge of the machine',
  I4: 'replaying the history through the machine gives the row',
  I5: 'a job has a lease exactly while it is held, and one at most',
  I7: 'no job has more attempts than it may',
  I8: 'what was enqueued is there or was removed by retention',
  I9: 'there is one job for each idempotency key',
  I14: "SQLite's own checks find nothing, and the schema is the one that guards the file",
} as const

/** A broken invariant. */
export interface Violation {
  readonly invariant: keyof typeof invariants
  /** Null if it is about the whole file. */
  readonly jobId: number | null
  /** What is wrong, with the rows that show it. */
  readonly message: string
}

/** What a check of the whole database found. */
export interface VerifyReport {
  readonly jobs: number
  readonly events: number
  /** The first 1,000. */
  readonly violations: readonly Violation[]
  /** How many there are. */
  readonly violationCount: number
}

/** A backup that was made. */
export interface BackupReport {
  readonly bytes: number
  /** The highest ids in it. */
  readonly transitions: number
  readonly jobs: number
}

/**
 * Where jobs live. Each call is atomic and is on disk when its promise resolves; concurrent calls may share one commit, and none fails
 * because of another. Expected refusals are results. Calls reject only with `UnavailableError` or `StorageFullError` (nothing was stored),
 * or on a broken invariant.
 *
 * One or more nodes serve a database: processes that open it with handlers. Each lease belongs to the node that took it. A store for one
 * node need not record the owner of a lease; a store for several must.
 *
 * The store keeps time by itself: due jobs become `queued`, leases of this node are renewed, leases that no node renews expire, and
 * retention removes old jobs.
 */
export interface Store {
  /**
   * The id of the database at the time when a job was enqueued; together with the id of the job it is unique among all databases. A file
   * that has lost jobs, or is a restored backup, gets a new id, so that no pair is used twice.
   */
  databaseIdOf(jobId: number): string
  /** What an acknowledged write survives, in words, for the first line of the log. */
  readonly durability: string
  /** How far ahead of its slots it pays to lease. */
  readonly prefetch: PrefetchLimits

  /** Stores all or none. The result has the id of each job; callers must not compute one from another. */
  enqueue(jobs: readonly NewJobRow[]): Promise<EnqueueResult>

  /**
   * Leases up to `limit` queued jobs whose type is handled here: queues take turns; within a queue the order is priority, `run_at`, id.
   * With `wait` it resolves as soon as there is at least one job, however long that takes, or with none after `stopLeasing`. With `start`
   * the same commit starts them, for free workers that call the handler next.
   */
  lease(request: {
    readonly limit: number
    readonly wait: boolean
    readonly start?: boolean
  }): Promise<readonly LeasedJob[]>

  /** This node begins to stop. If it ends before it has released its jobs, their recovery counts no crash. */
  noteStop(): Promise<void>

  /** Answers waiting and later leases with no jobs. */
  stopLeasing(): Promise<void>

  /**
   * Commits what happened to leased jobs. Resolves with the events that were rejected: their lease was lost, or the machine has no such
   * edge.
   */
  apply(events: readonly LeaseEvent[]): Promise<readonly LeaseEvent[]>

  /** Stops renewing these leases: their workers are gone, and the jobs expire in time. */
  abandon(leases: readonly Lease[]): Promise<void>

  /**
   * An attempt with this timeout begins. Until the store sees it end, a loop that is blocked for no longer than that does not count as
   * hung.
   */
  letLive(timeoutMs: number): void

  /** For how long the event loop and the thread of the store have stalled in all, in ms; only stalls longer than half a second count. */
  readonly stalls: { loopMs(): number; threadMs(): number }

  /**
   * Takes the leases of nodes that are gone, and requeues their jobs. The store knows which nodes those are. On SQLite the lock on the file
   * proves that this node is the only one, so every lease that it finds is an orphan. A store that several nodes share takes the leases of
   * nodes that have closed, or have been silent for longer than a lease, and leaves the others alone. Call it once, before `lease`; a
   * shared store repeats it by itself.
   */
  recoverOrphans(onProgress?: (moved: number) => void): Promise<Recovered>

  /** Applies a command to one job. */
  send(command: Command, id: number, cause?: string | null): Promise<CommandResult>
  /** The same for up to 500 jobs; if `state` is given, only for those in it. Resolves with the ids of the jobs that changed. */
  command(command: Command, ids: readonly number[], state?: JobState, cause?: string | null): Promise<readonly number[]>

  find(id: number): Promise<JobRow | undefined>
  /** Stops and rejects with the reason of `signal` once that fires. */
  list(filter: ListFilter, signal?: AbortSignal): Promise<JobPage>
  /** Only the ids, for a bulk action. */
  matching(filter: MatchFilter): Promise<IdPage>
  /** Oldest first, from the `seq` after `after` on; undefined for an unknown job. */
  history(
    id: number,
    page: { readonly after: number; readonly limit: number },
  ): Promise<readonly HistoryEvent[] | undefined>
  /**
   * The edges that a job took up to its transition `upTo`; undefined for an unknown job. Of more than 20,000 transitions only the last
   * 20,000 count.
   */
  pathOf(id: number, upTo: number): Promise<JobPath | undefined>
  /**
   * The transitions of all jobs after the cursor `after`, except those that retention removed. `last` is never higher than the newest id,
   * whatever `after` is.
   */
  transitions(page: { readonly after: number; readonly limit: number }): Promise<TransitionPage>
  counts(): Promise<readonly EdgeCount[]>
  /** What explains the state of a job; undefined for an unknown job. */
  jobFacts(id: number): Promise<JobFacts | undefined>

  /**
   * Counts the jobs. For a million this takes seconds and blocks nobody, so the numbers are not of one instant. The pairs of type and queue
   * with the most jobs are counted separately, the rest as `censusRest`.
   */
  census(): Promise<readonly CensusCount[]>

  commitStats(): CommitStats
  fileSizes(): Promise<FileSizes>

  /** Checks the whole file on a separate thread; `onProgress` gets the id that it has reached, and the last. */
  verify(onProgress?: (id: number, lastId: number) => void): Promise<VerifyReport>

  /**
   * Copies the database, as it is at one instant, into a new file, on a separate thread. The copy gets its name only after it was checked
   * and flushed. `onProgress` gets the number of pages copied and the total. Rejects with `UnavailableError` if `target` exists or cannot
   * be created.
   */
  backup(target: string, onProgress?: (pages: number, ofPages: number) => void): Promise<BackupReport>

  /** Handles everything that is due, and resolves when that is done. The store does so by itself; tests that move a clock call it. */
  sweep(): Promise<void>

  /** Resolves when every call under way is settled and the file is closed. */
  close(): Promise<void>
}
