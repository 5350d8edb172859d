import type { NewJob } from '../src/index.ts'
import { noop } from './load.ts'

/** How the mixed workload differs from the alike one: each job draws its own of these. */
export const mixed = { types: 20, queues: 100, keyed: 0.1, prioritised: 0.2, seed: 7 } as const

const bytes = { min: 100, median: 600, max: 8_192 }
const filler = 'x'.repeat(bytes.max)

/** Types that the bench's handlers run, besides `noop`. */
export const mixedTypes: readonly string[] = Array.from({ length: mixed.types }, (_, n) => `${noop.type}-${n}`)

/** Makes jobs whose fields are drawn from a fixed seed: the same sequence in each run. */
export class MixedJobs {
  #state: number = mixed.seed
  #made = 0

  /** With `alike` only the payloads differ: the same sizes for one type and one queue, without keys and priorities. */
  make({ alike = false } = {}): NewJob {
    const payload = { message: filler.slice(0, this.#size()) }
    const type = mixedTypes[this.#below(mixed.types)]!
    const queue = `queue-${this.#below(mixed.queues)}`
    const isKeyed = this.#draw() < mixed.keyed
    const isPrioritised = this.#draw() < mixed.prioritised
    if (alike) return { type: noop.type, payload }
    return {
      type,
      payload,
      queue,
      ...(isKeyed ? { idempotencyKey: `key-${this.#made++}` } : {}),
      ...(isPrioritised ? { priority: this.#below(10) } : {}),
    }
  }

  /** Roughly lognormal: the sum of three uniform draws is nearly normal. */
  #size(): number {
    const deviation = this.#draw() + this.#draw() + this.#draw() - 1.5
    return Math.round(Math.min(bytes.max, Math.max(bytes.min, bytes.median * Math.exp(deviation * 1.2))))
  }

  #below(count: number): number {
    return Math.floor(this.#draw() * count)
  }

  /** Marsaglia's xorshift with shifts 13, 17 and 5: 0 to 1. */
  #draw(): number {
    this.#state ^= this.#state << 13
    this.#state ^= this.#state >>> 17
    this.#state ^= this.#state << 5
    return (this.#state >>> 0) / 2 ** 32
  }
}
