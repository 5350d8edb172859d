import { performance } from 'node:perf_hooks'
import { edgesOn, hasTag } from '../../machines/edges.ts'
import type { Command } from '../../persistence/store.ts'
import { timers } from '../../runtime/timers.ts'

/** Jobs that one step moves: at most, and where others wait. */
const stepMax = 500
const stepMin = 100
/** If more jobs than this are ready and other work comes, a requeue waits before its next step, for a second at most. */
const readyMax = 250

/** What a step should take beside others, in ms, the wait for its turn in the store included: one that takes longer has met them. */
const stepMs = 10
/** How long after other work came it is taken to come still, in ms; so also how long a step waits at most while many jobs are ready. */
const otherWorkMs = 1_000
/** Between two looks at how many there are, in ms. */
const lookMs = 10
/**
 * The rest after a step, as a multiple of the time that the step took: beside other work, and without. It is never zero, because processes
 * that write beside this one need gaps.
 */
const rests = { shared: 1, idle: 1 / 3 }
const restMaxMs = 100

/** The ready jobs, and how many jobs ever became ready otherwise than by a requeue. */
interface Waiting {
  readonly ready: number
  readonly arrived: number
}

export interface BulkThrottleOptions {
  readonly look: () => Promise<Waiting>
  /** Monotonic ms, and a wait for so many of them; for tests. */
  readonly elapsed?: () => number
  readonly wait?: (ms: number) => Promise<void>
}

/** Paces the commands over many jobs by what else there is to do: at the store's speed while nothing is. */
export class BulkThrottle {
  readonly #look: BulkThrottleOptions['look']
  readonly #elapsed: () => number
  readonly #wait: (ms: number) => Promise<void>
  #arrived: number | null = null
  /** By `elapsed`. */
  #arrivedAt = Number.NEGATIVE_INFINITY
  /** Jobs of the next step. */
  jobsMax = stepMin

  constructor({ look, elapsed, wait }: BulkThrottleOptions) {
    this.#look = look
    this.#elapsed = elapsed ?? (() => performance.now())
    this.#wait = wait ?? ((ms) => new Promise((resolve) => void timers.setTimeout(resolve, ms)))
  }

  /** Does a step, and makes the next one larger or smaller by what it took. */
  async step<T>(run: () => Promise<T>): Promise<T> {
    const beganAt = this.#elapsed()
    const result = await run()
    const tookMs = this.#elapsed() - beganAt
    if (!this.#isShared || tookMs < stepMs / 2) this.jobsMax = Math.min(stepMax, this.jobsMax * 2)
    else if (tookMs > stepMs) this.jobsMax = Math.max(stepMin, Math.floor(this.jobsMax / 2))
    return result
  }

  /** The rest after what took so long, in ms: this share of the store's time is left to others. */
  restMs(tookMs: number): number {
    return Math.min(tookMs * (this.#isShared ? rests.shared : rests.idle), restMaxMs)
  }

  /**
   * Before each step. Where other work comes, jobs that are queued now would be run before it: one that queues more waits until few are ready,
   * a second has passed, or `goesOn` says no.
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
    // The first look cannot tell when they came.
    if (arrived !== this.#arrived) this.#arrivedAt = this.#elapsed()
    this.#arrived = arrived
    return ready
  }

  get #isShared(): boolean {
    return this.#elapsed() - this.#arrivedAt < otherWorkMs
  }
}
