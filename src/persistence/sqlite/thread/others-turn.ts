/**
 * While other processes write the file too: how long this one may use it without a pause, and how long it then leaves it to them, in ms.
 */
const ownMs = 20
const othersMs = 5
/** For this long after a write by another process, in ms, more are expected. */
const sharedMs = 10_000

/**
 * When to leave the file to other processes. SQLite has no queue of writers: one that tries now and then can miss the gaps between
 * another's transactions for seconds. Instants are monotonic ms.
 */
export class OthersTurn {
  #othersWroteAt = Number.NEGATIVE_INFINITY
  /** The period in which this process has used the file without a pause. */
  #beganAt = Number.NEGATIVE_INFINITY
  #endedAt = Number.NEGATIVE_INFINITY
  /** No write here before this instant; 0 if there is no limit. */
  until = 0

  /** Another process has written. */
  noteOthers(now: number): void {
    this.#othersWroteAt = now
  }

  /** This process tried a transaction from one instant to the other. */
  noteOwn(begunAt: number, endedAt: number): void {
    if (begunAt - this.#endedAt >= othersMs) this.#beganAt = begunAt
    this.#endedAt = endedAt
    const isShared = endedAt - this.#othersWroteAt < sharedMs
    this.until = isShared && endedAt - this.#beganAt >= ownMs ? endedAt + othersMs : 0
  }
}
