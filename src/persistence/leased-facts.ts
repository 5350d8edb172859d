import type { LeasedJob } from './store.ts'

/** A `LeasedJob` without its payload and its trace, as a row of the database. */
export type LeasedFacts = readonly [
  id: number,
  leaseToken: number,
  type: string,
  queue: string,
  attempt: number,
  maxAttempts: number,
  timeoutMs: number | null,
  runAt: number,
]

/** The row may have more columns. */
export function toLeased(
  row: readonly [...LeasedFacts, ...unknown[]],
  payload: LeasedJob['payload'],
  trace: LeasedJob['trace'],
): LeasedJob {
  const [id, leaseToken, type, queue, attempt, maxAttempts, timeoutMs, runAt] = row
  return { id, leaseToken, type, queue, payload, attempt, maxAttempts, timeoutMs, runAt, trace }
}
