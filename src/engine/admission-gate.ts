import { BackpressureError } from '../errors.ts'

/** Calls in progress at once; more wait their turn. */
const underWayMax = 10_000
/** Calls that wait; one more is refused. */
const waitingMax = 100_000
const retryAfterMs = 1_000

/** Limits what `enqueue` holds in memory, however fast it is called. */
export class AdmissionGate {
  readonly #waiting: (() => void)[] = []
  #underWay = 0

  /** Resolves when the call may continue; every call that entered must leave. Rejects with `BackpressureError` if too many wait. */
  enter(): Promise<void> | void {
    if (this.#underWay < underWayMax) {
      this.#underWay++
      return
    }
    if (this.#waiting.length >= waitingMax) {
      throw new BackpressureError(
        `${underWayMax} calls of enqueue are in progress and ${waitingMax} are waiting, the most allowed`,
        retryAfterMs,
      )
    }
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  leave(): void {
    const next = this.#waiting.shift()
    if (next) next()
    else this.#underWay--
  }
}
