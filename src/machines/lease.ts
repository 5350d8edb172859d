import type { EventType } from './job.ts'

/** An error as it is stored, each part cut to a bound. */
export interface DescribedError {
  readonly name: string
  /** With those of its causes and of the errors that it holds. */
  readonly message: string
  /** These three as the error had them, if it did. */
  readonly code?: string | number
  readonly errno?: number
  readonly syscall?: string
}

/** An attempt's error as it is stored. */
export interface StoredError extends DescribedError {
  /** Its causes, three at most, in their order. */
  readonly causes?: readonly DescribedError[]
  /** What an `AggregateError` among them holds, ten at most. */
  readonly errors?: readonly DescribedError[]
  /** Frames, also those of its causes, 4,000 characters at most. The history has it; a job's last error has not. */
  readonly stack?: string
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
  /** From the commit until the job may run again, if it does; 0 unless given. */
  readonly delayMs?: number
  readonly error?: StoredError
}

/** What recovery found and moved: jobs whose leases belonged to nodes that are gone. */
export interface Recovered {
  readonly leased: number
  readonly running: number
  /** Of those that ran: the process has ended while they ran before. */
  readonly suspects: number
  /** Every such node was being stopped when it ended: its jobs were given back, and none was taken for the cause. */
  readonly wasStopping: boolean
}
