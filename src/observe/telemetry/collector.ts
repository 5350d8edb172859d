import { countStates, edges, statesWithTag } from '../../machines/edges.ts'
import type { JobState } from '../../machines/job.ts'
import { type Slots, takenPhases } from '../../machines/slots.ts'
import { type CommitStats, type EdgeCount, type FileSizes, retention, type Store } from '../../persistence/store.ts'
import type { Clock } from '../../runtime/clock.ts'
import { version } from '../../runtime/version.ts'
import { type Activity, type Phase, toWorkerActivity } from './activity.ts'
import { type Census, TypeCounter } from './census.ts'
import type { RunStats, TypeDurations } from './run-stats.ts'
import { type Sample, TimeSeries } from './time-series.ts'

/** Everything that the system has measured of itself, for monitoring. Durations in ms. */
export interface Telemetry {
  /** Epoch ms. */
  readonly at: number
  /** This program's version. */
  readonly version: string
  /** As in `health`. */
  readonly ready: boolean
  /** Jobs in each state. */
  readonly states: Readonly<Record<JobState, number>>
  /**
   * How often each edge was taken since the file was created, including those that never were. `to` is null for jobs that retention
   * removed.
   */
  readonly transitions: readonly EdgeCount[]
  /** Null if the first is not finished yet. */
  readonly census: Census | null
  /** For each type with a handler here. This and the next two are since this process opened the file. */
  readonly types: readonly TypeDurations[]
  readonly commits: CommitStats
  /** Outcomes that arrived when their lease was no longer held. */
  readonly refusals: number
  /** The most jobs that run at once; 0 for a producer. */
  readonly slots: number
  /** How many slots are in use, by phase. */
  readonly phases: Readonly<Record<Phase, number>>
  readonly files: FileSizes
}

/** The observed part of the dispatcher. */
interface Dispatching {
  getSnapshot(): { readonly value: string; readonly context: { readonly slots: Slots } }
}

interface CollectorParts {
  readonly store: Store
  readonly stats: RunStats
  readonly clock: Clock
  readonly countsAtOpen: readonly EdgeCount[]
  readonly slots: number
  readonly isReady: () => boolean
  /** Null for a producer. */
  readonly dispatcher: Dispatching | null
}

/** Observes a system; the system never waits for it. */
export class Collector {
  readonly #parts: CollectorParts
  readonly #census: TypeCounter
  readonly #series: TimeSeries

  constructor(parts: CollectorParts) {
    this.#parts = parts
    const { store, stats, clock, countsAtOpen } = parts
    this.#census = new TypeCounter({ count: () => store.census(), clock })
    this.#series = new TimeSeries(
      {
        edges: () => store.counts(),
        durations: () => stats.durations(),
        commits: () => store.commitStats(),
        now: () => clock.now(),
      },
      countsAtOpen,
    )
  }

  startSampling(): void {
    this.#series.start()
  }

  stopSampling(): void {
    this.#series.stop()
  }

  activity(): Activity {
    const { dispatcher, slots } = this.#parts
    const snapshot = dispatcher?.getSnapshot()
    if (!snapshot) return { mode: null, slots: 0, workers: [] }
    return { mode: snapshot.value, slots, workers: toWorkerActivity(snapshot.context.slots.assigned()) }
  }

  census(): Promise<Census | null> {
    return this.#census.take()
  }

  series(after: number): Sample[] {
    return this.#series.since(after)
  }

  async telemetry(): Promise<Telemetry> {
    const { store, stats, clock, isReady } = this.#parts
    const [census, files] = await Promise.all([this.census(), store.fileSizes()])
    // Last, so that no value is older than the wait for the count by type.
    const counts = await store.counts()
    const { slots, workers } = this.activity()
    return {
      at: clock.now(),
      version: version(),
      ready: isReady(),
      states: countStates(counts),
      transitions: withNeverTaken(counts),
      census,
      types: stats.byType(),
      commits: store.commitStats(),
      refusals: stats.refused,
      slots,
      phases: countPhases(workers),
      files,
    }
  }
}

/** How many slots are in use, by phase. */
function countPhases(workers: Activity['workers']): Record<Phase, number> {
  const counts = Object.fromEntries(takenPhases.map((phase) => [phase, 0])) as Record<Phase, number>
  for (const { phase } of workers) counts[phase]++
  return counts
}

/** The first time of an edge is an increase only if a count of 0 was reported before. */
function withNeverTaken(counts: readonly EdgeCount[]): EdgeCount[] {
  const known = [
    ...edges.map(({ from, event, to }) => ({ from, event, to, count: 0 })),
    ...statesWithTag('expendable').map((from) => ({ from, event: retention, to: null, count: 0 }) as const),
  ]
  const byEdge = new Map<string, EdgeCount>()
  for (const edge of [...known, ...counts]) byEdge.set(`${edge.from} ${edge.event} ${edge.to}`, edge)
  return [...byEdge.values()]
}
