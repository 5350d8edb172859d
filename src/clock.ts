/** Where time comes from. Everything below `main.ts` and `index.ts` is given one. */
export interface Clock {
  /** Epoch ms. */
  now(): number
}

/** The machine's wall clock. */
export const systemClock: Clock = { now: () => Date.now() }

/**
 * A clock in shared memory that stands still until it is moved: the loop and the store's thread read the same cell. For tests.
 */
export class ManualClock implements Clock {
  readonly cell: BigInt64Array<SharedArrayBuffer>

  /** `cell`: of another `ManualClock`, to read the time that one tells. */
  constructor(startAt = 0, cell = new BigInt64Array(new SharedArrayBuffer(8))) {
    this.cell = cell
    if (startAt) this.set(startAt)
  }

  now(): number {
    return Number(Atomics.load(this.cell, 0))
  }

  set(at: number): void {
    Atomics.store(this.cell, 0, BigInt(at))
  }

  advance(ms: number): void {
    this.set(this.now() + ms)
  }
}
