import type { JobState } from '../machines/job.ts'
import type { StoredError } from '../machines/lease.ts'
import { type fields, type NewJob, storedFields } from './fields.ts'

type StoredName = (typeof storedFields)[number][0]

/** The fields that a caller set, as readers get them. */
type ReadFields = {
  readonly [Name in StoredName]:
    | Exclude<NewJob[Name], undefined>
    | Extract<(typeof fields)[Name]['stored']['unset'], null>
}

/** The same fields as stored. */
type StoredFields = {
  readonly [Name in StoredName]: (typeof fields)[Name]['stored'] extends { isJson: true } ? string : ReadFields[Name]
}

/** One stored job. Instants are epoch ms; values that do not apply are null. */
export interface JobRow extends StoredFields {
  readonly id: number
  readonly state: JobState
  /** JSON text, as accepted. */
  readonly payload: string
  readonly attempt: number
  readonly maxAttempts: number
  /**
   * How often the process ended while the job ran, since it was enqueued or requeued or an attempt last ended by itself. From the second
   * time on the job runs first and alone.
   */
  readonly crashes: number
  readonly idempotencyKey: string | null
  /** When the job could first run, or run again. */
  readonly runAt: number
  readonly createdAt: number
  /** When its last attempt started. */
  readonly startedAt: number | null
  readonly finishedAt: number | null
  readonly error: StoredError | null
}

/** A job to store, already checked. Without `runAt` and `delayMs` it may run at once. */
export interface NewJobRow extends StoredFields {
  /** JSON text. */
  readonly payload: string
  readonly maxAttempts: number
  readonly runAt: number | null
  /** Counted from when the job is stored, which is after the call. */
  readonly delayMs: number | null
  /** `content`, the SHA-256 of the canonical request in hex, shows whether a second request with the key is the same. */
  readonly idempotency: { readonly key: string; readonly content: string } | null
  /** Who enqueues it: an `EventCause` as JSON text, which the history keeps; null if nobody says. */
  readonly cause: string | null
}

/** A job as readers see it. Instants are epoch ms; values that do not apply are null. */
export interface Job extends Omit<JobRow, 'payload' | 'maxAttempts' | StoredName>, ReadFields {
  readonly payload: unknown
  readonly maxRetries: number
}

/** The result for one enqueued job. `created` is false if an earlier job has its key and the same content. */
export interface EnqueuedJob {
  readonly id: number
  readonly state: JobState
  readonly created: boolean
}

const jsonNames = storedFields.flatMap(([name, { isJson }]) => (isJson ? [name] : []))

/** A stored job as readers see it. */
export function toJob({ payload, maxAttempts, ...row }: JobRow): Job {
  const parsed = jsonNames.map((name) => [name, JSON.parse(row[name] as string)])
  return { ...row, ...Object.fromEntries(parsed), payload: JSON.parse(payload), maxRetries: maxAttempts - 1 }
}
