import { type Lease, leasedPayloadBytesMax, type Store } from '../../persistence/store.ts'
import { timers } from '../../runtime/timers.ts'

/** Characters of payloads after which the loop turns before the next is read, because each takes a while to read and to parse. */
const turnLengthMax = 262_144

/** Not the text itself: V8 may keep what a promise resolves with until a full collection. Whoever has taken the text empties it. */
interface ReadPayload {
  json: string
}

interface Waiting {
  readonly lease: Lease
  resolve(read: ReadPayload): void
  reject(error: unknown): void
}

/** Reads the payloads that leases leave out when their handlers are to be called, a bounded length in each turn of the loop. */
export class LongPayloads {
  readonly #store: Pick<Store, 'readPayload'>
  /** Not a chain of promises, for the same reason. */
  readonly #waiting: Waiting[] = []

  constructor(store: Pick<Store, 'readPayload'>) {
    this.#store = store
  }

  /** Resolves in a later turn of the loop. Rejects with `UnavailableError` if the payload cannot be read now. */
  read(lease: Lease): Promise<ReadPayload> {
    return new Promise((resolve, reject) => {
      if (this.#waiting.push({ lease, resolve, reject }) === 1) timers.setImmediate(this.#turn)
    })
  }

  readonly #turn = (): void => {
    for (let length = 0; this.#waiting.length > 0 && length < turnLengthMax; )
      length += this.#begin(this.#waiting.shift()!)
    if (this.#waiting.length > 0) timers.setImmediate(this.#turn)
  }

  /** Returns the length of the payload, or the least that it can have. */
  #begin({ lease, resolve, reject }: Waiting): number {
    try {
      const read = this.#store.readPayload(lease)
      if (typeof read !== 'string') read.then((json) => resolve({ json }), reject)
      else resolve({ json: read })
      return typeof read === 'string' ? read.length : leasedPayloadBytesMax
    } catch (error) {
      reject(error)
      return 0
    }
  }
}
