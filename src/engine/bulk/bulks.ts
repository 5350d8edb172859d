import { performance } from 'node:perf_hooks'
import { BackpressureError } from '../../errors.ts'
import { causeText } from '../../job/cause.ts'
import { assertTaken, parseFilter } from '../../job/filter.ts'
import { timers } from '../../runtime/timers.ts'
import type { Bulk, BulkCommand, BulkFilter, EventCause } from '../job-system.ts'
import { type BulkParts, PreparedBulk } from './bulk.ts'
import { BulkThrottle, type BulkThrottleOptions } from './bulk-throttle.ts'

/** Bulk actions that are kept, including finished ones. */
const bulksMax = 20

/** The `retryAfterMs` for a caller when all of them are unfinished. */
const retryAfterMs = 1_000

/** The bulk actions that this process knows. */
export class Bulks {
  readonly #parts: BulkParts
  readonly #throttle: BulkThrottle
  readonly #newId: () => string
  /** Oldest first. */
  readonly #kept = new Map<string, PreparedBulk>()
  #lastTurn: Promise<void> = Promise.resolve()

  constructor({ look, ...parts }: Omit<BulkParts, 'inTurn' | 'throttle'> & BulkThrottleOptions, newId: () => string) {
    this.#throttle = new BulkThrottle({ look })
    this.#parts = { ...parts, throttle: this.#throttle, inTurn: (step) => this.#inTurn(step) }
    this.#newId = newId
  }

  prepare(command: BulkCommand, given: BulkFilter, by: EventCause): Bulk {
    const filter = parseFilter(given)
    assertTaken(command, filter)
    const id = this.#newId()
    const cause = causeText(by, { bulk: id })
    this.#parts.assertWritable()
    this.#makeRoom()
    const bulk = new PreparedBulk(id, command, filter, cause, this.#parts)
    this.#kept.set(bulk.id, bulk)
    return bulk
  }

  find(id: string): Bulk | undefined {
    return this.#kept.get(id)
  }

  /** Newest first. */
  all(): Bulk[] {
    return [...this.#kept.values()].reverse()
  }

  /** Resolves when none is working any more. */
  async stop(): Promise<void> {
    await Promise.all([...this.#kept.values()].map((bulk) => bulk.stop()))
  }

  #makeRoom(): void {
    if (this.#kept.size < bulksMax) return
    const kept = [...this.#kept.values()]
    // An action that waits for confirmation has changed nothing, and its page may be closed already.
    const oldest = kept.find((bulk) => !bulk.isOpen) ?? kept.find((bulk) => bulk.can('run'))
    if (!oldest) {
      const message = `${bulksMax} bulk actions are in progress, the most allowed; stop one, or wait`
      throw new BackpressureError(message, retryAfterMs)
    }
    void oldest.stop()
    this.#kept.delete(oldest.id)
  }

  /** Runs one step after another, with a rest between them. */
  async #inTurn<T>(step: () => Promise<T>): Promise<T> {
    const before = this.#lastTurn
    let end!: () => void
    this.#lastTurn = new Promise((resolve) => {
      end = resolve
    })
    await before
    const begunAt = performance.now()
    try {
      return await step()
    } finally {
      timers.setTimeout(end, this.#throttle.restMs(performance.now() - begunAt))
    }
  }
}
