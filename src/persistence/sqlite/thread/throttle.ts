import type { MonotonicClock } from '../../../runtime/clock.ts'

/** How long a step of maintenance takes, and for how many times as long it rests then. */
interface Effort {
  /** In ms. What it is about when they are over is finished: some jobs at most. */
  readonly stepMs: number
  readonly rests: number
}

/** While others use the store: a quarter of the thread's time at most. */
const sharedEffort: Effort = { stepMs: 2, rests: 3 }
/** While nobody does: half of it, for a process that writes beside this one needs gaps. */
const idleEffort: Effort = { stepMs: 5, rests: 1 }

/** Bounds the share of the thread's time that one kind of maintenance takes: by steps, and rests in proportion to what they took. */
export class Throttle {
  readonly #clock: MonotonicClock
  readonly #effort: (contended: boolean) => Effort
  #restMs = 0
  /** By the steady clock. */
  nextAt = Number.NEGATIVE_INFINITY

  constructor(clock: MonotonicClock, effort = (contended: boolean): Effort => (contended ? sharedEffort : idleEffort)) {
    this.#clock = clock
    this.#effort = effort
  }

  get isDue(): boolean {
    return this.#clock.monotonic() >= this.nextAt
  }

  /** Does a step, which asks `goOn` before it does more than the least, a job or a few; `contended`: others use the store. */
  step<Result>(contended: boolean, run: (goOn: () => boolean) => Result): Result {
    const { stepMs, rests } = this.#effort(contended)
    const beganAt = this.#clock.monotonic()
    const result = run(() => this.#clock.monotonic() - beganAt < stepMs)
    this.#restMs = rests * (this.#clock.monotonic() - beganAt)
    return result
  }

  /** The step is on disk, and there is more to do. */
  rest(): void {
    this.wait(this.#restMs)
  }

  /** There is nothing to do for this many ms. */
  wait(ms: number): void {
    this.nextAt = this.#clock.monotonic() + ms
  }
}
