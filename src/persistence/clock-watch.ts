import type { MonotonicClock } from '../runtime/clock.ts'

/** How much the wall clock may gain or lose between two checks, in ms; slow corrections stay far below this. */
const toleranceMs = 1_000
/** How long the clock must have been steady before anything is deleted by it, in ms: time to notice and correct a wrong one. */
const steadyMs = 3_600_000

/**
 * Watches whether the wall clock advances as time passes. A clock that was set wrong, by a time server or on a machine without a
 * battery-backed clock, is corrected some time later; until then nothing must be deleted by it. What the clock showed before this process
 * started is unknown, so a start is no better than a jump.
 */
export class ClockWatch {
  readonly #clock: MonotonicClock
  readonly #neededMs: number
  readonly #onJump: (ms: number) => void
  /** The difference between the wall clock and the steady one. */
  #offset: number | null = null
  #steadySince = 0
  /** The result of the last check. */
  isSteady = false

  /**
   * `keepMs`: how long the things are kept that are deleted by it; none has to wait longer. `onJump` gets by how much the clock jumped,
   * ahead or back.
   */
  constructor(clock: MonotonicClock, keepMs: number, onJump: (ms: number) => void) {
    this.#clock = clock
    this.#neededMs = Math.min(steadyMs, keepMs)
    this.#onJump = onJump
  }

  /** Call it regularly: returns whether the wall clock has been steady for long enough. */
  look(): boolean {
    const { wall, steady } = this.#read()
    const offset = wall - steady
    const before = this.#offset
    this.#offset = offset
    if (before === null || Math.abs(offset - before) > toleranceMs) {
      this.#steadySince = steady
      if (before !== null) this.#onJump(offset - before)
    }
    this.isSteady = steady - this.#steadySince >= this.#neededMs
    return this.isSteady
  }

  /** Both at one instant, because the process may be held up between two readings. */
  #read(): { wall: number; steady: number } {
    for (;;) {
      const wall = this.#clock.now()
      const steady = this.#clock.monotonic()
      if (this.#clock.now() === wall) return { wall, steady }
    }
  }
}
