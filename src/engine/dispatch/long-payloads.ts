import type { Lease, Store } from '../../persistence/store.ts'
import { timers } from '../../runtime/timers.ts'

/** Reads the payloads that leases leave out, one in each turn of the loop, because each takes a while to read and to parse. */
export class LongPayloads {
  readonly #store: Pick<Store, 'readPayload'>
  /** Those who wait for a turn. Not a chain of promises: V8 would keep what each has read until a full collection. */
  readonly #waiting: (() => void)[] = []

  constructor(store: Pick<Store, 'readPayload'>) {
    this.#store = store
  }

  /** Resolves in a turn of the loop in which no other payload is read. */
  turn(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#waiting.push(resolve) === 1) timers.setImmediate(this.#next)
    })
  }

  /** Fails with `UnavailableError` if it cannot be read now. */
  read(lease: Lease): string | Promise<string> {
    return this.#store.readPayload(lease)
  }

  readonly #next = (): void => {
    this.#waiting.shift()!()
    if (this.#waiting.length > 0) timers.setImmediate(this.#next)
  }
}
