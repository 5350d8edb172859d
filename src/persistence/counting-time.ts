/** The share of a store's time that counting queues may take: one part in so many. */
const share = 50

/** The time that a store may spend on counting the jobs of single queues, which costs more the more of them wait. */
export class CountingTime {
  readonly #maxMs: number
  #leftMs: number
  /** Of the caller's clock. */
  #earnedAt = 0

  /** `maxMs`: how much it may take at once after a pause. */
  constructor(maxMs: number) {
    this.#maxMs = maxMs
    this.#leftMs = maxMs
  }

  get isSpent(): boolean {
    return this.#leftMs <= 0
  }

  /** Call it before counting. A clock that was set back neither adds nor removes time. */
  earn(now: number): void {
    this.#leftMs = Math.min(this.#leftMs + Math.max(now - this.#earnedAt, 0) / share, this.#maxMs)
    this.#earnedAt = now
  }

  spend(ms: number): void {
    this.#leftMs -= ms
  }
}
