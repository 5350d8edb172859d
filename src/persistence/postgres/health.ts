import { performance } from 'node:perf_hooks'
import type { StoreEvent } from '../store.ts'

/** Whether the server is there, as the store tells it: once when it is gone, and once when it is back. */
export class Health {
  readonly #notify: (event: StoreEvent) => void
  #trouble: string | null = null
  /** Monotonic ms. */
  #since = 0

  constructor(notify: (event: StoreEvent) => void) {
    this.#notify = notify
  }

  set(trouble: string | null): void {
    if ((trouble === null) === (this.#trouble === null)) return
    this.#trouble = trouble
    this.#since = performance.now()
    this.#notify({ type: 'health', error: trouble })
  }

  /** What is wrong, if it has been for so long; null if nothing is. */
  troubleFor(ms: number): string | null {
    return this.#trouble !== null && performance.now() - this.#since >= ms ? this.#trouble : null
  }
}
