import { InvalidInputError } from '../errors.ts'
import { instantMax } from '../job/fields.ts'
import { parseCron } from './cron.ts'
import { nextCronTick } from './cron-ticks.ts'
import { Zone } from './zone.ts'

/** When a schedule is due: by a cron expression in a zone, or at a fixed interval. Instants are epoch ms. */
export interface Timing {
  /** Null if `everyMs` is set. Blanks are single spaces. */
  readonly cron: string | null
  /** Null if `cron` is set. */
  readonly everyMs: number | null
  /** The name of a time zone as it was written; it also formats the ticks of an interval. */
  readonly zone: string
  /** The first instant at which it may tick; null if that does not matter. An interval counts from here. */
  readonly startsAt: number | null
  /** It ticks before this instant only; null means for ever. */
  readonly endsAt: number | null
}

/** The ticks of a schedule. */
export interface Ticks {
  /**
   * The first tick strictly after an instant, in epoch ms, on a whole second if it comes from cron; null if no tick is left until the year
   * 9999. No tick is before 1970.
   */
  next(after: number): number | null
}

/**
 * The ticks of a timing that `parseSchedule` accepted; throws `InvalidInputError` on another. Keep it, since it has parsed the expression.
 * `since` is when the schedule was created or its interval last changed: an interval without `startsAt` counts from there, and `since`
 * itself is not a tick.
 */
export function ticksOf({ cron, everyMs, zone, startsAt, endsAt }: Timing, since: number): Ticks {
  const nextOf = everyMs === null ? cronTicks(cron, zone) : intervalTicks(everyMs, startsAt ?? since + everyMs)
  const earliest = Math.max(startsAt ?? 0, 0) - 1
  const end = endsAt ?? instantMax + 1
  return {
    next(after) {
      const tick = nextOf(Math.max(after, earliest))
      return tick === null || tick >= end ? null : tick
    },
  }
}

function cronTicks(cron: string | null, zone: string): Ticks['next'] {
  const expression = parseCron(cron, 'cron')
  if (Array.isArray(expression)) throw new InvalidInputError(expression)
  const clock = Zone.named(zone)
  return (after) => nextCronTick(expression, clock, after)
}

function intervalTicks(everyMs: number, first: number): Ticks['next'] {
  return (after) => first + Math.max(0, Math.floor((after - first) / everyMs) + 1) * everyMs
}
