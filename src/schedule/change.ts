import type { DueTicks, MissedPolicy } from './missed.ts'
import type { Timing } from './ticks.ts'

/** A stored schedule, as far as its ticks depend on it. */
export interface Planned {
  readonly timing: Timing
  readonly missed: MissedPolicy
  /** When it was created or its interval last changed. */
  readonly since: number
  /** The newest tick that was dealt with; when it was created, resumed or its timing changed, if that was later. */
  readonly lastTick: number
}

/** What a changed timing does to a schedule. */
interface TimingChange {
  /** The ticks of the old timing that are due: to be settled before the new timing counts. */
  readonly settle: DueTicks
  readonly since: number
  readonly lastTick: number
}

/**
 * What writing a schedule again changes about its ticks; null if its timing is as before, so that every start of a program may write its
 * schedules without losing what was missed. A new timing counts from `now` and owes nothing from before.
 */
export function changeOfTiming(_kept: Planned, _given: Timing, _now: number): TimingChange | null {
  throw new Error('not yet')
}
