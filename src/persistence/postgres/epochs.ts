import { type Epoch, epochOf, parseEpochs } from '../epoch.ts'
import { beginEpochSql } from './functions.ts'
import type { OwnNode } from './nodes.ts'
import type { Reads } from './reads.ts'
import { placeSql } from './server-change.ts'

/** Codes of a server, or a role, that cannot say where it is. */
const isUnknown = /^(42501|42883|0A000|55000)$/

/** The epochs of the database, and the server on which this node gives out ids. */
export class Epochs {
  readonly #reads: Reads
  readonly #node: OwnNode
  #epochs: readonly Epoch[] = []
  #place: string | null = null

  constructor(reads: Reads, node: OwnNode) {
    this.#reads = reads
    this.#node = node
  }

  /** Each step names it: ids that were given out on another must not be stored. Null if the server does not say. */
  get timeline(): string | null {
    return this.#place?.split(' ')[1] ?? null
  }

  idOf(jobId: number): string {
    return epochOf(this.#epochs, jobId)
  }

  /** Finds out whether the server is another, or lacks what was committed last; then an epoch begins. `isForced`: it has gone back, whatever it says, and higher ids are given out. */
  async look(isForced = false): Promise<void> {
    const place = await this.#readPlace()
    await this.#reads.all(beginEpochSql, { place, isForced, given: this.#node.now() })
    const rows = await this.#reads.all<{ name: string; value: string }>('SELECT name, value FROM meta')
    const meta = new Map(rows.map(({ name, value }) => [name, value]))
    this.#epochs = parseEpochs(meta.get('database_id')!, meta.get('epochs'))
    this.#place = place
  }

  async #readPlace(): Promise<string | null> {
    try {
      return (await this.#reads.one<{ place: string }>(`SELECT ${placeSql} AS place`))!.place
    } catch (error) {
      if (isUnknown.test(codeOf(error))) return null
      throw error
    }
  }
}

function codeOf(error: unknown): string {
  const { code, cause } = Object(error) as { code?: string; cause?: { code?: string } }
  return cause?.code ?? code ?? ''
}
