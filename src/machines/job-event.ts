/** What the guards look at; each is a column of the job's row. */
export interface JobFacts {
  /** Attempts started and not given back since the job was enqueued or last requeued. */
  readonly attempt: number
  readonly maxAttempts: number
  /** How often the process ended while the job ran, since it was enqueued or requeued or an attempt last ended by itself. */
  readonly crashes: number
}

/** Everything that can happen to a job. */
export type JobEvent =
  /** Accepted and durable. `delayed`: its `run_at` lies ahead. */
  | { readonly type: 'enqueue'; readonly delayed: boolean }
  /** Its `run_at` has come. */
  | { readonly type: 'due' }
  /** Claimed by a dispatcher. */
  | { readonly type: 'lease' }
  /** The handler is to be called next. */
  | { readonly type: 'start' }
  | { readonly type: 'succeed' }
  /** The handler threw, or took too long. */
  | { readonly type: 'fail' }
  /** The handler threw what no retry can mend. */
  | { readonly type: 'reject' }
  /** The handler asked to be run later; this attempt does not count. */
  | { readonly type: 'snooze' }
  /** An orderly shutdown gave the job back, or no worker came free for it in time; this attempt does not count. */
  | { readonly type: 'release' }
  /** The lease ran out, or its owner is known to be dead. `crashed`: the latter. That costs no attempt, but is counted by itself. */
  | { readonly type: 'expire'; readonly crashed: boolean }
  /** A user stopped it. */
  | { readonly type: 'cancel' }
  /** A user runs it again from the beginning. */
  | { readonly type: 'requeue' }
