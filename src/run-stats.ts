import type { AttemptStats } from './handlers/attempt.ts'
import type { LeasedJob } from './machines/lease.ts'

/** What this process has seen of its attempts; gone with it. */
export class RunStats implements AttemptStats {
  /** Events that the store refused because their lease was no longer held. */
  refused = 0
  /** By attempt, not by job: one that was given up may go on beside the job's next. */
  readonly #timeouts = new Map<LeasedJob, number>()
  #started = 0
  #inQueueMs = 0
  #ended = 0
  #executionMs = 0

  started(job: LeasedJob, at: number, timeoutMs: number): void {
    this.#timeouts.set(job, timeoutMs)
    this.#started++
    this.#inQueueMs += Math.max(at - job.runAt, 0)
  }

  ended(job: LeasedJob, tookMs: number): void {
    this.#timeouts.delete(job)
    this.#ended++
    this.#executionMs += tookMs
  }

  /** Handlers that have been called and have not ended. */
  get active(): number {
    return this.#timeouts.size
  }

  /** Of the attempts that run now, in ms; 0 where none does. */
  longestTimeoutMs(): number {
    return Math.max(0, ...this.#timeouts.values())
  }

  get avgExecutionMs(): number {
    return this.#ended === 0 ? 0 : this.#executionMs / this.#ended
  }

  /** From the instant a job could run to its handler's call. */
  get avgTimeInQueueMs(): number {
    return this.#started === 0 ? 0 : this.#inQueueMs / this.#started
  }
}
