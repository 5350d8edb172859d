import type { AttemptStats } from './handlers/attempt.ts'
import type { LeasedJob } from './machines/lease.ts'

/** What this process has seen of its attempts; gone with it. */
export class RunStats implements AttemptStats {
  /** Events that the store refused because their lease was no longer held. */
  refused = 0
  /** By attempt, not by job: one that was given up may go on beside the job's next. */
  readonly #timeouts = new Map<LeasedJob, number>()
  readonly #aborts = new Map<LeasedJob, { readonly at: number; readonly reason: Error }>()
  #started = 0
  #inQueueMs = 0
  #ended = 0
  #executionMs = 0

  started(job: LeasedJob, at: number, timeoutMs: number): void {
    this.#timeouts.set(job, timeoutMs)
    this.#started++
    this.#inQueueMs += Math.max(at - job.runAt, 0)
  }

  aborted(job: LeasedJob, at: number, reason: Error): void {
    this.#aborts.set(job, { at, reason })
  }

  ended(job: LeasedJob, tookMs: number): void {
    this.#timeouts.delete(job)
    this.#aborts.delete(job)
    this.#ended++
    this.#executionMs += tookMs
  }

  /** Handlers that have been called and have not ended. */
  get active(): number {
    return this.#timeouts.size
  }

  /** Of one attempt that runs now, in ms; null where its handler was not called yet, or has ended. */
  timeoutMsOf(job: LeasedJob): number | null {
    return this.#timeouts.get(job) ?? null
  }

  /** When the handler of an attempt that runs now was told to stop, in epoch ms, and why; null while it was not. */
  abortOf(job: LeasedJob): { readonly at: number; readonly reason: Error } | null {
    return this.#aborts.get(job) ?? null
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
