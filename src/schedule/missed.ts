import type { Ticks } from './ticks.ts'

/** What happens to ticks that passed while nothing could make their jobs: no job, one job for all of them, or a job each. */
export type MissedPolicy = 'skip' | 'one' | 'all'

/** A tick at most this old is late; an older one is missed. */
const graceMs = 60_000
/** How many missed ticks are counted, at 0.1 to 3 µs each, so that no start waits for years of ticks. */
const countMax = 10_000
/** How many missed ticks get jobs of their own, and how old these may be. */
const runsMax = 100
const runsMaxMs = 86_400_000

/** Ticks that were missed. */
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
  /** The missed ticks that this job stands for, its own included; null if it stands for its own tick alone. */
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
 * policy. `one` runs the newest of the missed; `all` runs the newest 100 of those of the last 24 hours.
 */
export function dueTicks(ticks: Ticks, lastTick: number, now: number, policy: MissedPolicy): DueTicks {
  const lateFrom = now - graceMs
  const late = ticksUntil(ticks, Math.max(lastTick, lateFrom - 1), now)
  const counted = countedTicks(ticks, lastTick, lateFrom)
  const missed = missedTicks(ticks, counted, lateFrom)
  const replayed = missed ? replayedTicks(ticks, counted, missed, now, policy) : []
  return {
    run: [...replayed, ...late].map((tick, index) => ({
      tick,
      missed: missed && index === 0 && replayed.length > 0 ? standsFor(missed, replayed) : null,
    })),
    missed,
    skipped: (missed?.count ?? 0) - replayed.length,
    lastTick: late.at(-1) ?? missed?.last ?? lastTick,
  }
}

/** The ticks after one instant up to another: at most one a second. */
function ticksUntil(ticks: Ticks, after: number, until: number): number[] {
  const found: number[] = []
  for (let tick = ticks.next(after); tick !== null && tick <= until; tick = ticks.next(tick)) found.push(tick)
  return found
}

/** The first ticks after one instant and before another, as many as are counted. */
function countedTicks(ticks: Ticks, after: number, before: number): number[] {
  const found: number[] = []
  for (let tick = ticks.next(after); tick !== null && tick < before; tick = ticks.next(tick)) {
    found.push(tick)
    if (found.length === countMax) break
  }
  return found
}

function missedTicks(ticks: Ticks, counted: readonly number[], before: number): MissedTicks | null {
  const [first] = counted
  if (first === undefined) return null
  const newest = counted.at(-1)!
  const last = counted.length < countMax ? newest : (newestBefore(ticks, before, newest) ?? newest)
  return { count: counted.length, isMore: last !== newest, first, last }
}

/** Those of the missed ticks that get jobs, oldest first. */
function replayedTicks(
  ticks: Ticks,
  counted: readonly number[],
  { isMore, first, last }: MissedTicks,
  now: number,
  policy: MissedPolicy,
): number[] {
  if (policy === 'skip') return []
  if (policy === 'one') return [last]
  const oldest = Math.max(first, now - runsMaxMs)
  if (!isMore) return counted.slice(-runsMax).filter((tick) => tick >= oldest)
  const found: number[] = []
  for (let tick: number | null = last; tick !== null && found.length < runsMax && tick >= oldest; ) {
    found.unshift(tick)
    tick = newestBefore(ticks, tick, oldest - 1)
  }
  return found
}

/** What the oldest job stands for: the missed ticks before it that get no job, and its own. */
function standsFor({ count, isMore, first }: MissedTicks, replayed: readonly number[]): MissedTicks | null {
  const standsForCount = count - replayed.length + 1
  return standsForCount === 1 ? null : { count: standsForCount, isMore, first, last: replayed[0]! }
}

/**
 * The newest tick before an instant and after another; null if there is none. It is found by asking for next ticks only: a search backwards
 * with rules of its own could disagree with them at a change of the clock.
 */
function newestBefore(ticks: Ticks, before: number, after: number): number | null {
  const nextBefore = (instant: number) => {
    const tick = ticks.next(instant)
    return tick !== null && tick < before ? tick : null
  }
  let far = before - 1
  let width = 1_000
  for (; far > after && nextBefore(far) === null; width *= 2) far = Math.max(after, before - width)
  let newest = nextBefore(far)
  if (newest === null) return null
  let near = Math.min(before - 1, far + width)
  while (near > newest) {
    const middle = Math.floor((newest + near) / 2)
    const later = nextBefore(middle)
    if (later === null) near = middle
    else newest = later
  }
  return newest
}
