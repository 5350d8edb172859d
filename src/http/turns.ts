import { BackpressureError } from '../errors.ts'
import type { Outgoing } from './exchange.ts'
import { HttpError } from './problem.ts'

/** Requests that wait for their turn, some KB each; one more is refused. */
export const waitingMax = 1_000
const retryAfterMs = 1_000

/** Reads, which have no body, that take long or give much: one after the other, and none for a client that has left. */
export class Turns {
  readonly #waiting = new Set<() => void>()
  #busy = false

  /**
   * Does `work` when it is this request's turn. `gone` fires when its client leaves. Rejects with `BackpressureError` where too many wait, and
   * with what `gone` has as its reason where the client has left before.
   */
  async take(outgoing: Outgoing, work: (gone: AbortSignal) => Promise<Response>): Promise<Response> {
    if (this.#busy) await this.#turn(outgoing)
    this.#busy = true
    try {
      const gone = goneSignal(outgoing)
      gone.throwIfAborted()
      return await work(gone)
    } finally {
      // When this answer is written: the next must see what it holds.
      setImmediate(() => this.#next())
    }
  }

  #turn({ req }: Outgoing): Promise<void> {
    if (this.#waiting.size >= waitingMax) {
      throw new BackpressureError(`${this.#waiting.size} reads wait for their turn, as many as may`, retryAfterMs)
    }
    return new Promise((resolve, reject) => {
      const begin = () => {
        req.off('close', leave)
        resolve()
      }
      const leave = () => {
        this.#waiting.delete(begin)
        reject(clientGone)
      }
      this.#waiting.add(begin)
      req.once('close', leave)
    })
  }

  #next(): void {
    const [next] = this.#waiting
    this.#busy = next !== undefined
    if (!next) return
    this.#waiting.delete(next)
    next()
  }
}

/** Fires when the client leaves, or has its answer. */
function goneSignal(outgoing: Outgoing): AbortSignal {
  const gone = new AbortController()
  // Not the answer's end: one that waits behind another on its connection is not closed with it.
  if (hasLeft(outgoing)) gone.abort(clientGone)
  else outgoing.req.once('close', () => gone.abort(clientGone))
  return gone.signal
}

/** Whether nobody is there to take the answer. */
export function hasLeft({ req }: Outgoing): boolean {
  return req.socket.destroyed
}

/** What ends work for a client that has left. Nobody reads it, so it is one for all: thousands may leave at once. */
export const clientGone = new HttpError(400, 'incomplete_body', 'the client left before it was answered')
