/** The facts that the guards use; each is a column of the job's row. */
export interface JobFacts {
  /** Attempts started and not given back since the job was enqueued or last requeued. */
  readonly attempt: number
  readonly maxAttempts: number
  /** How often the process ended while the job ran, since it was enqueued or requeued or an attempt last ended by itself. */
  readonly crashes: number
}

/** All events of a job. */
export type JobEvent =
  /** Accepted and durable. `delayed` if its `run_at` is in the future; `blocked` if another job must end first. */
  | { readonly type: 'enqueue'; readonly delayed: boolean; readonly blocked: boolean }
  /** The job that it waited for has ended. */
  | { readonly type: 'unblock'; readonly delayed: boolean }
  /** Its `run_at` has come. */
  | { readonly type: 'due' }
  /** Claimed by a dispatcher. */
  | { readonly type: 'lease' }
  /** The handler will be called next. */
  | { readonly type: 'start' }
  | { readonly type: 'succeed' }
  /** The handler threw or timed out. */
  | { readonly type: 'fail' }
  /** The handler threw an error that no retry can help. */
  | { readonly type: 'reject' }
  /** The handler asked to be run later; this attempt does not count. */
  | { readonly type: 'snooze' }
  /** A clean shutdown gave the job back, or no worker became free for it in time; this attempt does not count. */
  | { readonly type: 'release' }
  /** The lease expired, or, with `crashed`, its owner is known to be dead. A crash costs no attempt, but has its own count. */
  | { readonly type: 'expire'; readonly crashed: boolean }
  /** A user stopped it. */
  | { readonly type: 'cancel' }
  /** A user runs it again, with new attempts. */
  | { readonly type: 'requeue' }
  /** A user changed its payload, `run_at`, priority or retries; `delayed` if its `run_at` is in the future after that. */
  | { readonly type: 'amend'; readonly delayed: boolean }
