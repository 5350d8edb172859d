import { countStates } from '../../machines/edges.ts'
import type { JobState } from '../../machines/job.ts'
import { difference, type HistogramSnapshot, quantile } from '../../persistence/histogram.ts'
import type { CommitStats, EdgeCount } from '../../persistence/store.ts'
import { timers } from '../../runtime/timers.ts'
import { stepsIn } from './metrics.ts'
import type { Durations } from './run-stats.ts'

/** Ms between two samples, and how many are kept: half an hour. */
const sampleEveryMs = 2_000
const samplesMax = 900

/** In ms. */
export interface Quantiles {
  readonly p50: number
  readonly p95: number
  readonly p99: number
}

/** The values at `at`, and what happened since the previous sample; null if nothing did. */
export interface Sample {
  /** Epoch ms. */
  readonly at: number
  /** Since the previous sample; for the first, since the file was opened. */
  readonly spanMs: number
  /** Jobs in each state, now. */
  readonly states: Readonly<Record<JobState, number>>
  readonly enqueued: number
  readonly started: number
  readonly succeeded: number
  /** Attempts that ended in `fail`, `reject` or `expire`. */
  readonly failed: number
  /** Those of them that run again. */
  readonly retried: number
  /** From the time when a job could run to its handler's call. */
  readonly timeInQueueMs: Quantiles | null
  readonly executionMs: Quantiles | null
  /** Commits that wrote an event. */
  readonly commits: number
  readonly meanCommitMs: number | null
}

/** A sample is the difference of two of these. */
interface Reading {
  readonly at: number
  readonly edges: readonly EdgeCount[]
  readonly durations: Durations
  readonly commits: CommitStats
}

interface TimeSeriesParts {
  readonly edges: () => Promise<readonly EdgeCount[]>
  readonly durations: () => Durations
  readonly commits: () => CommitStats
  /** Epoch ms. */
  readonly now: () => number
}

/** Samples of the last half hour, in memory. */
export class TimeSeries {
  readonly #parts: TimeSeriesParts
  readonly #samples: Sample[] = []
  #before: Reading
  #timer: NodeJS.Timeout | undefined

  /** `edgesAtOpen`: the base of the first sample. */
  constructor(parts: TimeSeriesParts, edgesAtOpen: readonly EdgeCount[]) {
    this.#parts = parts
    this.#before = this.#read(edgesAtOpen)
  }

  /** Takes samples from now on, without keeping the process alive. */
  start(): void {
    this.#timer = timers.setInterval(() => void this.sample(), sampleEveryMs)
    this.#timer.unref()
  }

  stop(): void {
    timers.clearInterval(this.#timer)
  }

  /** Takes one now; none if the file cannot be read, or if no time has passed: then the next one covers more. */
  async sample(): Promise<void> {
    const edges = await this.#parts.edges().catch(() => null)
    if (!edges) return
    const reading = this.#read(edges)
    const last = this.#samples.at(-1)
    if (reading.at === last?.at) return
    // The clock was set back: the series starts again, because its instants must rise.
    if (last && reading.at < last.at) this.#samples.length = 0
    this.#samples.push(toSample(this.#before, reading))
    if (this.#samples.length > samplesMax) this.#samples.shift()
    this.#before = reading
  }

  /** Samples newer than `after`, oldest first; all if `after` is newer than the newest, as for a reader after the clock was set back. */
  since(after: number): Sample[] {
    const newest = this.#samples.at(-1)?.at ?? 0
    return this.#samples.filter(({ at }) => at > after || after > newest)
  }

  #read(edges: readonly EdgeCount[]): Reading {
    const { durations, commits, now } = this.#parts
    return { at: now(), edges, durations: durations(), commits: commits() }
  }
}

function toSample(before: Reading, now: Reading): Sample {
  const steps = stepsIn(now.edges)
  const stepsBefore = stepsIn(before.edges)
  const commits = difference(now.commits.durationMs, before.commits.durationMs)
  return {
    at: now.at,
    spanMs: Math.max(now.at - before.at, 0),
    states: countStates(now.edges),
    enqueued: steps.enqueued - stepsBefore.enqueued,
    started: steps.started - stepsBefore.started,
    succeeded: steps.succeeded - stepsBefore.succeeded,
    failed: steps.failed - stepsBefore.failed,
    retried: steps.retried - stepsBefore.retried,
    timeInQueueMs: quantilesOf(difference(now.durations.timeInQueue, before.durations.timeInQueue)),
    executionMs: quantilesOf(difference(now.durations.execution, before.durations.execution)),
    commits: commits.count,
    meanCommitMs: commits.count === 0 ? null : commits.sum / commits.count,
  }
}

function quantilesOf(came: HistogramSnapshot): Quantiles | null {
  const [p50, p95, p99] = [0.5, 0.95, 0.99].map((q) => quantile(came, q))
  return p50 == null || p95 == null || p99 == null ? null : { p50, p95, p99 }
}
