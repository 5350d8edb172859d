import type { EventType } from './job.ts'
import type { StoredError } from './stored-error.ts'

/** Who holds which job. */
export interface Lease {
  readonly id: number
  /** The `seq` of the lease's event: unique and rising. Every outcome names it. */
  readonly leaseToken: number
}

/** How far ahead of its slots a node leases jobs under load. The dearer a call of the store, the farther. */
export interface PrefetchLimits {
  /** Within this time, in ms, each of them finds a slot, at the rate at which slots become free. */
  readonly withinMs: number
  /** They are never more than there are slots, or this many if those are fewer. */
  readonly mostAtLeast: number
}

/** A job leased to be run, with all that an attempt needs. */
export interface LeasedJob extends Lease {
  readonly type: string
  readonly queue: string
  /** JSON text; null if it is long: it is read when the job's handler is called, so that a job that waits for a slot does not hold it. */
  readonly payload: string | null
  /** Attempts counted before this one. */
  readonly attempt: number
  readonly maxAttempts: number
  readonly timeoutMs: number | null
  /** Epoch ms of the time from which it could run. */
  readonly runAt: number
  /**
   * Null if it belongs to no trace. `traceparent`, `tracestate`: of the span that enqueued it; `lastAttempt`: the `traceparent` of its last
   * attempt, unless that succeeded.
   */
  readonly trace: {
    readonly traceparent: string | null
    readonly tracestate: string | null
    readonly lastAttempt: string | null
  } | null
}

/** A line of a job's log. */
export interface LogLine {
  /** Epoch ms. */
  readonly at: number
  readonly level: 'info' | 'warn' | 'error'
  readonly message: string
  /** An object as JSON text; null if there are none. */
  readonly fields: string | null
  /** What it counts towards the bytes of its log. */
  readonly bytes: number
}

/** What a running handler has reported since this was last stored. */
export interface Report {
  /** JSON text; left out if there is no new value. */
  readonly progress?: string
  /** Oldest first. */
  readonly lines: readonly LogLine[]
}

/** The outcome of a leased job, to be committed. */
export interface LeaseEvent extends Lease {
  readonly event: Extract<EventType, 'start' | 'succeed' | 'fail' | 'reject' | 'snooze' | 'release'>
  /** The time from the commit until the job may run again, if it does; 0 by default. */
  readonly delayMs?: number
  readonly error?: StoredError
  /** What the handler noted about the attempt, at most 1,000 characters. */
  readonly note?: string
  /** The `traceparent` of the attempt, to which the next one refers. */
  readonly traceparent?: string
  /** The last report of the attempt, stored before the outcome. */
  readonly report?: Report
  /** What the handler returned, as JSON text, of a success. */
  readonly result?: string
}

/** What recovery requeued: jobs whose leases belonged to nodes that are gone. */
export interface Recovered {
  readonly leased: number
  readonly running: number
  /** How many of the running ones are suspects: the process had also ended during an earlier run. */
  readonly suspects: number
  /** Every such node was being stopped when it ended: its jobs were given back, and none is blamed for it. */
  readonly wasStopping: boolean
}
