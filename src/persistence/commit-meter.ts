import { Histogram } from './histogram.ts'
import type { CommitStats } from './store.ts'

/** Upper bounds of the buckets: the duration of a commit, in ms, and the number of its events. */
const boundsMs = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000]
const boundsEvents = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000]

/** Measures commits on the store's thread; the loop reads the same memory. */
export class CommitMeter {
  readonly memory: { readonly duration: Float64Array; readonly events: Float64Array }
  readonly #duration: Histogram
  readonly #events: Histogram

  /** `memory`: that of the meter on the other thread; new and empty by default. */
  constructor(memory = { duration: Histogram.sharedMemory(boundsMs), events: Histogram.sharedMemory(boundsEvents) }) {
    this.memory = memory
    this.#duration = new Histogram(boundsMs, memory.duration)
    this.#events = new Histogram(boundsEvents, memory.events)
  }

  /** A commit without an event does not count: it renewed leases, or found nothing to do and touched no disk. */
  committed(tookMs: number, events: number): void {
    if (events === 0) return
    this.#duration.observe(tookMs)
    this.#events.observe(events)
  }

  stats(): CommitStats {
    return { durationMs: this.#duration.snapshot(), events: this.#events.snapshot() }
  }
}
