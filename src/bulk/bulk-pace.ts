import { performance } from 'node:perf_hooks'
import { bulkReadyMax, bulkStepMax, bulkStepMin } from '../config.ts'
import { timers } from '../timers.ts'

/** What a step should take, in ms, the wait for its turn in the store included: one that takes longer has met others. */
const stepMs = 10
/** How long the next step waits at most while many jobs are ready, in ms: without a worker they would stay so for ever. */
export const readyPatienceMs = 1_000
/** Between two looks at how many there are, in ms. */
const lookMs = 10

export interface BulkPaceParts {
  /** Jobs that are ready to be run. */
  readonly countReady: () => Promise<number>
  /** Monotonic ms, and a wait for so many of them; for tests. */
  readonly elapsed?: () => number
  readonly wait?: (ms: number) => Promise<void>
}

/** Paces the commands over many jobs by what waits: calls for the store, and jobs for a worker. */
export class BulkPace {
  readonly #countReady: () => Promise<number>
  readonly #elapsed: () => number
  readonly #wait: (ms: number) => Promise<void>
  /** Jobs of the next step. */
  jobsMax = bulkStepMin

  constructor({ countReady, elapsed, wait }: BulkPaceParts) {
    this.#countReady = countReady
    this.#elapsed = elapsed ?? (() => performance.now())
    this.#wait = wait ?? ((ms) => new Promise((resolve) => void timers.setTimeout(resolve, ms)))
  }

  /** Does a step, and makes the next one larger or smaller by what it took. */
  async step<T>(run: () => Promise<T>): Promise<T> {
    const beganAt = this.#elapsed()
    const result = await run()
    const tookMs = this.#elapsed() - beganAt
    if (tookMs > stepMs) this.jobsMax = Math.max(bulkStepMin, Math.floor(this.jobsMax / 2))
    else if (tookMs < stepMs / 2) this.jobsMax = Math.min(bulkStepMax, this.jobsMax * 2)
    return result
  }

  /** Before jobs are queued: until those that are ready have become few, a second has passed, or `goesOn` says no. */
  async untilFewAreReady(goesOn: () => boolean): Promise<void> {
    const giveUpAt = this.#elapsed() + readyPatienceMs
    while (goesOn() && (await this.#countReady()) > bulkReadyMax && this.#elapsed() < giveUpAt) await this.#wait(lookMs)
  }
}
