import type { Progress } from './progress.ts'
import type { Scratch } from './scratch.ts'

/** Of rates and ratios more is better, of times and memory less. */
export type Unit = 'jobs/s' | 'requests/s' | 'ratio' | 'ms' | 'MB'

/** One answer, as `--json` prints it. */
export interface Figure {
  readonly name: string
  /** The median of the runs, as is `limit`. */
  readonly value: number
  readonly unit: Unit
  /** What cannot be beaten by much: the same work in the bare, measured between the engine's runs, or what arithmetic gives. */
  readonly limit?: number
  /** How much of the limit is reached: 1 is all of it, also for units of which less is better. */
  readonly share?: number
  readonly detail: Readonly<Record<string, unknown>>
}

/** What a question measures with. */
export interface Bench {
  /** How often each figure is measured. */
  readonly runs: number
  /** As many jobs as the workload in the brief has, where that takes minutes. */
  readonly full: boolean
  readonly scratch: Scratch
  readonly progress: Progress
}

/** One thing to find out, in a file of its own. */
export interface Question {
  /** The figures it answers with, in order. */
  readonly names: readonly string[]
  /** What is measured, in one sentence; stands in every figure's detail. */
  readonly about: string
  measure(bench: Bench): Promise<readonly Figure[]>
}
