import type { NewJob } from '../src/index.ts'
import { noop } from './load.ts'

/** How the mixed workload differs from the alike one: each job draws its own of these. */
export const mixed = {
  types: 20,
  queues: 100,
  keyed: 0.1,
  prioritised: 0.2,
  delayed: 0.1,
  delayMaxMs: 2_000,
  failingOnce: 0.03,
  seed: 7,
} as const

const bytes = { min: 100, median: 600, max: 8_192 }
const filler = 'x'.repeat(bytes.max)
/** The first letter of a message whose first attempt fails. */
const failing = 'F'

/** Types that the bench's handlers run, besides `noop`. */
export const mixedTypes: readonly string[] = Array.from({ length: mixed.types }, (_, n) => `${noop.type}-${n}`)

/** A job of the mixed workload. */
export interface MixedJob extends NewJob {
  readonly payload: { readonly message: string }
}

/** For a handler of the mixed workload. */
export function failOnce(message: string, { attempt }: { readonly attempt: number }): void {
  if (attempt === 1 && message[0] === failing) throw new Error('the first attempt fails')
}

/** Makes jobs whose fields are drawn from a fixed seed: the same sequence in each run. */
export class MixedJobs {
  #state: number = mixed.seed
  #made = 0

  /** With `alike` only the payloads differ: the same sizes for one type and one queue, and nothing else of the mixed workload. */
  make({ alike = false } = {}): MixedJob {
    const size = this.#size()
    const type = mixedTypes[this.#below(mixed.types)]!
    const queue = `queue-${this.#below(mixed.queues)}`
    const isKeyed = this.#draw() < mixed.keyed
    const isPrioritised = this.#draw() < mixed.prioritised
    const isDelayed = this.#draw() < mixed.delayed
    const fails = this.#draw() < mixed.failingOnce
    if (alike) return { type: noop.type, payload: { message: filler.slice(0, size) } }
    return {
      type,
      payload: { message: fails ? failing + filler.slice(1, size) : filler.slice(0, size) },
      queue,
      ...(isKeyed ? { idempotencyKey: `key-${this.#made++}` } : {}),
      ...(isPrioritised ? { priority: this.#below(10) } : {}),
      ...(isDelayed ? { delayMs: this.#below(mixed.delayMaxMs) } : {}),
    }
  }

  many(count: number, options?: { readonly alike?: boolean }): MixedJob[] {
    return Array.from({ length: count }, () => this.make(options))
  }

  /** A job like those of other figures, in one of so many queues. */
  inQueueOf(queues: number): NewJob {
    return { ...noop, queue: `queue-${this.#below(queues)}` }
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
