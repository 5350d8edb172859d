import type { ServerResponse } from 'node:http'
import { BackpressureError } from '../errors.ts'

const retryAfterMs = 1_000

/** Bounds what reads hold in memory: the answers that their clients have not taken yet. */
export class Outflow {
  readonly #heldBytesMax: number
  readonly #answers = new Set<ServerResponse>()
  #lastLarge: Promise<unknown> = Promise.resolve()

  constructor(heldBytesMax: number) {
    this.#heldBytesMax = heldBytesMax
  }

  /** Serves one read; throws `BackpressureError` where too much waits to be taken. */
  async serve(outgoing: ServerResponse, work: () => Response | Promise<Response>): Promise<Response> {
    let bytes = 0
    for (const answer of this.#answers) bytes += answer.writableLength
    if (bytes > this.#heldBytesMax) {
      throw new BackpressureError('the answers that wait to be read fill the memory they may have', retryAfterMs)
    }
    this.#answers.add(outgoing)
    // Not the answer's: one that waits behind another on its connection is not closed with it.
    outgoing.req.once('close', () => this.#answers.delete(outgoing))
    return work()
  }

  /** The same for an answer that may have megabytes: one after the other, so that each meets what those before it hold. */
  serveLarge(outgoing: ServerResponse, work: () => Promise<Response>): Promise<Response> {
    const answer = this.#lastLarge.then(() => this.serve(outgoing, work))
    this.#lastLarge = answer.catch(() => undefined)
    return answer
  }
}
