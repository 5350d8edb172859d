import type { ServerResponse } from 'node:http'
import { Outflow } from './outflow.ts'
import { Turns } from './turns.ts'

/** Of a client that is not watched. */
export const neverGone: AbortSignal = new AbortController().signal

/** Bytes of scrapes that wait to be read; of their own, so that monitoring goes on where other answers fill what they may. */
const scrapesHeldMax = 8_388_608

/**
 * What bounds the answers to a read. `read`: all that are not read yet may hold only so many bytes. `list`, `chart` and `scrape` take long
 * or give much: one after the other besides. `free`: nothing here.
 */
export type Pace = 'free' | 'read' | 'list' | 'chart' | 'scrape'

interface Bounds {
  readonly outflow: Outflow
  readonly turns?: Turns
}

/** Has each read wait for what its pace asks for. */
export class Pacing {
  readonly #bounds: Readonly<Record<Exclude<Pace, 'free'>, Bounds>>

  constructor(outflow: Outflow) {
    this.#bounds = {
      read: { outflow },
      list: { outflow, turns: new Turns() },
      chart: { outflow, turns: new Turns() },
      scrape: { outflow: new Outflow(scrapesHeldMax), turns: new Turns() },
    }
  }

  /** Gives an answer; `gone` fires when the client of one that has turns leaves. Rejects with `BackpressureError` before any work is done. */
  async serve(
    pace: Pace,
    outgoing: ServerResponse,
    work: (gone: AbortSignal) => Response | Promise<Response>,
  ): Promise<Response> {
    if (pace === 'free') return work(neverGone)
    const { outflow, turns } = this.#bounds[pace]
    if (!turns) return outflow.serve(outgoing, () => work(neverGone))
    return turns.take(outgoing, (gone) => outflow.serve(outgoing, () => work(gone)))
  }
}
