import type { Outgoing } from './exchange.ts'
import { ResponseMemory } from './response-memory.ts'
import { Turns } from './turns.ts'

/** Of a client that is not watched. */
const neverGone: AbortSignal = new AbortController().signal

/** Bytes of scrapes that wait to be read; of their own, so that monitoring goes on where other answers fill what they may. */
const scrapesHeldMax = 8_388_608

/**
 * What bounds the answers to a read. `read`: all that are not read yet may hold only so many bytes. `list`, `chart` and `scrape` take long
 * or give much: one after the other besides. `free`: nothing here.
 */
export type ReadLimit = 'none' | 'read' | 'list' | 'chart' | 'scrape'

interface Bounds {
  readonly responseMemory: ResponseMemory
  readonly turns?: Turns
}

/** Has each read wait for what its limit asks for. */
export class ReadLimits {
  readonly #bounds: Readonly<Record<Exclude<ReadLimit, 'none'>, Bounds>>

  constructor(responseMemory: ResponseMemory) {
    this.#bounds = {
      read: { responseMemory },
      list: { responseMemory, turns: new Turns() },
      chart: { responseMemory, turns: new Turns() },
      scrape: { responseMemory: new ResponseMemory(scrapesHeldMax), turns: new Turns() },
    }
  }

  /** Gives an answer; `gone` fires when the client of one that has turns leaves. Rejects with `BackpressureError` before any work is done. */
  async serve(
    limit: ReadLimit,
    outgoing: Outgoing,
    work: (gone: AbortSignal) => Response | Promise<Response>,
  ): Promise<Response> {
    if (limit === 'none') return work(neverGone)
    const { responseMemory, turns } = this.#bounds[limit]
    if (!turns) return responseMemory.serve(outgoing, () => work(neverGone))
    return turns.take(outgoing, (gone) => responseMemory.serve(outgoing, () => work(gone)))
  }
}
