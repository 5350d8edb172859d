import type { JobState } from '../machines/job.ts'
import type { StoredError } from '../machines/stored-error.ts'
import { type fields, type NewJob, type StoredName, storedFields } from './fields.ts'
import type { TraceContext } from './trace-context.ts'
import type { UniqueTerms, uniqueOutcomes } from './unique.ts'

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
  /** The key that it holds, or held, among the jobs of its type; null if it has none. */
  readonly uniqueKey: string | null
  /** When the job could first run, or run again. */
  readonly runAt: number
  readonly createdAt: number
  /** When its last attempt started. */
  readonly startedAt: number | null
  readonly finishedAt: number | null
  readonly error: StoredError | null
  /** The trace in which it was enqueued, 32 hexadecimal digits; null if there was none. */
  readonly traceId: string | null
  /** JSON text: the progress that its handler reported last, also in an earlier attempt. */
  readonly progress: string | null
  /** When that was stored, and the attempt that reported it. */
  readonly progressAt: number | null
  readonly progressAttempt: number | null
}

/** A job to store, already checked. Without `runAt` and `delayMs` it may run at once. */
export interface NewJobRow extends StoredFields {
  /** JSON text. */
  readonly payload: string
  readonly maxAttempts: number
  readonly runAt: number | null
  /** Counted from when the job is stored, which is after the call. */
  readonly delayMs: number | null
  /** `content`, the SHA-256 of the canonical request in hex, shows whether a second request with the key is the same. `replaceDead`: a dead job loses it. */
  readonly idempotency: { readonly key: string; readonly content: string; readonly replaceDead?: true } | null
  /** `behind`: the job that holds the key, which must end first; left out if it is to hold it at once. */
  readonly unique: (UniqueTerms & { readonly behind?: number }) | null
  /** Who enqueues it: an `EventCause` as JSON text, which the history keeps; null if nobody says. */
  readonly cause: string | null
  /** The span that enqueues it; null if there is none. */
  readonly trace: TraceContext | null
}

/** A job as readers see it. Instants are epoch ms; values that do not apply are null. */
export interface Job extends Omit<JobRow, 'payload' | 'maxAttempts' | 'progress' | StoredName>, ReadFields {
  readonly payload: unknown
  /** The progress that its handler reported last, also in an earlier attempt. */
  readonly progress: unknown
  readonly maxRetries: number
}

/**
 * The result for one enqueued job. `created` is false if it is another job: one that has its idempotency key and the same content, or
 * that holds its unique key.
 */
export interface EnqueuedJob {
  readonly id: number
  readonly state: JobState
  readonly created: boolean
  /**
   * What became of a request with `unique`; left out if there was none, or if its idempotency key was the answer. `stored`: the job holds the
   * key. `blocked`: the job waits until the one that holds the key has ended. `replaced`, `debounced`: this job holds the key or waits for
   * it, and is now as the request says. `returned`: it does, and was not changed.
   */
  readonly unique?: (typeof uniqueOutcomes)[number]
  /** False: it was stored by a transaction of yours that has not ended, and exists exactly if that commits. Left out otherwise. */
  readonly committed?: false
  /** The dead job that was cancelled, and whose idempotency key this one has now. Left out if there was none. */
  readonly replaced?: number
}

const jsonNames = storedFields.flatMap(([name, { isJson }]) => (isJson ? [name] : []))

/** A stored job as readers see it. One whose payload cannot be read has null, and an error that says so. */
export function toJob({ payload, maxAttempts, progress, ...row }: JobRow): Job {
  const parsed = jsonNames.map((name) => [name, JSON.parse(row[name] as string)])
  const job = { ...row, ...Object.fromEntries(parsed), maxRetries: maxAttempts - 1, progress: parseJson(progress) }
  try {
    return { ...job, payload: JSON.parse(payload) }
  } catch {
    return {
      ...job,
      payload: null,
      error: isUnreadable(row.error) ? row.error : unreadable('its payload cannot be read'),
    }
  }
}

/** For what no job depends on: null also if somebody has damaged it. */
export function parseJson(text: string | null): unknown {
  try {
    return text === null ? null : JSON.parse(text)
  } catch {
    return null
  }
}

const unreadableName = 'UnreadableJobError'

export function isUnreadable(error: StoredError | null): boolean {
  return error?.name === unreadableName
}

/** The error that readers get in the place of a job's own, or of an event's. */
export function unreadable(fault: string): StoredError {
  return { name: unreadableName, message: `${fault}; jobmachine verify lists what is wrong with the file` }
}
