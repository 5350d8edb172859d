import { performance } from 'node:perf_hooks'

/** Ms of parsing and checking in two rounds of the loop; the rest waits for the next two. A write takes some four rounds. */
const roundMs = 3
/** Bodies of up to this many bytes take microseconds: they do not wait for others, until this many ms are used. */
const tinyBytes = 1_024
const tinyRoundMs = 10

interface Waiting {
  readonly size: number
  readonly go: () => void
}

/**
 * Limits the work that the loop does for requests at once: a hundred that arrive together and take some ms each would block it for all of
 * that time. Each time it starts with the one that has waited for longest, and then takes the smallest.
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

  /** Resolves when it may run; `spend` must follow at once, because it lets the next one start. */
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
      // One round passes without new work, so that requests in progress continue.
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
