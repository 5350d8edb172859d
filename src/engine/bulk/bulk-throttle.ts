import { performance } from 'node:perf_hooks'
import { edgesOn, hasTag } from '../../machines/edges.ts'
import type { Command } from '../../persistence/store.ts'
import { timers } from '../../runtime/timers.ts'

/** Jobs that one step changes: at most, and while others wait. */
const stepMax = 500
const stepMin = 100
/** If more jobs than this are ready and other work comes, a requeue waits before its next step, for a second at most. */
const readyMax = 250

/**
 * How long a step should take beside others, in ms, including the wait for its turn in the store. A step that takes longer had to wait for
 * others.
 */
const stepMs = 10
/**
 * For this long after other work arrived, in ms, more of it is expected. This is also the longest wait of a step while many jobs are ready.
 */
const otherWorkMs = 1_000
/** Ms between two checks of how many jobs are ready. */
const lookMs = 10
/**
 * The rest after a step, as a multiple of its duration, with and without other work. It is never zero, because other processes that write
 * need gaps.
 */
const rests = { shared: 1, idle: 1 / 3 }
const restMaxMs = 100

/** The ready jobs, and how many jobs have ever become ready other than by a requeue. */
interface Waiting {
  readonly ready: number
  readonly arrived: number
}

export interface BulkThrottleOptions {
  readonly look: () => Promise<Waiting>
  /** Monotonic ms, and a wait of so many ms; for tests. */
  readonly elapsed?: () => number
  readonly wait?: (ms: number) => Promise<void>
}

/** Paces bulk actions by the other work: at the store's full speed if there is none. */
export class BulkThrottle {
  readonly #look: BulkThrottleOptions['look']
  readonly #elapsed: () => number
  readonly #wait: (ms: number) => Promise<void>
  #arrived: number | null = null
  /** In ms of `elapsed`. */
  #arrivedAt = Number.NEGATIVE_INFINITY
  /** The number of jobs in the next step. */
  jobsMax = stepMin

  constructor({ look, elapsed, wait }: BulkThrottleOptions) {
    this.#look = look
    this.#elapsed = elapsed ?? (() => performance.now())
    this.#wait = wait ?? ((ms) => new Promise((resolve) => void timers.setTimeout(resolve, ms)))
  }

  /** Does a step, and makes the next one larger or smaller depending on how long it took. */
  async step<T>(run: () => Promise<T>): Promise<T> {
    const beganAt = this.#elapsed()
    const result = await run()
    const tookMs = this.#elapsed() - beganAt
    if (!this.#isShared || tookMs < stepMs / 2) this.jobsMax = Math.min(stepMax, this.jobsMax * 2)
    else if (tookMs > stepMs) this.jobsMax = Math.max(stepMin, Math.floor(this.jobsMax / 2))
    return result
  }

  /** The rest after a step of this many ms, which leaves a share of the store's time to others. */
  restMs(tookMs: number): number {
    return Math.min(tookMs * (this.#isShared ? rests.shared : rests.idle), restMaxMs)
  }

  /**
   * Call before each step. While other work arrives, jobs that are queued now would run before it, so a step that queues more waits until
   * few are ready, a second has passed, or `goesOn` returns false.
   */
  async untilNext(command: Command, goesOn: () => boolean): Promise<void> {
    const isQueuing = edgesOn(command).some(({ to }) => hasTag(to, 'ready'))
    const giveUpAt = this.#elapsed() + otherWorkMs
    while (goesOn()) {
      const ready = await this.#countReady()
      if (!isQueuing || !this.#isShared || ready <= readyMax || this.#elapsed() >= giveUpAt) return
      await this.#wait(lookMs)
    }
  }

  async #countReady(): Promise<number> {
    const { ready, arrived } = await this.#look()
    // The first check cannot tell when they arrived.
    if (arrived !== this.#arrived) this.#arrivedAt = this.#elapsed()
    this.#arrived = arrived
    return ready
  }

  get #isShared(): boolean {
    return this.#elapsed() - this.#arrivedAt < otherWorkMs
  }
}
