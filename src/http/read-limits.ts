import { BackpressureError } from '../errors.ts'
import type { Outgoing } from './exchange.ts'
import { HttpError } from './problem.ts'

/** Requests that wait for their turn, some KB each; one more is refused. */
const waitingMax = 1_000
const retryAfterMs = 1_000
/** Requests that wait for the results of jobs. */
const resultWaitsMax = 10_000
/** Bytes of scrapes that wait to be read; counted separately, so that monitoring continues if other answers fill their memory. */
const scrapesHeldMax = 8_388_608

/** Ends work for a client that has left. Nobody reads it, so there is one for all: thousands may leave at once. */
export const clientGone = new HttpError(400, 'incomplete_body', 'the client disconnected before it was answered')

/** The signal for a client that is not watched. */
const neverGone: AbortSignal = new AbortController().signal

/**
 * What limits the answers to a read. `read`: all unread answers together may hold only a certain number of bytes. `list`, `chart` and
 * `scrape` take long or return much, so they also run one after another. `wait`: only their number. `none`: nothing here.
 */
export type ReadLimit = 'none' | 'wait' | 'read' | 'list' | 'chart' | 'scrape'

interface Bounds {
  readonly responseMemory: ResponseMemory
  readonly turns?: Turns
}

/** Makes each read wait for what its limit requires. */
export class ReadLimits {
  readonly #bounds: Readonly<Record<Exclude<ReadLimit, 'none' | 'wait'>, Bounds>>

  #waits = 0

  constructor(responseMemory: ResponseMemory) {
    this.#bounds = {
      read: { responseMemory },
      list: { responseMemory, turns: new Turns() },
      chart: { responseMemory, turns: new Turns() },
      scrape: { responseMemory: new ResponseMemory(scrapesHeldMax), turns: new Turns() },
    }
  }

  /**
   * Returns an answer; `gone` fires when the client of a read that waits leaves. Rejects with `BackpressureError` before any work is done.
   */
  async serve(
    limit: ReadLimit,
    outgoing: Outgoing,
    work: (gone: AbortSignal) => Response | Promise<Response>,
  ): Promise<Response> {
    if (limit === 'none') return work(neverGone)
    if (limit === 'wait') return this.#wait(outgoing, work)
    const { responseMemory, turns } = this.#bounds[limit]
    if (!turns) return responseMemory.serve(outgoing, () => work(neverGone))
    return turns.take(outgoing, (gone) => responseMemory.serve(outgoing, () => work(gone)))
  }

  async #wait(outgoing: Outgoing, work: (gone: AbortSignal) => Response | Promise<Response>): Promise<Response> {
    if (this.#waits >= resultWaitsMax)
      throw new BackpressureError(`${this.#waits} requests wait for results, the most allowed`, retryAfterMs)
    this.#waits++
    try {
      return await work(goneSignal(outgoing))
    } finally {
      this.#waits--
    }
  }
}

/** Limits what unread answers hold in memory. */
export class ResponseMemory {
  readonly #heldBytesMax: number
  readonly #answers = new Set<Outgoing>()

  constructor(heldBytesMax: number) {
    this.#heldBytesMax = heldBytesMax
  }

  /** Serves one answer that may be large. Throws `BackpressureError` before any work is done, if clients have left too much unread. */
  async serve(outgoing: Outgoing, work: () => Response | Promise<Response>): Promise<Response> {
    if (hasLeft(outgoing)) throw clientGone
    let bytes = 0
    for (const answer of this.#answers) {
      if (answer.writableFinished || hasLeft(answer)) this.#answers.delete(answer)
      else bytes += answer.writableLength
    }
    if (bytes > this.#heldBytesMax) {
      throw new BackpressureError(
        'the answers that clients have not read yet fill the memory allowed for them',
        retryAfterMs,
      )
    }
    this.#answers.add(outgoing)
    return work()
  }
}

/** Reads without a body that take long or return much: one after another, and none for a client that has left. */
class Turns {
  readonly #waiting = new Set<() => void>()
  #busy = false

  /**
   * Does `work` when it is this request's turn. `gone` fires when its client leaves. Rejects with `BackpressureError` if too many wait, and
   * with the reason of `gone` if the client has left before.
   */
  async take(outgoing: Outgoing, work: (gone: AbortSignal) => Promise<Response>): Promise<Response> {
    if (this.#busy) await this.#turn(outgoing)
    this.#busy = true
    try {
      const gone = goneSignal(outgoing)
      gone.throwIfAborted()
      return await work(gone)
    } finally {
      // After this answer is written, because the next must see what it holds.
      setImmediate(() => this.#next())
    }
  }

  #turn({ req }: Outgoing): Promise<void> {
    if (this.#waiting.size >= waitingMax) {
      throw new BackpressureError(`${this.#waiting.size} reads are waiting, the most allowed`, retryAfterMs)
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
  // Not the end of the answer: an answer that waits behind another on its connection is not closed with it.
  if (hasLeft(outgoing)) gone.abort(clientGone)
  else outgoing.req.once('close', () => gone.abort(clientGone))
  return gone.signal
}

/** Whether nobody is left to read the answer. */
function hasLeft({ req }: Outgoing): boolean {
  return req.socket.destroyed
}
