import type { LeasedFacts } from '../../leased-facts.ts'

/** Of a lease that is given now; null if the row cannot be leased, because a hand has damaged it. */
const nextToken = 'iif(finished_at IS NULL AND lease_token IS NULL AND lease_expires_at IS NULL, seq + 1, NULL)'

/** The columns of a job that may be claimed. The queue as text, whatever a hand has made of it. */
export const readyColumns = `id, ${nextToken} AS token, type, CAST(queue AS TEXT) AS queue, attempt, max_attempts, timeout_ms, run_at, last_event_id`

/** What they are. */
export type ReadyJob = readonly [...LeasedFacts, lastEventId: number]

/**
 * Whether a row has the values that a claim computes with. Somebody may have written anything into it, and the machine's statements would
 * then fail for every job of the claim.
 */
export function isReadable([, leaseToken, type, , attempt, maxAttempts, timeoutMs, runAt]: ReadyJob): boolean {
  return (
    typeof type === 'string' &&
    Number.isSafeInteger(leaseToken) &&
    leaseToken > 1 &&
    Number.isSafeInteger(attempt) &&
    Number.isSafeInteger(maxAttempts) &&
    attempt < maxAttempts &&
    Number.isSafeInteger(runAt) &&
    (timeoutMs === null || (Number.isSafeInteger(timeoutMs) && timeoutMs > 0))
  )
}

/** The jobs that a claim set aside, so that no other claim meets them. */
export class SkippedJobs {
  /** By type. */
  readonly unhandled = new Map<string, number>()
  readonly unreadable: number[] = []

  get isEmpty(): boolean {
    return this.unhandled.size === 0 && this.unreadable.length === 0
  }

  add(job: ReadyJob): void {
    const [id, , type] = job
    if (isReadable(job)) this.unhandled.set(type, (this.unhandled.get(type) ?? 0) + 1)
    else this.unreadable.push(id)
  }
}
