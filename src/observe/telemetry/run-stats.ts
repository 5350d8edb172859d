import type { LeasedJob } from '../../machines/lease.ts'
import { Histogram, type HistogramSnapshot, merge } from '../../persistence/histogram.ts'

/** Upper bounds of the buckets of both durations, in ms, up to the longest that an attempt may take. */
const boundsMs = [
  1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000, 300_000, 1_800_000, 3_600_000,
  21_600_000, 86_400_000,
]

/** How long jobs waited, from the time when they could run to their handler's call, and how long their attempts took. In ms. */
export interface Durations {
  readonly timeInQueue: HistogramSnapshot
  readonly execution: HistogramSnapshot
}

/** The same for the jobs of one type. */
export interface TypeDurations extends Durations {
  readonly type: string
}

/** What this process has measured of its attempts; lost when it ends. */
export class RunStats {
  /** Events that the store refused because their lease was no longer held. */
  refused = 0
  readonly #byType: ReadonlyMap<string, { readonly timeInQueue: Histogram; readonly execution: Histogram }>
  #started = 0
  #inQueueMs = 0
  #ended = 0
  #executionMs = 0

  /** `types`: those with their own histograms, so that no job can add one. */
  constructor(types: readonly string[] = []) {
    this.#byType = new Map(
      types.map((type) => [type, { timeInQueue: new Histogram(boundsMs), execution: new Histogram(boundsMs) }]),
    )
  }

  started(job: Pick<LeasedJob, 'type' | 'runAt'>, at: number): void {
    const inQueueMs = Math.max(at - job.runAt, 0)
    this.#started++
    this.#inQueueMs += inQueueMs
    this.#byType.get(job.type)?.timeInQueue.observe(inQueueMs)
  }

  ended(job: Pick<LeasedJob, 'type'>, tookMs: number): void {
    this.#ended++
    this.#executionMs += tookMs
    this.#byType.get(job.type)?.execution.observe(tookMs)
  }

  /** Handlers that have been called and have not ended. */
  get active(): number {
    return this.#started - this.#ended
  }

  get avgExecutionMs(): number {
    return this.#ended === 0 ? 0 : this.#executionMs / this.#ended
  }

  /** From the time when a job could run to its handler's call. */
  get avgTimeInQueueMs(): number {
    return this.#started === 0 ? 0 : this.#inQueueMs / this.#started
  }

  byType(): TypeDurations[] {
    return [...this.#byType].map(([type, { timeInQueue, execution }]) => ({
      type,
      timeInQueue: timeInQueue.snapshot(),
      execution: execution.snapshot(),
    }))
  }

  /** For all types together. */
  durations(): Durations {
    const all = this.byType()
    const timeInQueue = all.map((each) => each.timeInQueue)
    const execution = all.map((each) => each.execution)
    return { timeInQueue: merge(boundsMs, timeInQueue), execution: merge(boundsMs, execution) }
  }
}
