import { performance } from 'node:perf_hooks'

/** The source of time. Everything below `main.ts` and `index.ts` gets one as an argument. */
export interface Clock {
  /** Epoch ms. */
  now(): number
  /** The timers of attempts; Node's timers by default. */
  readonly timers?: ClockTimers
  /** Only on a clock that is moved manually: calls `listener` after each move, until the returned function is called. */
  onMove?(listener: () => Promise<void>): () => void
}

/** Like Node's: `setTimeout` calls `run` once, after `ms`. */
export interface ClockTimers {
  readonly setTimeout: (run: () => void, ms: number) => NodeJS.Timeout
  readonly clearTimeout: (timer: NodeJS.Timeout) => void
}

/** A clock with a second time that only moves forward, because nobody can set it. */
export interface MonotonicClock extends Clock {
  /** Ms since some instant. */
  monotonic(): number
}

/** The machine's wall clock, and its monotonic one. */
export const systemClock: MonotonicClock = { now: () => Date.now(), monotonic: () => performance.now() }

/** A clock in shared memory that stands still until it is moved; the main thread and the store's thread read the same cells. For tests. */
export class ManualClock implements MonotonicClock {
  /** Its time, and how much of that was set rather than passed. */
  readonly cell: BigInt64Array

  /** `cell`: that of another `ManualClock`, to read its time. */
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

  /** Jumps, without time passing. */
  set(at: number): void {
    const before = Atomics.exchange(this.cell, 0, BigInt(at))
    Atomics.add(this.cell, 1, BigInt(at) - before)
  }

  /** Lets time pass. */
  advance(ms: number): void {
    Atomics.add(this.cell, 0, BigInt(ms))
  }
}
