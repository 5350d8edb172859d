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
  /** The same work in bare SQLite, measured between the engine's runs. */
  readonly limit?: number
  /** How much of the limit is reached: 1 is all of it, also for units of which less is better. */
  readonly share?: number
  readonly detail: Readonly<Record<string, unknown>>
}

/** What a question measures with. */
export interface Bench {
  /** How often each figure is measured. */
  readonly runs: number
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
