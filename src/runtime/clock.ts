import { performance } from 'node:perf_hooks'

/** Where time comes from. Everything below `main.ts` and `index.ts` is given one. */
export interface Clock {
  /** Epoch ms. */
  now(): number
  /** What the timers of attempts run by; Node's timers unless given. */
  readonly timers?: ClockTimers
  /** Of a clock that is moved by hand: has `listener` called after each move, until the function that this returns is called. */
  onMove?(listener: () => Promise<void>): () => void
}

/** As Node's: `setTimeout` calls `run` once, in `ms`. */
export interface ClockTimers {
  readonly setTimeout: (run: () => void, ms: number) => NodeJS.Timeout
  readonly clearTimeout: (timer: NodeJS.Timeout) => void
}

/** The same, and beside it time that only passes: nobody sets it. */
export interface MonotonicClock extends Clock {
  /** Ms since some instant. */
  monotonic(): number
}

/** The machine's wall clock, and its monotonic one. */
export const systemClock: MonotonicClock = { now: () => Date.now(), monotonic: () => performance.now() }

/**
 * A clock in shared memory that stands still until it is moved: the loop and the store's thread read the same cells. For tests.
 */
export class ManualClock implements MonotonicClock {
  /** What it shows, and how much of that it was set by. */
  readonly cell: BigInt64Array

  /** `cell`: of another `ManualClock`, to read the time that one tells. */
  constructor(startAt = 0, cell: BigInt64Array = new BigInt64Array(new SharedArrayBuffer(16))) {
    this.cell = cell
    if (startAt) this.set(startAt)
  }

  now(): number {
    return Number(Atomics.load(this.cell, 0))
  }

  monotonic(): number {
    return Number(Atomics.load(this.cell, 0) - Atomics.load(this.cell, 1))
  }

  /** It jumps: no time passes. */
  set(at: number): void {
    const before = Atomics.exchange(this.cell, 0, BigInt(at))
    Atomics.add(this.cell, 1, BigInt(at) - before)
  }

  /** Time passes. */
  advance(ms: number): void {
    Atomics.add(this.cell, 0, BigInt(ms))
  }
}
