import type { Progress } from './progress.ts'
import type { Scratch } from './scratch.ts'

/** For rates and ratios more is better, for times, memory, bytes and shares of a core less. */
export type Unit = 'jobs/s' | 'requests/s' | 'ratio' | 'ms' | 'µs' | 'MB' | 'bytes' | '%'

/** One answer, as `--json` prints it. */
export interface Figure {
  readonly name: string
  /** The median of the runs, as is `limit`. */
  readonly value: number
  readonly unit: Unit
  /** A value that cannot be exceeded by much: the same work without the engine, measured between the engine's runs, or a calculated one. */
  readonly limit?: number
  /** How much of the limit is reached: 1 is all of it, also for units where less is better. */
  readonly share?: number
  readonly detail: Readonly<Record<string, unknown>>
}

/** The environment of a question. */
export interface Bench {
  /** How often each figure is measured. */
  readonly runs: number
  /** Whether to use as many jobs as the brief's workload, if that takes minutes. */
  readonly full: boolean
  readonly scratch: Scratch
  readonly progress: Progress
}

/** One thing to find out, in its own file. */
export interface Question {
  /** The figures it answers with, in order. */
  readonly names: readonly string[]
  /** What is measured, in one sentence; part of every figure's detail. */
  readonly about: string
  measure(bench: Bench): Promise<readonly Figure[]>
}
