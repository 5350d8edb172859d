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
  /** The first tick strictly after an instant, in epoch ms, on a whole second if it comes from cron; null if no tick is left. */
  next(after: number): number | null
}

/**
 * The ticks of a timing that `parseSchedule` accepted; throws on another. Keep it: it has parsed the expression. `since` is when the schedule
 * was created or its interval last changed: an interval without `startsAt` counts from there, and `since` itself is no tick.
 */
export function ticksOf(_timing: Timing, _since: number): Ticks {
  throw new Error('not yet')
}
