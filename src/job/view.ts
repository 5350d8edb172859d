import type { JobState } from '../machines/job.ts'
import { type ReadFields, type StoredName, toRead } from './fields.ts'
import type { JobRow } from './row.ts'

/** A job as readers see it. Instants are epoch ms; what does not apply is null. */
export interface Job extends Omit<JobRow, 'payload' | 'maxAttempts' | StoredName>, ReadFields {
  readonly payload: unknown
  readonly maxRetries: number
}

/** What became of one job handed in; `created` false where an earlier job has its key and the same content. */
export interface EnqueuedJob {
  readonly id: number
  readonly state: JobState
  readonly created: boolean
}

/** A stored job as readers see it. */
export function toJob({ payload, maxAttempts, ...row }: JobRow): Job {
  return { ...toRead(row), payload: JSON.parse(payload), maxRetries: maxAttempts - 1 }
}
