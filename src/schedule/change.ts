import { type DueTicks, dueTicks, type MissedPolicy } from './missed.ts'
import { type Timing, ticksOf } from './ticks.ts'

/** A stored schedule, as far as its ticks depend on it. */
interface Planned {
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
export function changeOfTiming(
  { timing, missed, since, lastTick }: Planned,
  given: Timing,
  now: number,
): TimingChange | null {
  if (isSame(timing, given)) return null
  return {
    settle: dueTicks(ticksOf(timing, since), lastTick, now, missed),
    since: timing.everyMs === given.everyMs ? since : now,
    // A clock that was set back must not plan a second time what was dealt with.
    lastTick: Math.max(lastTick, now),
  }
}

function isSame(kept: Timing, given: Timing): boolean {
  return (Object.keys(given) as (keyof Timing)[]).every((field) => kept[field] === given[field])
}
