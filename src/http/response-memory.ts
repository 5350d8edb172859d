import { BackpressureError } from '../errors.ts'
import type { Outgoing } from './exchange.ts'
import { clientGone, hasLeft } from './turns.ts'

const retryAfterMs = 1_000

/** Bounds what answers hold in memory: those that their clients have not taken yet. */
export class ResponseMemory {
  readonly #heldBytesMax: number
  readonly #answers = new Set<Outgoing>()

  constructor(heldBytesMax: number) {
    this.#heldBytesMax = heldBytesMax
  }

  /** Gives one answer that may be large; throws `BackpressureError` where too much waits to be taken, before any work is done. */
  async serve(outgoing: Outgoing, work: () => Response | Promise<Response>): Promise<Response> {
    if (hasLeft(outgoing)) throw clientGone
    let bytes = 0
    for (const answer of this.#answers) {
      if (answer.writableFinished || hasLeft(answer)) this.#answers.delete(answer)
      else bytes += answer.writableLength
    }
    if (bytes > this.#heldBytesMax) {
      throw new BackpressureError('the answers that wait to be read fill the memory they may have', retryAfterMs)
    }
    this.#answers.add(outgoing)
    return work()
  }
}
