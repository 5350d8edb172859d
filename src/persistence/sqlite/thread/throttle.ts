import type { MonotonicClock } from '../../../runtime/clock.ts'

/** How long a step of maintenance takes, and how many times as long it then rests. */
interface Effort {
  /** In ms. A job or a few that are in progress when it ends are finished. */
  readonly stepMs: number
  readonly rests: number
}

/** While others are using the store: at most a quarter of the thread's time. */
const sharedEffort: Effort = { stepMs: 2, rests: 3 }
/** While nobody else is: half of it, because other processes that write need gaps. */
const idleEffort: Effort = { stepMs: 5, rests: 1 }

/** Limits the share of the thread's time that one kind of maintenance takes: by steps, and by rests in proportion to them. */
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

  /** Does a step, which calls `goOn` before it does more than the minimum, a job or a few; `contended`: others are using the store. */
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
