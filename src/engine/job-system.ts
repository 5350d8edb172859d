import type { InspectionEvent } from 'xstate'
import type { AnyHandler, Handler } from '../handlers/define.ts'
import type { JsonSchema } from '../handlers/payload-schema.ts'
import type { NewJob } from '../job/fields.ts'
import type { BulkFilter, JobFilter } from '../job/filter.ts'
import type { EnqueuedJob, Job } from '../job/row.ts'
import type { BulkPhase } from '../machines/bulk.ts'
import type { EventCause } from '../machines/cause.ts'
import type { JobState } from '../machines/job.ts'
import type { Explanation } from '../observe/explain/explain.ts'
import type { Activity, Phase, WorkerActivity } from '../observe/telemetry/activity.ts'
import type { Census } from '../observe/telemetry/census.ts'
import type { Telemetry } from '../observe/telemetry/collector.ts'
import type { Metrics } from '../observe/telemetry/metrics.ts'
import type { TypeDurations } from '../observe/telemetry/run-stats.ts'
import type { Quantiles, Sample } from '../observe/telemetry/time-series.ts'
import type { HistogramSnapshot } from '../persistence/histogram.ts'
import type {
  BackupReport,
  CensusCount,
  Command,
  CommitStats,
  DescribedError,
  EdgeCount,
  FileSizes,
  HistoryEvent,
  JobPath,
  StoredError,
  Transition,
  TransitionPage,
  VerifyReport,
  Violation,
} from '../persistence/store.ts'

export type {
  Activity,
  BackupReport,
  BulkFilter,
  BulkPhase,
  Census,
  CensusCount,
  Command as BulkCommand,
  CommitStats,
  DescribedError,
  EdgeCount,
  EnqueuedJob,
  EventCause,
  Explanation,
  FileSizes,
  HistogramSnapshot,
  HistoryEvent,
  Job,
  JobFilter,
  JobPath,
  JobState,
  JsonSchema,
  Metrics,
  NewJob,
  Phase,
  Quantiles,
  Sample,
  StoredError,
  Telemetry,
  Transition,
  TransitionPage,
  TypeDurations,
  VerifyReport,
  Violation,
  WorkerActivity,
}

/**
 * Newest first. A page may be short and still have a `nextCursor`: all jobs down to that id were looked at. One without a job that has one means
 * that ten million ids, or 100,000 where a text is searched for, had none.
 */
export interface JobList {
  readonly jobs: readonly Job[]
  readonly nextCursor: string | null
}

/**
 * A command over many jobs. It first notes which jobs match; the count is confirmed by `run`, and then those jobs and no others are moved,
 * each once or not at all. It lives in memory: after a crash what was moved has moved, and nothing else of it is left.
 */
export interface Bulk {
  readonly id: string
  readonly command: Command
  readonly filter: BulkFilter
  /** `counting`, `ready`, `moving` and `stopping` lead to `done`, `stopped`, `failed` or, not confirmed within 15 minutes, `expired`. */
  readonly phase: BulkPhase
  /** Epoch ms. */
  readonly createdAt: number
  /** When it expires unless it is run; null where it does not wait for that. */
  readonly expiresAt: number | null
  /** Jobs that match, so far while it counts; at most 1,000,000, the newest. */
  readonly matched: number
  /** There are more that match than it took. */
  readonly more: boolean
  /** It counts from the job `upTo` down and has come to `lookedTo`; null before it has looked. Later jobs are not touched. */
  readonly upTo: number | null
  readonly lookedTo: number | null
  readonly moved: number
  /** Jobs that were no longer in the filter's state, or in none that takes the command. */
  readonly refused: number
  /** Why it failed. */
  readonly error: string | null
  /** Whether its phase takes that now. */
  can(action: 'run' | 'stop'): boolean
  /** Begins to move what it matched: `matched` confirms the count. Throws `BulkStateError` where it is not ready or matched another number. */
  run(matched: number): void
  /** Moves no more; resolves when nothing of it is under way. */
  stop(): Promise<void>
  /** Resolves when nothing of it is under way: it is counted, or has come to its end. */
  settled(): Promise<void>
}

/** `by`: who asks, which the history keeps: actor of 1 to 255 characters, reason of 1 to 1,000; the library unless given. */
export interface CallerOptions {
  readonly by?: EventCause
}

export interface StopOptions {
  /** In ms; the settings' unless given. */
  readonly graceMs?: number
  /** A job may be why the process has to end; false unless given. */
  readonly crashing?: boolean
}

/** `ready`: its last commit went well and it is neither recovering nor draining; otherwise `reason` says what it is. */
export interface Health {
  readonly ready: boolean
  readonly reason: string | null
}

/** A job of one of these handlers: its type, and what the schema of its payload accepts. */
export type JobFor<Handlers extends readonly AnyHandler[]> = Handlers[number] extends infer Each
  ? Each extends Handler<infer _Output, infer Input, infer Type>
    ? Omit<NewJob, 'type' | 'payload'> & { readonly type: Type; readonly payload: Input }
    : never
  : never

/** Background jobs in one SQLite file. Made by `createJobSystem`. Rejects with the errors of `errors.ts`. */
export interface JobSystem<Handlers extends readonly AnyHandler[] = readonly AnyHandler[]> {
  /** What an acknowledged write survives, in words. */
  readonly durability: string
  /** The types that have a handler here. */
  readonly types: readonly string[]
  /** What the payload of each may be when it is handed in, as JSON Schema; any JSON, `{}`, where its schema's library cannot tell. */
  readonly payloadSchemas: Readonly<Record<string, JsonSchema>>
  /** Recovers what a dead process left behind, then runs jobs; resolves when the first may start. A producer only opens. */
  start(): Promise<void>
  /**
   * Leases no more, lets running jobs finish for `graceMs` (the settings' unless given), gives the rest back, closes the file. If the process
   * ends before that, what still ran counts no crash; with `crashing` it does: for a stop because of what went wrong in the process itself.
   */
  stop(options?: StopOptions): Promise<void>
  /** Resolves when the job is on disk; an array is all or nothing, in the same order. */
  enqueue(job: JobFor<Handlers>): Promise<EnqueuedJob>
  enqueue(jobs: readonly JobFor<Handlers>[]): Promise<EnqueuedJob[]>
  /** For what may be either. */
  enqueue(jobs: JobFor<Handlers> | readonly JobFor<Handlers>[]): Promise<EnqueuedJob | EnqueuedJob[]>
  /** A job of the handler's type, whose payload is typed by its schema. */
  enqueue<Input>(
    handler: Handler<unknown, Input>,
    payload: Input,
    options?: Omit<NewJob, 'type' | 'payload'>,
  ): Promise<EnqueuedJob>
  /** The same for front doors: an unchecked JSON value, one job or an array, with field names in snake_case; always an array. */
  submit(body: unknown, options?: CallerOptions): Promise<EnqueuedJob[]>
  find(id: number): Promise<Job | undefined>
  /**
   * Rejects with `InvalidInputError` on a bad filter, limit or cursor, and with the reason of `signal` once that fires: a search goes on for half
   * a second at most, and looks at no more jobs then.
   */
  list(filter?: JobFilter, options?: { readonly signal?: AbortSignal }): Promise<JobList>
  /** Every transition the job made, oldest first; `after` a `seq`, `limit` 1 to 1,000. Rejects with `JobNotFoundError`. */
  history(id: number, page?: { readonly after?: number; readonly limit?: number }): Promise<readonly HistoryEvent[]>
  /**
   * Why the job is where it is, what can happen next and what stands in the way: a snapshot of the file and of this process. Rejects with
   * `JobNotFoundError`. A producer knows only the file.
   */
  explain(id: number): Promise<Explanation>

  /**
   * The transitions of all jobs after the id `after` that retention has not removed, those of each job in their order. Pass `last` to go on,
   * whether there were any or not: who does so misses nothing. Without `after` none, and `last` tells where to begin from now. `limit` 1 to 1,000. A poll is cheap.
   */
  transitions(page?: { readonly after?: number; readonly limit?: number }): Promise<TransitionPage>
  /** Resolves with the job after it; rejects with `IllegalTransitionError` where the machine refuses. A running handler's signal fires. */
  cancel(id: number, options?: CallerOptions): Promise<Job>
  /** Runs a `dead` or `cancelled` job again, its attempts begin anew. */
  requeue(id: number, options?: CallerOptions): Promise<Job>
  /**
   * Begins to count the jobs that match and may take the command, and resolves at once; nothing moves before its `run`. Rejects with
   * `InvalidInputError` on a bad filter, or one whose state does not take the command, and with `BackpressureError` while 20 are
   * under way; of those that wait to be confirmed the oldest makes room.
   */
  prepareBulk(command: Command, filter?: BulkFilter, options?: CallerOptions): Promise<Bulk>
  findBulk(id: string): Bulk | undefined
  /** The last 20, newest first. */
  bulks(): readonly Bulk[]
  /** How many jobs are in each state now. */
  counts(): Promise<Readonly<Record<JobState, number>>>
  metrics(): Promise<Metrics>
  /** How often each edge of the job machine was taken since the file was made. */
  edgeCounts(): Promise<readonly EdgeCount[]>
  /**
   * Which edges a job took, and how often, as it was after its transition `at`, the last unless given. Rejects with `JobNotFoundError`, and
   * with `InvalidInputError` where it has not made so many.
   */
  path(id: number, options?: { readonly at?: number }): Promise<JobPath>
  /**
   * Checks the whole database, on a thread of its own, while everything goes on: replays every job's history through the machine and
   * compares it with its row, recounts what is kept counted, lets SQLite check the file. A million jobs take about ten seconds.
   */
  verify(options?: { readonly onProgress?: (id: number, lastId: number) => void }): Promise<VerifyReport>
  /**
   * Copies the database as it is at one instant into the new file `target`, while the system works; the only safe way for the process that
   * serves it. Whatever has that name is whole: checked, flushed, and then named. `onProgress` is told how many pages of how many are copied.
   * Rejects with `UnavailableError` where `target` exists or cannot be made, or the system stops meanwhile.
   */
  backup(
    target: string,
    options?: { readonly onProgress?: (pages: number, ofPages: number) => void },
  ): Promise<BackupReport>
  health(): Health
  /** What runs now, from memory. */
  activity(): Activity
  /** Everything measured, for monitoring; the first call may take two seconds, in which jobs are counted by type and queue. */
  telemetry(): Promise<Telemetry>
  /**
   * How many jobs there are by type, queue and state, as counted last: not less than 15 s apart, and only while somebody asks. Null where
   * the first count takes longer than two seconds; ask again.
   */
  census(): Promise<Census | null>
  /** The last half hour, a sample every two seconds while a server serves; `after`: only those newer than that `at`. */
  series(page?: { readonly after?: number }): readonly Sample[]
}

/** What the system logs to; a pino logger fits. */
export interface SystemLog {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
  child(fields: object): SystemLog
}

/** Told of what XState's actors do, in XState's own `InspectionEvent`s. */
export type Inspector = (event: InspectionEvent) => void
