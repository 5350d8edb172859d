import type { CronExpression } from './cron-expression.ts'
import type { Period, Zone } from './zone.ts'

const dayMs = 86_400_000
/** No clock is further from UTC, before its zone was standardised neither. */
const offsetMax = 16 * 3_600_000

/**
 * The first tick strictly after an instant from 1970 on, on a whole second; null if none comes in 400 years. A fixed time that the clock
 * shows twice ticks the first time; one that it leaves out ticks at the end of the gap. An interval ticks whenever the clock shows a planned
 * time; if a gap leaves it none on a planned date, it ticks once at the end of the gap. A date that is left out as a whole has no tick.
 */
export function nextCronTick(cron: CronExpression, zone: Zone, after: number): number | null {
  const from = Math.floor(after / 1_000) * 1_000 + 1_000
  const period = zone.periodAt(from)
  const local = cron.next(from + period.offset)
  if (local === null) return null
  // A day after a change nothing is shown a second time, and the planned times until the next change are simply those of the clock.
  if (from >= period.start + dayMs && local - period.offset < period.end) return local - period.offset
  return nextNearChange(cron, zone, from)
}

/** The same for any `from`, day by day: when a clock goes back over midnight, ticks of two dates are mixed. */
function nextNearChange(cron: CronExpression, zone: Zone, from: number): number | null {
  const today = Math.floor((from + zone.periodAt(from).offset) / dayMs) * dayMs
  let next = Number.POSITIVE_INFINITY
  let day = cron.nextDay(today - dayMs)
  while (day !== null && day - offsetMax < next) {
    next = Math.min(next, firstOfDay(cron, zone, day, from))
    day = cron.nextDay(day + dayMs)
  }
  return next === Number.POSITIVE_INFINITY ? null : next
}

/** The first tick of one planned date at or after `from`, whenever it is shown; infinity if it has none. */
function firstOfDay(cron: CronExpression, zone: Zone, day: number, from: number): number {
  let first = Number.POSITIVE_INFINITY
  /** Up to here the clock has shown, or left out, the times of the date. */
  let shown = day
  let last: Period | undefined
  for (const period of zone.periods(day - offsetMax, day + dayMs + offsetMax)) {
    const [start, end] = [period.start + period.offset, Math.min(period.end + period.offset, day + dayMs)]
    if (last && start > last.end + last.offset && period.start >= from) {
      if (ticksAtGapEnd(cron, day, last.end + last.offset, start)) first = Math.min(first, period.start)
    }
    const earliest = Math.max(cron.isInterval ? start : Math.max(start, shown), from + period.offset)
    const local = cron.within(day, earliest, end)
    if (local !== null) first = Math.min(first, local - period.offset)
    shown = Math.max(shown, end)
    last = period
  }
  return first
}

/** Whether planned times of a date that a gap leaves out, from one local time to another, make a tick at its end. */
function ticksAtGapEnd(cron: CronExpression, day: number, from: number, to: number): boolean {
  if (from <= day && to >= day + dayMs) return false
  if (!cron.isInterval) return cron.within(day, from, Math.min(to, day + dayMs)) !== null
  return day + cron.firstTime >= from && day + cron.lastTime < to
}
