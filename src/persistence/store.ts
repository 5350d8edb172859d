import type { BulkFilter } from '../job/filter.ts'
import type { EnqueuedJob, JobRow, NewJobRow } from '../job/row.ts'
import type { Command } from '../machines/events.ts'
import type { JobState } from '../machines/job.ts'
import type { Lease, LeasedJob, LeaseEvent, LogLine, PrefetchLimits, Recovered, Report } from '../machines/lease.ts'
import type { DescribedError, StoredError } from '../machines/stored-error.ts'
import type { CensusCount, CommitStats, EdgeCount, FileSizes } from './counts.ts'
import type { HistoryEvent, JobPath, Transition, TransitionPage } from './history.ts'
import type { VerifyReport, Violation } from './invariants.ts'
import type { Counted, JobFacts, Owner, PlaceInLine } from './job-facts.ts'
import type { KeptLine, LogPage, Progress } from './reports.ts'
import type { ScheduleStore } from './schedules.ts'

export { censusPairsMax, censusRest, retention } from './counts.ts'
export { invariants } from './invariants.ts'
export { jobFactsEventsMax } from './job-facts.ts'
export { logMax } from './reports.ts'
export type {
  DuePage,
  DueSchedule,
  ScheduleEntry,
  ScheduleHistoryRow,
  ScheduleMove,
  ScheduleMoveResult,
  SchedulePage,
  SchedulePlan,
  ScheduleRow,
  ScheduleSource,
  ScheduleStore,
} from './schedules.ts'
export type {
  CensusCount,
  Command,
  CommitStats,
  Counted,
  DescribedError,
  EdgeCount,
  EnqueuedJob,
  FileSizes,
  HistoryEvent,
  JobFacts,
  JobPath,
  JobRow,
  KeptLine,
  Lease,
  LeasedJob,
  LeaseEvent,
  LogLine,
  LogPage,
  NewJobRow,
  Owner,
  PlaceInLine,
  Progress,
  Recovered,
  Report,
  StoredError,
  Transition,
  TransitionPage,
  VerifyReport,
  Violation,
}

/**
 * The result of an `enqueue`. The ids of new jobs rise within one call, in the order of its jobs. They may have gaps, and jobs that another
 * node stores later may have lower ones.
 * `conflict`: the key at `index` belongs to job `id` (null: to an earlier item) with other content. `held`: job `id` (null: an earlier item)
 * holds the unique key at `index`, and the request is to be refused then. `full`: the limit on waiting jobs would
 * be exceeded, in all or (`queue`) in one queue; `depth` is the number that wait now.
 */
export type EnqueueResult =
  | { readonly outcome: 'stored'; readonly jobs: readonly EnqueuedJob[] }
  | { readonly outcome: 'conflict' | 'held'; readonly index: number; readonly id: number | null }
  | { readonly outcome: 'full'; readonly queue: string | null; readonly depth: number }

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

/** What a node does for all: queue due jobs, take the leases of nodes that are gone, remove what ended long ago, plan the ticks of schedules. */
export type Duty = 'promotion' | 'recovery' | 'retention' | 'schedules'

/** A process that has the database open, or had. */
export interface NodeInfo extends Owner {
  /** Never used again. A process that was declared dead and lives gets another. */
  readonly id: number
  /** It is the process that was asked. */
  readonly isOwn: boolean
  /** It runs jobs; a producer does not. */
  readonly serves: boolean
  /** The types that have a handler there. */
  readonly types: readonly string[]
  /** Silent for so long while others are heard of, it is declared dead, and others run its jobs. */
  readonly leaseMs: number
  /** When it was heard of last, and when it ended or was declared dead; epoch ms by the database's clock. */
  readonly heardAt: number
  /** How long ago it was heard of last, by that clock, in ms. */
  readonly silentMs: number
  /** Until it is declared dead if it stays silent, in ms. */
  readonly leftMs: number
  readonly endedAt: number | null
  /** The node that declared it dead; null if it lives, or ended by itself. */
  readonly declaredBy: number | null
  readonly isStopping: boolean
  /** Jobs that it has leased or runs, and those that it runs. */
  readonly held: number
  readonly running: number
  /** The duties that it did last of all nodes, and when. */
  readonly duties: readonly { readonly duty: Duty; readonly doneAt: number }[]
}

/** The name of the error of a job whose process ended while it ran. */
export const processEnded = 'ProcessEndedError'

/** What became of a job; `state` and `type` are null if there is no such job, `result` is JSON text, null if there is none. */
export interface EndedJob {
  readonly state: JobState | null
  readonly type: string | null
  readonly result: string | null
}

/** Characters of results after which one answer with ended jobs stops. */
export const endedLengthMax = 4_194_304

/** Selects jobs that match and whose state allows `command`; jobs that have ended are cancelled only if `state` names their state. */
export interface MatchFilter extends ListFilter {
  readonly command: Command
}

/** Newest first. `from`: the highest id examined, null if there was none; `next` as in `JobPage`. */
export interface IdPage {
  readonly ids: readonly number[]
  readonly from: number | null
  readonly next: number | null
}

/** As for a command. `spent`: it has started `attempt` attempts, and must keep at least one more. */
export type AmendResult = CommandResult | { readonly outcome: 'spent'; readonly attempt: number }

/** The result of a command: the job after it, or the state that does not allow it; `holder`: the job that holds its unique key meanwhile. */
export type CommandResult =
  | { readonly outcome: 'done'; readonly job: JobRow }
  | { readonly outcome: 'refused'; readonly state: JobState; readonly holder?: number | undefined }
  | { readonly outcome: 'unknown' }

/** What the store reports by itself. */
export type StoreEvent =
  /** Something that stops nothing, but that somebody should end (null: it is over), by what it is about. */
  | { readonly type: 'warning'; readonly about: 'tail' | 'writes'; readonly message: string | null }
  /** Leases of this process that ended without an outcome from it: the job was cancelled, or its lease expired. */
  | { readonly type: 'lost'; readonly leases: readonly (Lease & { readonly cancelled: boolean })[] }
  /**
   * Commits fail (`error`), or succeed again (null). Meanwhile writes are rejected or wait. `cause`: the disk is full, or another process
   * holds a lock on the file; undefined if it is neither.
   */
  | { readonly type: 'health'; readonly error: string | null; readonly cause?: 'full' | 'locked' | undefined }
  /** This node was silent for longer than a lease, so others run what it held, `leases` jobs; it goes on under another id. */
  | { readonly type: 'declaredDead'; readonly leases: number }
  /** Another node was silent for longer than its lease, or has ended and left jobs: this one took them, `leases` jobs. */
  | {
      readonly type: 'nodeGone'
      readonly node: Pick<NodeInfo, 'id' | 'pid' | 'host'>
      readonly wasSilent: boolean
      readonly leases: number
    }
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

/** A backup that was made. */
export interface BackupReport {
  readonly bytes: number
  /** The highest ids in it. */
  readonly transitions: number
  readonly jobs: number
}

/** Bytes of a payload up to which any store hands it out with its job. */
export const leasedPayloadBytesMax = 8_192

/**
 * Where jobs live. What a call has changed is on disk when its promise resolves; concurrent calls may share one commit, and none fails
 * because of another. An `enqueue` is atomic, always. An `apply`, or a `command` to many jobs, is atomic for each of its jobs: if it takes too
 * long as a whole, a store may commit it in parts. Expected refusals are results. Calls reject only with `UnavailableError` or
 * `StorageFullError` (nothing was stored, except that a `command` to many may have changed some of its jobs), with `OutcomeUnknownError`, or
 * on a broken invariant.
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
  readonly schedules: ScheduleStore
  /** How far ahead of its slots it pays to lease. */
  readonly prefetch: PrefetchLimits

  /**
   * `enqueue` in a transaction that the caller has begun on `client`, a connection of its own: the jobs are stored exactly if that commits.
   * `committed` is false for those that are not yet. On PostgreSQL a replay of a key is not counted. Fails with `InvalidInputError` if the
   * client cannot be used so; nothing is stored then. A store on a file does it at once, and throws.
   */
  enqueueIn(client: unknown, jobs: readonly NewJobRow[]): EnqueueResult | Promise<EnqueueResult>

  /**
   * Lets `succeed` be committed by such a transaction, together with what else it does. Rejects with `LeaseLostError` if the lease is lost,
   * and then, or if it is lost later, the transaction cannot commit. Rejects with `InvalidInputError` if the store cannot do so.
   */
  complete(client: unknown, event: LeaseEvent): Promise<void>
  /** Whether such a transaction has committed the outcome of the lease. */
  hasCompleted(lease: Lease): Promise<boolean>

  /** Stores all or none. The result has the id of each job; callers must not compute one from another. */
  enqueue(jobs: readonly NewJobRow[]): Promise<EnqueueResult>

  /**
   * Leases up to `limit` queued jobs whose type is handled here: queues take turns; within a queue the order is priority, `run_at`, id.
   * With `wait` it resolves as soon as there is at least one job, however long that takes, or with none after `stopLeasing`. With `start`
   * the same commit starts them, for free workers that call the handler next. A payload of more than `leasedPayloadBytesMax` may
   * be null; `readPayload` reads it then.
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
   * edge. The report of an event is stored before it, if its lease is held.
   */
  apply(events: readonly LeaseEvent[]): Promise<readonly LeaseEvent[]>

  /**
   * Commits what running handlers have reported, of those jobs whose lease is held. A later `apply` comes after it. Never tried again: it
   * rejects, and nothing was stored, or only a part.
   */
  report(reports: readonly (Lease & { readonly report: Report })[]): Promise<void>

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
  /**
   * The same for up to 500 jobs, each changed whole or not at all; if `state` is given, only for those in it. Resolves with the ids of the
   * jobs that changed. If it rejects, some may have changed: whoever sends it again changes those whose state still allows it.
   */
  command(command: Command, ids: readonly number[], state?: JobState, cause?: string | null): Promise<readonly number[]>

  /**
   * Changes a job that waits: the row, its payload and the event are one commit, and the old payload stays readable, until there are too
   * many newer ones. A job that is leased, runs or has ended is refused; with `requeue`, one that allows that is requeued first, in the same commit. What is the same already is
   * no change, and writes no event. `changes`: JSON text with any of `payload` (JSON text again), `priority`, `maxAttempts`, and `runAt` or
   * `delayMs`; an instant in the past means now.
   */
  amend(id: number, changes: string, cause?: string | null, requeue?: boolean): Promise<AmendResult>

  /**
   * The payload of a job after its transition `at`, as JSON text: that of the newest if there are fewer. Undefined for an unknown job, empty
   * if it is no longer kept.
   */
  payloadAt(id: number, at: number): Promise<string | undefined>

  /**
   * The payload that `lease` left out, as JSON text; empty if there is none. A store on a file reads it at once, and throws: V8 may keep what
   * a promise resolves with until a full collection.
   */
  readPayload(lease: Lease): string | Promise<string>

  find(id: number): Promise<JobRow | undefined>
  /**
   * Those of the jobs that have ended, and those that do not exist, by id. It stops after some megabytes of results, at least one: call it
   * again for the others.
   */
  ended(ids: readonly number[]): Promise<ReadonlyMap<number, EndedJob>>
  /** Stops and rejects with the reason of `signal` once that fires. */
  list(filter: ListFilter, signal?: AbortSignal): Promise<JobPage>
  /** Only the ids, for a bulk action. */
  matching(filter: MatchFilter): Promise<IdPage>
  /** Oldest first, from the `seq` after `after` on; undefined for an unknown job. */
  history(
    id: number,
    page: { readonly after: number; readonly limit: number },
  ): Promise<readonly HistoryEvent[] | undefined>
  /** The lines of a job's log with an `n` above `after`; undefined for an unknown job. */
  log(id: number, page: { readonly after: number; readonly limit: number }): Promise<LogPage | undefined>
  /** The jobs whose progress was stored since the instant `at`, the latest first: 1,000 of them at most. */
  progressSince(at: number): Promise<readonly Progress[]>
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
  /** The nodes that live, and some that have ended, the newest first. */
  nodes(): Promise<readonly NodeInfo[]>
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
