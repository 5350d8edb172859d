import type { ClockTimers } from '../../runtime/clock.ts'

/** For how long, in ms and in all, it was seen that nothing turned. What is added while a timer runs is what counts. */
interface Stalls {
  /** The event loop: a handler blocked it, or the process stood still. */
  loopMs(): number
  /** Another thread of the process, which no handler blocks; told up to `settleMs` after it went on. */
  threadMs(): number
}

/** What a timer that comes late waits for the loop to read what has arrived meanwhile, in ms. */
const settleMs = 500

/**
 * A timer of an attempt. Time in which the whole process did not run (SIGSTOP, a suspended machine, a debugger) does not count, since
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
  /** How much of the standstill has been made good. */
  #addedMs = 0
  #hasSettled = false

  /** `fire`: called once, with for how long the loop has stood still since this was made. */
  constructor(ms: number, stalls: Stalls, timers: ClockTimers, fire: (stoodStillMs: number) => void) {
    this.#timers = timers
    this.#stalls = stalls
    this.#loopMs = stalls.loopMs()
    this.#threadMs = stalls.threadMs()
    this.#fire = fire
    this.#timer = this.#timers.setTimeout(() => this.#due(), ms)
  }

  /** It keeps no process alive that has nothing else to wait for. */
  unref(): this {
    this.#timer.unref()
    return this
  }

  clear(): void {
    this.#timers.clearTimeout(this.#timer)
  }

  #due(): void {
    const loopMs = this.#stalls.loopMs() - this.#loopMs
    if (loopMs > 0 && !this.#hasSettled) {
      this.#hasSettled = true
      this.#again(settleMs)
      return
    }
    const stoppedMs = Math.min(loopMs, this.#stalls.threadMs() - this.#threadMs)
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
