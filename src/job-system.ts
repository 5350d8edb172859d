import type { InspectionEvent } from 'xstate'
import type { Explanation } from './explanation.ts'
import type { JsonSchema } from './handlers/payload-schema.ts'
import type { EnqueuedJob, Job, NewJob } from './jobs.ts'
import type { JobState } from './machines/job.ts'
import type { EdgeCount, HistoryEvent, JobPath, VerifyReport, Violation } from './persistence/store.ts'

export type {
  EdgeCount,
  EnqueuedJob,
  Explanation,
  HistoryEvent,
  Job,
  JobPath,
  JobState,
  JsonSchema,
  NewJob,
  VerifyReport,
  Violation,
}

/** Which jobs to list; all of them unless narrowed. */
export interface JobFilter {
  readonly state?: JobState
  readonly type?: string
  readonly queue?: string
  /** 1 to 500, 50 unless given. */
  readonly limit?: number
  /** `nextCursor` of the page before. */
  readonly cursor?: string
}

/** Newest first. A page may be short, even empty, and still have a `nextCursor`: one request reads a bounded number of jobs, and of their bytes. */
export interface JobList {
  readonly jobs: readonly Job[]
  readonly nextCursor: string | null
}

/** The first three are true now, from the store; the rest count since this process opened the file. */
export interface Metrics {
  readonly activeWorkers: number
  /** Jobs in `queued`. */
  readonly queueDepth: number
  readonly deadLetterCount: number
  /** Attempts that failed, or whose lease ran out, and that run again. */
  readonly retryCount: number
  readonly successCount: number
  /** Attempts that ended in `fail`, `reject` or `expire`. */
  readonly failureCount: number
  /** 0 where no attempt has ended. */
  readonly avgExecutionMs: number
  /** From `runAt` to the handler's call; 0 where no attempt has started. */
  readonly avgTimeInQueueMs: number
}

/** `ready`: its last commit went well and it is neither recovering nor draining; otherwise `reason` says what it is. */
export interface Health {
  readonly ready: boolean
  readonly reason: string | null
}

/** What the dispatcher and its workers do now. */
export interface Activity {
  /** The dispatcher's state; null for a producer, which has none. */
  readonly mode: string | null
  /** Attempts that can be made at once. */
  readonly slots: number
  /** One for each slot that is taken. */
  readonly workers: readonly {
    readonly worker: number
    readonly jobId: number
    readonly type: string
    /** From 1. */
    readonly attempt: number
    readonly phase: string
    /** Epoch ms; null where it is not known. */
    readonly since: number | null
  }[]
}

/** Background jobs in one SQLite file. Made by `createJobSystem`. Rejects with the errors of `errors.ts`. */
export interface JobSystem {
  /** What an acknowledged write survives, in words. */
  readonly durability: string
  /** The types that have a handler here. */
  readonly types: readonly string[]
  /** What the payload of each may be when it is handed in, as JSON Schema; any JSON, `{}`, where its schema's library cannot tell. */
  readonly payloadSchemas: Readonly<Record<string, JsonSchema>>
  /** Recovers what a dead process left behind, then runs jobs; resolves when the first may start. A producer only opens. */
  start(): Promise<void>
  /** Leases no more, lets running jobs finish for `graceMs` (the settings' unless given), gives the rest back, closes the file. */
  stop(options?: { readonly graceMs?: number }): Promise<void>
  /** Resolves when the job is on disk; an array is all or nothing, in the same order. */
  enqueue(job: NewJob): Promise<EnqueuedJob>
  enqueue(jobs: readonly NewJob[]): Promise<EnqueuedJob[]>
  /** The same for front doors: an unchecked JSON value, one job or an array, with field names in snake_case; always an array. */
  submit(body: unknown): Promise<EnqueuedJob[]>
  find(id: number): Promise<Job | undefined>
  /** Rejects with `InvalidInputError` on a bad limit or cursor. */
  list(filter?: JobFilter): Promise<JobList>
  /** Every transition the job made, oldest first; `after` a `seq`, `limit` 1 to 1,000. Rejects with `JobNotFoundError`. */
  history(id: number, page?: { readonly after?: number; readonly limit?: number }): Promise<readonly HistoryEvent[]>
  /**
   * Why the job is where it is, what can happen next and what stands in the way: a snapshot of the file and of this process. Rejects with
   * `JobNotFoundError`. A producer knows only the file.
   */
  explain(id: number): Promise<Explanation>
  /** Resolves with the job after it; rejects with `IllegalTransitionError` where the machine refuses. A running handler's signal fires. */
  cancel(id: number): Promise<Job>
  /** Runs a `dead` or `cancelled` job again, its attempts begin anew. */
  requeue(id: number): Promise<Job>
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
  activity(): Activity
  /**
   * Checks the whole database, on a thread of its own, while everything goes on: replays every job's history through the machine and
   * compares it with its row, recounts what is kept counted, lets SQLite check the file. A million jobs take about ten seconds.
   */
  verify(options?: { readonly onProgress?: (id: number, lastId: number) => void }): Promise<VerifyReport>
  health(): Health
}

/** What the system logs to; a pino logger fits. */
export interface SystemLog {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
  child(fields: object): SystemLog
}

/** Told of what XState's actors do. */
export type Inspector = (event: InspectionEvent) => void
