/**
 * While other processes write the file too: for how long this one may hold it without a pause, and for how long it then leaves it to them,
 * in ms.
 */
const ownMs = 20
const othersMs = 5
/** How long after a write of another process more are expected, in ms. */
const sharedMs = 10_000

/**
 * When the file is left to other processes. SQLite has no queue of writers: one that tries now and then can miss the gaps between another's
 * transactions for seconds. Instants are monotonic ms.
 */
export class OthersTurn {
  #othersWroteAt = Number.NEGATIVE_INFINITY
  /** Since when, and until when, this process has had the file back to back. */
  #beganAt = Number.NEGATIVE_INFINITY
  #endedAt = Number.NEGATIVE_INFINITY
  /** Nothing is written here before; 0 if nothing stands in the way. */
  until = 0

  /** Another process was seen to have written. */
  noteOthers(now: number): void {
    this.#othersWroteAt = now
  }

  /** A transaction of this process was tried, from one instant to the other. */
  noteOwn(begunAt: number, endedAt: number): void {
    if (begunAt - this.#endedAt >= othersMs) this.#beganAt = begunAt
    this.#endedAt = endedAt
    const isShared = endedAt - this.#othersWroteAt < sharedMs
    this.until = isShared && endedAt - this.#beganAt >= ownMs ? endedAt + othersMs : 0
  }
}
