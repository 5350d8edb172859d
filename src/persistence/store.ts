import type { BulkFilter } from '../job/filter.ts'
import type { EnqueuedJob, JobRow, NewJobRow } from '../job/row.ts'
import type { EventCause } from '../machines/cause.ts'
import type { Command } from '../machines/events.ts'
import type { EventType, JobNode, JobState } from '../machines/job.ts'
import type { DescribedError, Lease, LeasedJob, LeaseEvent, Recovered, StoredError } from '../machines/lease.ts'
import type { ReplayEvent } from '../machines/replay.ts'
import type { HistogramSnapshot } from './histogram.ts'

export type { DescribedError, EnqueuedJob, JobRow, Lease, LeasedJob, LeaseEvent, NewJobRow, Recovered, StoredError }

/**
 * What became of an `enqueue`. The ids of new jobs rise within one call, in the order of its jobs. They may have gaps, and jobs that another
 * node stores later may have lower ones. `conflict`: the key at `index` belongs to job `id` (null: to an earlier item) with other content. `full`:
 * the bound on waiting jobs would be passed: of all of them, or of a `queue`; `depth` is what waits now.
 */
export type EnqueueResult =
  | { readonly outcome: 'stored'; readonly jobs: readonly EnqueuedJob[] }
  | { readonly outcome: 'conflict'; readonly index: number; readonly id: number | null }
  | { readonly outcome: 'full'; readonly queue: string | null; readonly depth: number }

/** One transition that a job made. `from` is null for the first. */
export interface HistoryEvent extends ReplayEvent, EventCause {
  readonly error: StoredError | null
}

/** Which edges a job took, each once. */
export interface JobPath {
  /** Of the last transition that is counted. */
  readonly seq: number
  /** Of the first: 1, unless there are more than one request looks at. */
  readonly since: number
  /** In the order in which each was taken last. */
  readonly steps: readonly {
    /** Null for the first transition. */
    readonly from: JobState | null
    readonly event: EventType
    readonly to: JobState
    readonly count: number
  }[]
}

/** One transition of any job. Its `id` is never used again, and higher than those of the job's earlier transitions. */
export interface Transition extends HistoryEvent {
  readonly id: number
  readonly jobId: number
  readonly type: string
  readonly queue: string
}

/**
 * One page, by rising `id`. To go on, pass `last` as `after`, or the id of any transition on the page to go on from there. Nothing appears
 * behind a cursor: what is committed later has a higher id than all that was on a page. So a reader that goes on misses nothing and reads
 * nothing twice. A store may keep back what is committed, for a moment, while another commit with a lower id is under way. A page may be
 * short and go on; an empty one is the end for now.
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

/** The name under which `edge_counts` keeps what retention removed; no event of the machine, for it leaves no job to have a state. */
export const retention = 'retention'

/** How many jobs of a type are in a queue and a state. */
export interface CensusCount {
  readonly type: string
  readonly queue: string
  readonly state: JobState
  readonly count: number
}

/** Pairs of type and queue that a census tells apart. */
export const censusPairsMax = 200
/** Stands for the types and queues of the rest; nothing can be named so. */
export const censusRest = '_other'

/**
 * The commits since the store was opened that wrote at least one event: how long each took from the beginning of its transaction until it
 * was on disk, with what was rolled back on the way, and how many events it wrote. What retention removed counts as one.
 */
export interface CommitStats {
  readonly durationMs: HistogramSnapshot
  readonly events: HistogramSnapshot
}

/** In bytes, as they are on disk now. */
export interface FileSizes {
  readonly database: number
  /** The write-ahead log: what commits have written and is not yet moved into the database. It keeps its length when it is begun anew. */
  readonly wal: number
}

export interface ListFilter extends BulkFilter {
  /** Only jobs with a lower id. */
  readonly before?: number
  readonly limit: number
}

/** One page, newest first. `next` is what to pass as `before` to go on, null at the end; a page may be short and go on, but has a job unless none was found for long. */
export interface JobPage {
  readonly jobs: readonly JobRow[]
  readonly next: number | null
}

/**
 * A node: a process that serves the database and holds leases, as it wrote itself there for others to read. This only names it; it may have
 * ended since. The store decides which nodes are alive: see `recoverOrphans`.
 */
export interface Owner {
  readonly pid: number
  readonly host: string
  readonly startedAt: string
}

/** How many there are; `more`: counting stopped at a bound, and there are more. */
export interface Counted {
  readonly count: number
  readonly more: boolean
}

/** Where a job that is ready stands: jobs of its queue that are leased before it, and queues, its own included, that take turns. */
export interface PlaceInLine {
  readonly ahead: Counted
  readonly queues: Counted
}

/** Events of a job's, the newest, that are looked through for its failures, crashes and snoozes. */
export const jobFactsEventsMax = 1_000

/** All that the database tells about why a job is where it is, read in one instant. */
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
    | 'startedAt'
    | 'finishedAt'
  >
  /** Put aside: a process that served the file had no handler for its type. */
  readonly isUnhandled: boolean
  /** It is to run alone. */
  readonly isSuspect: boolean
  /** The suspect that was started last and has not ended; null where there is none. */
  readonly exclusive: Pick<JobRow, 'id' | 'crashes' | 'startedAt' | 'timeoutMs'> | null
  /** Suspects in line that are started before it. */
  readonly suspectsAhead: Counted
  /** `owner`: the node that holds it; null if it is not known. */
  readonly lease: { readonly token: number; readonly expiresAt: number; readonly owner: Owner | null } | null
  readonly lastEvent: HistoryEvent
  /** The end of the last attempt that failed, also from before a requeue. */
  readonly lastFailure: HistoryEvent | null
  /** Attempts whose handler asked to be run later. */
  readonly snoozes: number
  /** Null where it is not ready, put aside, or a suspect. */
  readonly line: PlaceInLine | null
  /** The node that began to serve the database last; null if there was none. */
  readonly newestOwner: Owner | null
}

/** The name of the error that a job has whose process ended while it ran. */
export const processEnded = 'ProcessEndedError'

export type { Command }

/** The ids of jobs that match and may take `command` in the state that they are in. */
export interface MatchFilter extends ListFilter {
  readonly command: Command
}

/** Newest first. `from`: the highest id looked at, null where there was none; `next` as in `JobPage`. */
export interface IdPage {
  readonly ids: readonly number[]
  readonly from: number | null
  readonly next: number | null
}

/** What a person's or program's command did: the job after it, or the state in which the machine refused it. */
export type CommandResult =
  | { readonly outcome: 'done'; readonly job: JobRow }
  | { readonly outcome: 'refused'; readonly state: JobState }
  | { readonly outcome: 'unknown' }

/** What the store tells without being asked. */
export type StoreEvent =
  /** Leases of this process that ended otherwise than by its own outcome: cancelled, or taken over. */
  | { readonly type: 'lost'; readonly leases: readonly (Lease & { readonly cancelled: boolean })[] }
  /** Commits fail (`error`), or go well again (null). Writes are refused or wait meanwhile. */
  | { readonly type: 'health'; readonly error: string | null }
  /** The event loop stood still for `ms`; no lease was lost by it. */
  | { readonly type: 'stalled'; readonly ms: number }
  /** The wall clock went ahead, or back, by so much more than time passed: nothing is deleted by it before it has been steady for a while. */
  | { readonly type: 'clockJumped'; readonly ms: number }
  /** Something about the database's files that whoever operates it should know. */
  | { readonly type: 'file'; readonly message: string }
  /** Queued jobs whose type has no handler here were put aside; they wait for a process that has one. */
  | { readonly type: 'unhandled'; readonly types: readonly string[]; readonly count: number }
  /** The store cannot go on and has committed nothing since: the process must end, non-zero. */
  | { readonly type: 'fatal'; readonly error: Error }

/**
 * What must always hold, as far as a file can show it. What callers were told (I1), the order of starts and how soon jobs end cannot be seen
 * in one: tests with a witness outside prove those.
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

/** Something that must not be. */
export interface Violation {
  readonly invariant: keyof typeof invariants
  /** Null where it is about the whole file. */
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
 * Where jobs live. Each call is atomic and is on disk when its promise resolves; calls under way together may share one commit, and none
 * fails because of another. Refusals that a caller must expect are results; what rejects is `UnavailableError`, `StorageFullError`
 * (nothing was stored) or a broken invariant.
 *
 * One or more nodes serve a database: processes that open it with handlers. Each lease belongs to the node that took it. A store for one
 * node need not write down whose a lease is; a store for several must.
 *
 * The store keeps time for its jobs by itself: what is due becomes `queued`, leases of this node are renewed, leases that no node renews
 * expire, what retention allows is removed.
 */
export interface Store {
  /**
   * The id of the database in the time in which a job was enqueued; with the job's own id it names that job among all databases. A file that
   * has lost jobs, or is a restored backup, goes on with another, so that no name is given twice.
   */
  databaseIdOf(jobId: number): string
  /** In words, for the start-up line: what an acknowledged write survives. */
  readonly durability: string

  /** Stores all or none. Each job has an id of its own in the result; a caller computes none from another. */
  enqueue(jobs: readonly NewJobRow[]): Promise<EnqueueResult>

  /**
   * Leases up to `limit` queued jobs whose type is handled here: queues take turns, within one by priority, `run_at`, id. With `wait`
   * it resolves as soon as there is at least one, however long that takes; after `stopLeasing` with none. With `start` the
   * same commit starts them, for workers that are free: nothing else stands between a job and its handler.
   */
  lease(request: {
    readonly limit: number
    readonly wait: boolean
    readonly start?: boolean
  }): Promise<readonly LeasedJob[]>

  /** A stop of this node begins: if it ends before it has given its jobs back, the recovery of its leases takes none of them for the cause. */
  noteStop(): Promise<void>

  /** Answers waiting leases with nothing, and every later one. */
  stopLeasing(): Promise<void>

  /** Commits what happened to leased jobs; resolves with the events refused: their lease was no longer held, or the machine has no such edge. */
  apply(events: readonly LeaseEvent[]): Promise<readonly LeaseEvent[]>

  /** Renews these leases no longer: their workers are gone, and the jobs expire in time. */
  abandon(leases: readonly Lease[]): Promise<void>

  /**
   * An attempt begins that may take `timeoutMs`: until it has ended, as the store is told in its own time, a process whose loop stands
   * still no longer than that is not taken for one that hangs.
   */
  letLive(timeoutMs: number): void

  /** How long the event loop and the store's thread have been seen to stand still, in ms and in all, each time for more than half a second. */
  readonly stalls: { loopMs(): number; threadMs(): number }

  /**
   * Takes the leases of nodes that are gone, and moves their jobs on. The store knows which nodes those are. On SQLite the lock on the file
   * proves that this node is the only one, so every lease that it finds is an orphan. A store that several nodes share asks for the leases of
   * nodes that have closed, or have been silent for longer than a lease lasts, and leaves those of the others alone. Call it once, before
   * `lease`; a store that several nodes share goes on to do the same by itself.
   */
  recoverOrphans(onProgress?: (moved: number) => void): Promise<Recovered>

  /** What a person or a program asks of one job. `cause`: an `EventCause` as JSON text, which the history keeps; null: nobody says. */
  send(command: Command, id: number, cause?: string | null): Promise<CommandResult>
  /** The same for up to 500 jobs, those that are in `state` alone, where it is given; resolves with the ids that were moved. */
  command(command: Command, ids: readonly number[], state?: JobState, cause?: string | null): Promise<readonly number[]>

  find(id: number): Promise<JobRow | undefined>
  /** Rejects with the reason of `signal` once that fires, and looks no further. */
  list(filter: ListFilter, signal?: AbortSignal): Promise<JobPage>
  /** The ids alone, for a command. */
  matching(filter: MatchFilter): Promise<IdPage>
  /** Oldest first, those with a higher `seq` than `after`; undefined for an unknown job. */
  history(
    id: number,
    page: { readonly after: number; readonly limit: number },
  ): Promise<readonly HistoryEvent[] | undefined>
  /** The edges that a job took until its transition `upTo`; undefined for an unknown job. Of more than 20,000 the last so many count. */
  pathOf(id: number, upTo: number): Promise<JobPath | undefined>
  /** Those of all jobs after the cursor `after`, less what retention removed. `last` is no higher than the newest id, whatever `after` is. */
  transitions(page: { readonly after: number; readonly limit: number }): Promise<TransitionPage>
  counts(): Promise<readonly EdgeCount[]>
  /** Why a job is where it is; undefined for an unknown job. */
  jobFacts(id: number): Promise<JobFacts | undefined>

  /**
   * Counts the jobs, which takes seconds for a million and holds up nobody: no single instant's numbers. The pairs of type and queue with
   * the most jobs stand for themselves, the rest together as `censusRest`.
   */
  census(): Promise<readonly CensusCount[]>

  commitStats(): CommitStats
  fileSizes(): Promise<FileSizes>

  /** Checks the whole file, on a thread of its own; `onProgress` is told the id that it has come to, and the last. */
  verify(onProgress?: (id: number, lastId: number) => void): Promise<VerifyReport>

  /**
   * Copies the database as it is at one instant into a new file, on a thread of its own: whatever has that name is whole, checked and
   * flushed. `onProgress` is told how many pages of how many are copied. Rejects with `UnavailableError` where `target` exists or cannot be made.
   */
  backup(target: string, onProgress?: (pages: number, ofPages: number) => void): Promise<BackupReport>

  /** Does now what time has made due; resolves when it is done. The store does so by itself; tests that move a clock call it. */
  sweep(): Promise<void>

  /** Resolves when every call under way is settled and the file is closed. */
  close(): Promise<void>
}
