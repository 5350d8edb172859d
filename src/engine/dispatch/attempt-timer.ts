import type { Stall } from '../../machines/slots.ts'
import type { ClockTimers } from '../../runtime/clock.ts'

/** How long nothing ran, in ms, in total. Only what is added while a timer runs matters to it. */
interface Stalls {
  /** The event loop: a handler blocked it, or the process was stopped. */
  loopMs(): number
  /** Another thread of the process, which no handler blocks. Reported up to `settleMs` after it continues. */
  threadMs(): number
}

/** How long a late timer lets the loop read what has arrived meanwhile, in ms. */
const settleMs = 500

/**
 * A timer of an attempt. Time in which the whole process did not run (SIGSTOP, a suspended machine, a debugger) does not count, because
 * answers that arrived meanwhile have not been read. Time in which a handler blocked the loop counts, but input that arrived meanwhile is
 * read before the timer fires.
 */
export class AttemptTimer {
  readonly #timers: ClockTimers
  readonly #stalls: Stalls
  readonly #loopMs: number
  readonly #threadMs: number
  readonly #fire: (stoodStillMs: number) => void
  #timer: NodeJS.Timeout
  /** How much time was already added for stalls. */
  #addedMs = 0
  #hasSettled = false

  /** `fire` is called once, with how long the loop has been blocked since the timer was created. */
  constructor(ms: number, stalls: Stalls, timers: ClockTimers, fire: (stoodStillMs: number) => void) {
    this.#timers = timers
    this.#stalls = stalls
    this.#loopMs = stalls.loopMs()
    this.#threadMs = stalls.threadMs()
    this.#fire = fire
    this.#timer = this.#timers.setTimeout(() => this.#due(), ms)
  }

  /** The timer alone does not keep the process alive. */
  unref(): this {
    this.#timer.unref()
    return this
  }

  clear(): void {
    this.#timers.clearTimeout(this.#timer)
  }

  /** Since this was made. */
  get stall(): Stall {
    const loopMs = this.#stalls.loopMs() - this.#loopMs
    const stoppedMs = Math.min(loopMs, this.#stalls.threadMs() - this.#threadMs)
    return { stoppedMs, blockedMs: loopMs - stoppedMs }
  }

  #due(): void {
    const { stoppedMs, blockedMs } = this.stall
    const loopMs = stoppedMs + blockedMs
    if (loopMs > 0 && !this.#hasSettled) {
      this.#hasSettled = true
      this.#again(settleMs)
      return
    }
    if (stoppedMs > this.#addedMs) {
      const missingMs = stoppedMs - this.#addedMs
      this.#addedMs = stoppedMs
      this.#hasSettled = false
      this.#again(missingMs)
      return
    }
    this.#fire(loopMs)
  }

  #again(ms: number): void {
    const isHeld = this.#timer.hasRef()
    this.#timer = this.#timers.setTimeout(() => this.#due(), ms)
    if (!isHeld) this.#timer.unref()
  }
}
