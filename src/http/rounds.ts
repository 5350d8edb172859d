import { performance } from 'node:perf_hooks'

/** What is parsed and checked in two rounds of the loop, in ms: beyond it the rest waits for the next two. A write takes some four rounds. */
const roundMs = 3
/** Bodies up to this many bytes take microseconds: they wait for no other, until this many ms are spent. */
const tinyBytes = 1_024
const tinyRoundMs = 10

interface Waiting {
  readonly size: number
  readonly go: () => void
}

/**
 * Bounds the work that the loop does for requests at once: a hundred that come at once and take some ms each would keep it from everybody
 * for all of their time. Each time the one that has waited for longest comes first, then the smallest.
 */
export class Rounds {
  readonly #now: () => number
  readonly #waiting: Waiting[] = []
  #spentMs = 0
  #next: NodeJS.Immediate | undefined

  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  /** Whether a body of this size must wait, for others or for time: then await `turn` before `spend`. */
  isFull(size: number): boolean {
    if (size <= tinyBytes) return this.#spentMs >= tinyRoundMs
    return this.#spentMs >= roundMs || this.#waiting.length > 0
  }

  /** Resolves when it may be done; `spend` must follow at once, for it lets the next one go. */
  turn(size: number): Promise<void> {
    return new Promise((go) => this.#waiting.push({ size, go }))
  }

  /** Runs `work`; the time until it first waits counts. */
  spend<T>(work: () => T): T {
    const from = this.#now()
    try {
      return work()
    } finally {
      this.#spentMs += this.#now() - from
      // One round passes without: what is under way gets on meanwhile.
      this.#next ??= setImmediate(() => {
        this.#next = setImmediate(() => this.#begin())
      })
      if (this.#waiting.length > 0 && this.#spentMs < roundMs) this.#letGo(this.#smallest())
    }
  }

  #begin(): void {
    this.#next = undefined
    this.#spentMs = 0
    this.#letGo(0)
  }

  #letGo(index: number): void {
    const [waiting] = this.#waiting.splice(index, 1)
    waiting?.go()
  }

  #smallest(): number {
    let least = 0
    for (const [index, { size }] of this.#waiting.entries()) if (size < this.#waiting[least]!.size) least = index
    return least
  }
}
