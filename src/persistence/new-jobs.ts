import { findEdge } from '../machines/edges.ts'
import type { JobState } from '../machines/job.ts'
import type { EnqueuedJob, NewJobRow } from './store.ts'

/** What decides whether a job is stored, and in which state. */
export type IncomingJob = Pick<
  NewJobRow,
  'type' | 'queue' | 'idempotency' | 'unique' | 'runAt' | 'delayMs' | 'maxAttempts' | 'cause'
>

/** The `job` that holds a unique key, and the one that waits for it. `hasBegun`: it was claimed, or has run before. */
export interface KeyHolder {
  readonly job: Pick<EnqueuedJob, 'id' | 'state'>
  readonly hasBegun: boolean
  readonly createdAt: number
  readonly next: (Pick<EnqueuedJob, 'id' | 'state'> & { readonly createdAt: number }) | null
}

/** The time from which a job that is stored at `now` may run. */
export function runAtOf({ runAt, delayMs }: Pick<NewJobRow, 'runAt' | 'delayMs'>, now: number): number {
  return Math.max(runAt ?? now + (delayMs ?? 0), now)
}

/** The state in which it is stored at `now`; `blocked`: another job must end first. */
export function stateOf(
  job: Pick<NewJobRow, 'runAt' | 'delayMs' | 'maxAttempts'>,
  now: number,
  blocked: boolean,
): JobState {
  const facts = { attempt: 0, maxAttempts: job.maxAttempts, crashes: 0 }
  return findEdge('new', { type: 'enqueue', delayed: runAtOf(job, now) > now, blocked }, facts)!.to
}
