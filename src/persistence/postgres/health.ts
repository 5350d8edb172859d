import { performance } from 'node:perf_hooks'
import type { StoreEvent } from '../store.ts'

/** What may be wrong: the server cannot be reached, it is there and takes no writes, or a commit has no answer. The first that is wrong is told. */
const parts = ['connection', 'writes', 'commits'] as const
type Part = (typeof parts)[number]

/** For how long what was refused counts although other transactions are committed, in ms: not every one needs room on the disk. */
const refusedMs = 5_000

/** Whether the database can be written, as the store tells it: once when it cannot, and once when it can again. */
export class Health {
  readonly #notify: (event: StoreEvent) => void
  readonly #troubles = new Map<Part, { readonly message: string; readonly cause: 'full' | undefined }>()
  /** The connections that are broken: another that works does not end that trouble. */
  readonly #broken = new Set<object>()
  #told: Part | undefined
  /** Monotonic ms. */
  #since = 0
  #refusedAt = 0
  #wroteAt = 0

  constructor(notify: (event: StoreEvent) => void) {
    this.#notify = notify
  }

  set(part: Part, trouble: string | null, cause?: 'full'): void {
    if (part === 'writes' && trouble !== null) this.#refusedAt = performance.now()
    const isNew = !this.#troubles.has(part)
    if (trouble === null && isNew) return
    if (this.#troubles.size === 0) this.#since = performance.now()
    if (trouble === null) this.#troubles.delete(part)
    // The last reason is the one to know.
    else this.#troubles.set(part, { message: trouble, cause })
    if (trouble !== null && !isNew) return
    const told = parts.find((each) => this.#troubles.has(each))
    if (told === this.#told) return
    this.#told = told
    this.#notify({
      type: 'health',
      error: this.trouble,
      ...(told && this.#troubles.get(told)!.cause && { cause: 'full' }),
    })
  }

  disconnected(connection: object, reason: string): void {
    this.#broken.add(connection)
    this.set('connection', reason)
  }

  connected(connection: object): void {
    if (this.#broken.delete(connection) && this.#broken.size === 0) this.set('connection', null)
  }

  /** A transaction was committed; `wrote`: it stored something. */
  committed(wrote: boolean): void {
    if (!this.#told) return
    if (wrote) this.#wroteAt = performance.now()
    if (!this.#troubles.has('writes')) return
    if (wrote || performance.now() - this.#refusedAt >= refusedMs) this.set('writes', null)
  }

  get isConnected(): boolean {
    return !this.#troubles.has('connection')
  }

  /** What is wrong now; null if nothing is. */
  get trouble(): string | null {
    return this.#told === undefined ? null : this.#troubles.get(this.#told)!.message
  }

  /** The same, if anything has been wrong and nothing was stored for so long. */
  troubleFor(ms: number): string | null {
    return performance.now() - Math.max(this.#since, this.#wroteAt) >= ms ? this.trouble : null
  }
}
