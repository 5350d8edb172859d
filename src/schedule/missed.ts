import type { Ticks } from './ticks.ts'

/** What happens to ticks that passed while nothing could make their jobs: none, one job for all, or a job each. */
export type MissedPolicy = 'skip' | 'one' | 'all'

/** Several ticks that were missed. */
export interface MissedTicks {
  readonly count: number
  /** Whether there were more than `count`: counting stops at 10,000. */
  readonly isMore: boolean
  readonly first: number
  readonly last: number
}

/** A tick that gets a job now. */
interface DueTick {
  readonly tick: number
  /** The missed ticks that this job stands for, its own included; null for an ordinary tick, or one that stands for itself alone. */
  readonly missed: MissedTicks | null
}

export interface DueTicks {
  /** Oldest first. */
  readonly run: readonly DueTick[]
  /** Every missed tick, with or without a job; null if there is none. */
  readonly missed: MissedTicks | null
  /** How many of the missed ticks get no job; a lower bound if `missed.isMore`. */
  readonly skipped: number
  /** The newest tick up to now, from which to plan on; as given if there is none. */
  readonly lastTick: number
}

/**
 * The ticks after `lastTick` up to `now`, and which of them get a job. Those at most a minute old are late, not missed, and run under each
 * policy. `one` runs the newest of the missed; `all` runs them all, at most the newest 100 of the last 24 hours.
 */
export function dueTicks(_ticks: Ticks, _lastTick: number, _now: number, _policy: MissedPolicy): DueTicks {
  throw new Error('not yet')
}
