import { timers } from '../../runtime/timers.ts'
import { channel } from './node/row.ts'
import type { OwnNode } from './nodes.ts'
import type { Reads } from './reads.ts'

/** Signals within this time become one, in ms: each is a transaction of its own, and those that notify commit one after the other. */
const joinMs = 10
/** How long a node that waits no more still says that it does, in ms. */
const lingerMs = 2_000

/** `jobs`: some may be ready; `leases`: some were taken away. */
type Signal = 'jobs' | 'leases'

interface Parts {
  readonly reads: Reads
  readonly node: OwnNode
  readonly schema: string
  readonly on: Readonly<Record<Signal, () => void>>
}

/** Wakes other nodes, and is woken by them. Only a hint, and sent if some node has said that it waits: whoever misses one finds out by itself. */
export class Signals {
  readonly #parts: Parts
  #sending: NodeJS.Timeout | undefined
  readonly #unsent = new Set<Signal>()
  #saysWaiting = false
  #waitedAt = Number.NEGATIVE_INFINITY

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** What a node has said, this one too. */
  hear(text: string): void {
    const { schema, node, on } = this.#parts
    const [inSchema, signal, from] = text.split(' ')
    if (inSchema === schema && from !== String(node.id)) on[signal as Signal]?.()
  }

  send(signal: Signal): void {
    this.#unsent.add(signal)
    this.#sending ??= timers.setTimeout(() => {
      this.#sending = undefined
      for (const each of [...this.#unsent]) this.#notify(each)
      this.#unsent.clear()
    }, joinMs)
    this.#sending.unref()
  }

  /** To be called now and then: `isWaiting`: this node has free workers. */
  async tell(isWaiting: boolean, now: number): Promise<void> {
    if (isWaiting) this.#waitedAt = now
    const says = now - this.#waitedAt < lingerMs
    if (says === this.#saysWaiting) return
    await this.#parts.node.noteWaiting(says)
    this.#saysWaiting = says
  }

  /** This node has another id. */
  forget(): void {
    this.#saysWaiting = false
  }

  stop(): void {
    timers.clearTimeout(this.#sending)
  }

  #notify(signal: Signal): void {
    const { reads, node, schema } = this.#parts
    const values = { text: `${schema} ${signal} ${node.id}`, id: node.id }
    reads.all(signal === 'jobs' ? notifyWaitingSql : notifySql, values).catch(() => {})
  }
}

const notifySql = `SELECT pg_notify('${channel}', :text)`
const notifyWaitingSql = `${notifySql} WHERE EXISTS (SELECT 1 FROM nodes WHERE is_waiting AND ended_at IS NULL AND id <> :id)`
