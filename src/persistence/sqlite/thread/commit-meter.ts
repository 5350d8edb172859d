import { Histogram, sharedMemory } from '../../histogram.ts'
import type { CommitStats } from '../../store.ts'

/** Upper ends of the buckets: how long a commit took, in ms, and how many events it wrote. */
const boundsMs = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000]
const boundsEvents = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000]

/** Memory that a meter on the store's thread writes, and one on the loop reads. */
export interface CommitMemory {
  readonly duration: Float64Array
  readonly events: Float64Array
}

/** Empty ones, shared between threads. */
export function createCommitMemory(): CommitMemory {
  return { duration: sharedMemory(boundsMs), events: sharedMemory(boundsEvents) }
}

/** Measures commits. */
export class CommitMeter {
  readonly #duration: Histogram
  readonly #events: Histogram

  constructor(cells: CommitMemory) {
    this.#duration = new Histogram(boundsMs, cells.duration)
    this.#events = new Histogram(boundsEvents, cells.events)
  }

  /** One that wrote no event does not count: it renewed leases, or found nothing to do and touched no disk. */
  committed(tookMs: number, events: number): void {
    if (events === 0) return
    this.#duration.observe(tookMs)
    this.#events.observe(events)
  }

  stats(): CommitStats {
    return { durationMs: this.#duration.snapshot(), events: this.#events.snapshot() }
  }
}
