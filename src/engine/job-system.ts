import type { InspectionEvent } from 'xstate'
import type { AnyHandler, Handler } from '../handlers/define.ts'
import type { JsonSchema } from '../handlers/registry.ts'
import type { SqliteConnection, TransactionClient, TransactionOptions } from '../job/client.ts'
import type { MutableName, NewJob } from '../job/fields.ts'
import type { BulkFilter, JobFilter } from '../job/filter.ts'
import type { EnqueuedJob, Job } from '../job/row.ts'
import type { Unique } from '../job/unique.ts'
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
  KeptLine,
  NodeInfo,
  Progress,
  StoredError,
  Transition,
  TransitionPage,
  VerifyReport,
  Violation,
} from '../persistence/store.ts'
import type { NewSchedule, ScheduledJob } from '../schedule/fields.ts'
import type { MissedPolicy, MissedTicks } from '../schedule/missed.ts'

import type { CallerOptions } from './caller-options.ts'
import type {
  ScheduleDetails,
  ScheduleHistoryEvent,
  ScheduleInfo,
  ScheduleList,
  SchedulePreview,
  Schedules,
} from './schedules/schedules.ts'

export type {
  Activity,
  BackupReport,
  BulkFilter,
  BulkPhase,
  CallerOptions,
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
  MissedPolicy,
  MissedTicks,
  NewJob,
  NewSchedule,
  NodeInfo,
  Phase,
  Quantiles,
  Sample,
  ScheduleDetails,
  ScheduledJob,
  ScheduleHistoryEvent,
  ScheduleInfo,
  ScheduleList,
  SchedulePreview,
  Schedules,
  SqliteConnection,
  StoredError,
  Telemetry,
  TransactionClient,
  TransactionOptions,
  Transition,
  TransitionPage,
  TypeDurations,
  Unique,
  VerifyReport,
  Violation,
  WorkerActivity,
}

/** A line that a handler wrote to `context.log`. */
export interface JobLogLine extends Omit<KeptLine, 'fields'> {
  /** Null if there are none; cut if they were long. */
  readonly fields: Readonly<Record<string, unknown>> | null
}

/** Lines of one job, oldest first. `first` and `last`: the oldest and the newest line that is kept, by their `n`; null if there is none. */
export interface JobLog {
  readonly lines: readonly JobLogLine[]
  readonly first: number | null
  readonly last: number | null
}

/** What a handler reported as the progress of its job. */
export interface JobProgress extends Omit<Progress, 'value'> {
  readonly progress: unknown
}

/**
 * Newest first. A short page may still have a `nextCursor`: all jobs down to that id were examined. An empty page with a `nextCursor` means
 * that no match was found in ten million ids, or in a million when searching for a text (40,000 on PostgreSQL).
 */
export interface JobList {
  readonly jobs: readonly Job[]
  readonly nextCursor: string | null
}

/**
 * A bulk action. It first notes which jobs match. After `run` confirms the count it changes those jobs and no others, each at most once. It
 * lives in memory: after a crash the jobs that it had changed stay changed, and the action is gone.
 */
export interface Bulk {
  readonly id: string
  readonly command: Command
  readonly filter: BulkFilter
  /**
   * `counting`, `ready`, `moving` and `stopping` lead to `done`, `stopped`, `failed`, or `expired` if nobody confirms within 15 minutes.
   */
  readonly phase: BulkPhase
  /** Epoch ms. */
  readonly createdAt: number
  /** When it expires unless it is run; null if it is not waiting for confirmation. */
  readonly expiresAt: number | null
  /** Jobs that match (so far, while it counts); at most the newest 1,000,000. */
  readonly matched: number
  /** More jobs match than it includes. */
  readonly more: boolean
  /** It counts down from the job `upTo` and has reached `lookedTo`; null before it begins. Later jobs are not included. */
  readonly upTo: number | null
  readonly lookedTo: number | null
  readonly moved: number
  /** Jobs that had left the filter's state, or whose state no longer allows the command. */
  readonly refused: number
  /** Why it failed. */
  readonly error: string | null
  /** Whether its phase allows that now. */
  can(action: 'run' | 'stop'): boolean
  /**
   * Begins to change the matched jobs; `matched` confirms the count, and `by` says who does it: by default the one who prepared it. Throws
   * `BulkStateError` if it is not ready or matched another number.
   */
  run(matched: number, options?: CallerOptions): void
  /** Stops; resolves when its last step is done. */
  stop(): Promise<void>
  /** Resolves when it is not working: it has counted, or has ended. */
  settled(): Promise<void>
}

/** `traceparent`, `tracestate`: the headers of the caller's request, as in W3C Trace Context; invalid ones are ignored. */
export interface EnqueueOptions extends CallerOptions {
  readonly traceparent?: string | undefined
  readonly tracestate?: string | undefined
}

export interface StopOptions {
  /** In ms; the settings' by default. */
  readonly graceMs?: number
  /** A job may be the reason that the process must end; false by default. */
  readonly crashing?: boolean
}

/** `ready`: the last commit succeeded, and the system is neither recovering nor draining; otherwise `reason` says why not. */
export interface Health {
  readonly ready: boolean
  readonly reason: string | null
  /** Jobs that this process met and did not run, since they cannot be read; left out if there were none. The others run. */
  readonly unreadableJobs?: number
  /** What stops nothing but should be ended, such as a stranger's open transaction; left out if there is nothing. */
  readonly warnings?: readonly string[]
}

/**
 * How to wait for a result: `timeoutMs` at most, for ever if it is left out and not at all if it is 0; until `signal` fires. The job does not
 * notice either.
 */
export interface ResultOptions {
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

/** A value that was stored as JSON, as it is read back: what `toJSON` returned in place of what has one. */
export type StoredResult<Value> = Value extends { toJSON(...given: never[]): infer Json }
  ? StoredResult<Json>
  : Value extends object
    ? { [Key in keyof Value]: StoredResult<Value[Key]> }
    : Value

/** The result of a job of `Type`, by the `result` schema of its handler. */
export type ResultFor<Handlers extends readonly AnyHandler[], Type> = Type extends string
  ? Handlers[number] extends infer Each
    ? Each extends Handler<infer _Output, infer _Input, infer Own, infer Result, infer _Returned>
      ? Type extends Own
        ? StoredResult<Result>
        : never
      : never
    : never
  : never

/** A job of one of these handlers: its type, and what the schema of its payload accepts. */
export type JobFor<Handlers extends readonly AnyHandler[]> = Handlers[number] extends infer Each
  ? Each extends Handler<infer _Output, infer Input, infer Type>
    ? Omit<NewJob, 'type' | 'payload'> & { readonly type: Type; readonly payload: Input }
    : never
  : never

/** Resolves with the answer; on SQLite it is the answer, since such a transaction must not be left for another turn of the loop. */
type InTransaction<Client, Answer> = Client extends SqliteConnection ? Answer : Promise<Answer>

/** Background jobs in a SQLite file or in PostgreSQL. Made by `createJobSystem`. Rejects with the errors of `errors.ts`. */
export interface JobSystem<Handlers extends readonly AnyHandler[] = readonly AnyHandler[]> {
  /** What an acknowledged write survives, in words. */
  readonly durability: string
  /** Whether it runs jobs, and cancels and requeues them; false of a producer, which only enqueues and reads. */
  readonly runsJobs: boolean
  /** The types that have a handler here. */
  readonly types: readonly string[]
  /** The schema of each type's payload at `enqueue`, as JSON Schema; `{}` (any JSON) if its schema library cannot convert it. */
  readonly payloadSchemas: Readonly<Record<string, JsonSchema>>
  /** Recovers the jobs of a dead process, then runs jobs; resolves when the first may start. A producer only opens the file. */
  start(): Promise<void>
  /**
   * Stops leasing, lets running jobs finish for `graceMs` (by default the setting), releases the rest and closes the file. If the process
   * ends before that, the jobs that still ran count no crash. With `crashing` they do: use it if the process stops because something went
   * wrong in it.
   */
  stop(options?: StopOptions): Promise<void>
  /** Resolves when the job is on disk. An array is stored completely or not at all, in the same order. */
  enqueue(job: JobFor<Handlers>): Promise<EnqueuedJob>
  enqueue(jobs: readonly JobFor<Handlers>[]): Promise<EnqueuedJob[]>
  /** For an argument that may be either. */
  enqueue(jobs: JobFor<Handlers> | readonly JobFor<Handlers>[]): Promise<EnqueuedJob | EnqueuedJob[]>
  /** A job of the handler's type, whose payload is typed by its schema. */
  enqueue<Input>(
    handler: Handler<unknown, Input>,
    payload: Input,
    options?: Omit<NewJob, 'type' | 'payload'>,
  ): Promise<EnqueuedJob>
  /**
   * Stores the job in a transaction that you have begun on `client`: it exists exactly if that commits, and runs then. See
   * docs/transactions.md. Fails with `InvalidInputError` if the client is not in a transaction or not connected to the database of this
   * system, with an issue whose path is `client`; nothing is stored then, and your transaction can go on. On SQLite it throws.
   */
  enqueue<Client extends TransactionClient | SqliteConnection>(
    job: JobFor<Handlers>,
    options: TransactionOptions<Client>,
  ): InTransaction<Client, EnqueuedJob>
  enqueue<Client extends TransactionClient | SqliteConnection>(
    jobs: readonly JobFor<Handlers>[],
    options: TransactionOptions<Client>,
  ): InTransaction<Client, EnqueuedJob[]>
  enqueue<Input, Client extends TransactionClient | SqliteConnection>(
    handler: Handler<unknown, Input>,
    payload: Input,
    options: Omit<NewJob, 'type' | 'payload'> & TransactionOptions<Client>,
  ): InTransaction<Client, EnqueuedJob>
  /**
   * Waits until the job has ended, wherever it runs, and resolves with what its handler returned: undefined if that was nothing. Rejects at
   * once with `JobFailedError` if the job is dead, with `JobCancelledError` and with `JobNotFoundError`; with `ResultTimeoutError`, after
   * which the job goes on; with the reason of `signal`; and with `UnavailableError` when this system stops. A dead or cancelled job that
   * somebody requeues before it is looked at is waited for; after a rejection, call it again.
   */
  result(id: number, options?: ResultOptions): Promise<unknown>
  /** The same, typed by the handler's `result` schema. Rejects with `InvalidInputError` if the job is of another type. */
  result<Result>(
    handler: Handler<unknown, unknown, string, Result>,
    id: number,
    options?: ResultOptions,
  ): Promise<StoredResult<Result>>
  /**
   * Enqueues the job and waits for its result, as `result` does. If the wait ends early, the job runs all the same: with an idempotency key
   * the same call waits for it again.
   */
  enqueueAndWait<const New extends JobFor<Handlers>>(
    job: New,
    options?: ResultOptions,
  ): Promise<ResultFor<Handlers, New['type']>>
  /** A job of the handler's type. `timeoutMs` is that of the wait; the attempt's is the handler's. */
  enqueueAndWait<Input, Result>(
    handler: Handler<unknown, Input, string, Result>,
    payload: Input,
    options?: Omit<NewJob, 'type' | 'payload' | 'timeoutMs'> & ResultOptions,
  ): Promise<StoredResult<Result>>
  /** The same for front doors: takes an unchecked JSON value, one job or an array, with field names in snake_case; returns an array. */
  submit(body: unknown, options?: EnqueueOptions): Promise<EnqueuedJob[]>
  find(id: number): Promise<Job | undefined>
  /**
   * Rejects with `InvalidInputError` on a bad filter, limit or cursor, and with the reason of `signal` once that fires. A search takes half
   * a second at most, then returns what it has.
   */
  list(filter?: JobFilter, options?: { readonly signal?: AbortSignal }): Promise<JobList>
  /** The transitions of the job, oldest first; `after` is a `seq`, `limit` 1 to 1,000. Rejects with `JobNotFoundError`. */
  history(id: number, page?: { readonly after?: number; readonly limit?: number }): Promise<readonly HistoryEvent[]>
  /**
   * The lines that its handlers have logged, oldest first, with an `n` above `after`; `limit` 1 to 1,000. A log keeps its newest 1,000 lines
   * and 256 KiB. Rejects with `JobNotFoundError`.
   */
  log(id: number, page?: { readonly after?: number; readonly limit?: number }): Promise<JobLog>
  /** Jobs whose progress was stored since the instant `at`, epoch ms, the latest first; 1,000 at most. A poll is cheap. */
  progressSince(at: number): Promise<readonly JobProgress[]>
  /**
   * Why the job is in its state, what can happen next and what prevents it: a snapshot of the file and of this process. A producer knows
   * only the file. Rejects with `JobNotFoundError`.
   */
  explain(id: number): Promise<Explanation>

  /**
   * The transitions of all jobs with an id above `after`, except those that retention removed; those of each job are in order. Pass the
   * returned `last` as the next `after`, even if the page is empty, and you miss nothing. Without `after` the page is empty, and `last` is
   * the current position. `limit` is 1 to 1,000. A poll is cheap.
   */
  transitions(page?: { readonly after?: number; readonly limit?: number }): Promise<TransitionPage>
  /**
   * Resolves with the cancelled job; rejects with `IllegalTransitionError` if its state does not allow it. The signal of a running handler
   * fires.
   */
  cancel(id: number, options?: CallerOptions): Promise<Job>
  /**
   * Runs a `dead` or `cancelled` job again; its attempts start over. With `changes` it is changed in the same commit, as by `amend`: edit and
   * requeue.
   */
  requeue(id: number, options?: CallerOptions & { readonly changes?: Partial<Pick<NewJob, MutableName>> }): Promise<Job>
  /**
   * Changes a job that waits: in `scheduled`, `queued`, `retrying` or `blocked`. The payload is checked by its handler's schema, as at
   * enqueue. A `runAt` ahead makes the job wait for it; one that has passed lets it run now. When the promise resolves the change is on
   * disk, with an event in the history that says who changed what; `payloadAt` still reads the payload before. Rejects with
   * `IllegalTransitionError` if the job is leased, runs or has ended, `JobNotFoundError`, and `InvalidInputError` or `PayloadError` with
   * the path of each fault.
   */
  amend(id: number, changes: Partial<Pick<NewJob, MutableName>>, options?: CallerOptions): Promise<Job>
  /** The same for front doors, as `submit`: takes an unchecked JSON value; `requeue`: as `requeue` with these changes. */
  submitChanges(id: number, body: unknown, options?: CallerOptions & { readonly requeue?: boolean }): Promise<Job>
  /**
   * The payload of the job after its transition `at`, by default the last. Rejects as `path` does, and with `PayloadNotKeptError` if it is no
   * longer kept: a job keeps its first payload, the present one, and the newest 100 before that, up to 1 MiB.
   */
  payloadAt(id: number, at?: number): Promise<unknown>
  /**
   * Begins to count the jobs that match and whose state allows the command; resolves at once. No job changes before its `run`. Rejects with
   * `InvalidInputError` on a bad filter, or one whose state does not allow the command, and with `BackpressureError` while 20 are working.
   * To make room, the oldest that waits for confirmation is forgotten.
   */
  prepareBulk(command: Command, filter?: BulkFilter, options?: CallerOptions): Promise<Bulk>
  findBulk(id: string): Bulk | undefined
  /** The last 20, newest first. */
  bulks(): readonly Bulk[]
  /** How many jobs are in each state now. */
  counts(): Promise<Readonly<Record<JobState, number>>>
  metrics(): Promise<Metrics>
  /**
   * The processes that have the database open: at most 100, those that live first, then the newest of those that ended within a day. On
   * SQLite only this process, if it runs jobs.
   */
  nodes(): Promise<readonly NodeInfo[]>
  /** How often each edge of the job machine was taken since the file was made. */
  edgeCounts(): Promise<readonly EdgeCount[]>
  /**
   * Which edges a job took, and how often, up to its transition `at` (by default the last). Rejects with `JobNotFoundError`, and with
   * `InvalidInputError` if it has not made that many transitions.
   */
  path(id: number, options?: { readonly at?: number }): Promise<JobPath>
  /**
   * Checks the whole database on a separate thread, while the system runs: replays each job's history through the machine and compares it
   * with its row, recounts the kept counts, and runs SQLite's own checks. A million jobs take about ten seconds.
   */
  verify(options?: { readonly onProgress?: (id: number, lastId: number) => void }): Promise<VerifyReport>
  /**
   * Copies the database, as it is at one instant, into the new file `target` while the system runs; the only safe way for the process that
   * serves it. The copy gets its name only after it was checked and flushed. `onProgress` gets the number of pages copied and the total.
   * Rejects with `UnavailableError` if `target` exists or cannot be created, or if the system stops meanwhile.
   */
  backup(
    target: string,
    options?: { readonly onProgress?: (pages: number, ofPages: number) => void },
  ): Promise<BackupReport>
  /** What makes jobs at given times. */
  readonly schedules: Schedules<ScheduledJob<JobFor<Handlers>>>
  health(): Health
  /** What runs now, from memory. */
  activity(): Activity
  /** All measurements, for monitoring; the first call may take two seconds, since jobs are counted by type and queue. */
  telemetry(): Promise<Telemetry>
  /**
   * The number of jobs by type, queue and state, from the last count. Counts are at least 15 s apart and only made on request. Null if the
   * first count takes longer than two seconds; call again.
   */
  census(): Promise<Census | null>
  /** The last half hour, with a sample every two seconds while a server runs. With `after`: only samples newer than that `at`. */
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

/** Called with XState's own `InspectionEvent` for each thing that its actors do. */
export type Inspector = (event: InspectionEvent) => void
