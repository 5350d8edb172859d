import type { EventType } from './job.ts'

/** An attempt's error as it is stored: both parts cut to a bound, no stack. */
export interface StoredError {
  readonly name: string
  readonly message: string
}

/** Who holds which job. */
export interface Lease {
  readonly id: number
  /** The `seq` of the lease's event: unique, rising. Every outcome names it. */
  readonly leaseToken: number
}

/** A job handed out to be run: all that an attempt needs. */
export interface LeasedJob extends Lease {
  readonly type: string
  /** JSON text. */
  readonly payload: string
  /** Attempts counted before this one. */
  readonly attempt: number
  readonly maxAttempts: number
  readonly timeoutMs: number | null
  /** Epoch ms: when it could run. */
  readonly runAt: number
}

/** What happened to a leased job, to be committed. */
export interface LeaseEvent extends Lease {
  readonly event: Extract<EventType, 'start' | 'succeed' | 'fail' | 'reject' | 'snooze' | 'release'>
  /** From the commit until the job may run again, where it does; 0 unless given. */
  readonly delayMs?: number
  readonly error?: StoredError
}
