import { performance } from 'node:perf_hooks'
import type { CensusCount } from '../../persistence/store.ts'
import type { Clock } from '../../runtime/clock.ts'
import { timers } from '../../runtime/timers.ts'

/** A count of all jobs that was finished at `at`, in epoch ms. It took a while, so it is not of a single instant. */
export interface Census {
  readonly at: number
  readonly tookMs: number
  /**
   * Combinations without jobs are left out. The 200 pairs of type and queue with the most jobs are separate, the rest are together under
   * `_other` for both, a name that no type or queue can have.
   */
  readonly jobs: readonly CensusCount[]
}

/**
 * Between the end of one count and the start of the next, in ms and as a multiple of its duration: at most one part in twenty of a thread's
 * time.
 */
const restMs = 15_000
const restShare = 20
/** How long a caller waits for the first count, in ms. */
const firstWaitMs = 2_000

interface CensusParts {
  readonly count: () => Promise<readonly CensusCount[]>
  readonly clock: Clock
  /** Monotonic ms; for tests. */
  readonly elapsed?: () => number
}

/** Counts the jobs only on request and not often: callers get the last count. */
export class TypeCounter {
  readonly #parts: CensusParts
  readonly #elapsed: () => number
  #last: Census | null = null
  #underWay: Promise<Census | null> | null = null
  #nextAt = Number.NEGATIVE_INFINITY

  constructor(parts: CensusParts) {
    this.#parts = parts
    this.#elapsed = parts.elapsed ?? (() => performance.now())
  }

  /** The last count; if there is none yet, the first one if it is finished soon, else null. */
  async take(): Promise<Census | null> {
    if (this.#elapsed() >= this.#nextAt) this.#underWay ??= this.#count()
    if (this.#last || !this.#underWay) return this.#last
    return Promise.race([this.#underWay, later(firstWaitMs)])
  }

  async #count(): Promise<Census | null> {
    const begunAt = this.#elapsed()
    try {
      const jobs = await this.#parts.count()
      const tookMs = this.#elapsed() - begunAt
      this.#nextAt = this.#elapsed() + Math.max(restMs, restShare * tookMs)
      this.#last = { at: this.#parts.clock.now(), tookMs, jobs }
    } catch {
      // The file cannot be read now. The next request tries again.
    } finally {
      this.#underWay = null
    }
    return this.#last
  }
}

function later(ms: number): Promise<null> {
  return new Promise((resolve) => timers.setTimeout(resolve, ms, null).unref())
}
