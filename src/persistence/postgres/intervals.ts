import { timers } from '../../runtime/timers.ts'

/** How many times as long as a look took its task rests: with an old snapshot open, the rows of many ended jobs lie in the way. */
const restShare = 10
/** At most, in ms: it may have taken long because the server was away. */
const restMaxMs = 1_000

/** The pause after a look that took so long, in ms. */
export function restAfter(tookMs: number, leastMs: number): number {
  return Math.max(leastMs, Math.min(restShare * tookMs, restMaxMs))
}

/** Runs each of some tasks again and again, a pause after its end, until it is stopped. A task that fails is tried again after its pause. */
export class Intervals {
  readonly #keepsAlive: boolean
  readonly #timers = new Set<NodeJS.Timeout>()
  #stopped = false
  #running = new Set<Promise<void>>()

  /** `keepsAlive`: the process does not end by itself before `stop`, even if it has no connection meanwhile. */
  constructor(keepsAlive: boolean) {
    this.#keepsAlive = keepsAlive
  }

  /** `pauseMs`: or what the task answers, if that is a number. */
  every(pauseMs: number, task: () => Promise<unknown>): void {
    if (this.#stopped) return
    const timer = timers.setTimeout(() => {
      this.#timers.delete(timer)
      const running = task()
        .catch(() => {})
        .then((pause) => {
          this.#running.delete(running)
          this.every(typeof pause === 'number' ? pause : pauseMs, task)
        })
      this.#running.add(running)
    }, pauseMs)
    if (!this.#keepsAlive) timer.unref()
    this.#timers.add(timer)
  }

  /** Resolves when none runs any more. */
  async stop(): Promise<void> {
    this.#stopped = true
    for (const timer of this.#timers) timers.clearTimeout(timer)
    await Promise.all(this.#running)
  }
}
