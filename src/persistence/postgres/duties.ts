import { performance } from 'node:perf_hooks'
import type { Duty } from '../store.ts'
import type { OwnNode } from './nodes.ts'
import type { Reads } from './reads.ts'

/** Between two notes of one duty by one node, in ms: a note is a commit. */
const noteMs = 1_000

/** Keeps which node did a duty last, and when. Only for people: no node asks it before it does one. */
export class Duties {
  readonly #reads: Reads
  readonly #node: OwnNode
  /** Monotonic ms. */
  readonly #notedAt = new Map<Duty, number>()

  constructor(reads: Reads, node: OwnNode) {
    this.#reads = reads
    this.#node = node
  }

  /** To be called after it had something to do. A note that cannot be written is left out. */
  async note(duty: Duty): Promise<void> {
    const now = performance.now()
    if (now - (this.#notedAt.get(duty) ?? Number.NEGATIVE_INFINITY) < noteMs) return
    this.#notedAt.set(duty, now)
    await this.#reads.all(noteSql, { duty, node: this.#node.id, given: this.#node.now() }).catch(() => {})
  }
}

const noteSql = `
  INSERT INTO duties (name, node_id, done_at) VALUES (:duty, :node, instant(:given::bigint))
  ON CONFLICT (name) DO UPDATE SET node_id = excluded.node_id, done_at = excluded.done_at WHERE duties.done_at <= excluded.done_at`
