import { duration, formatTick, type ScheduleInfo } from '../../../engine/front-door.ts'

/** The timing of a schedule in a few words. */
export function timingText({ cron, everyMs }: Pick<ScheduleInfo, 'cron' | 'everyMs'>): string {
  if (cron !== null) return cron
  return everyMs === null ? 'unreadable' : `every ${duration(everyMs)}`
}

/** A tick in the zone of its schedule, `Sun 2026-03-29 03:00:00 +02:00`; in UTC if this Node.js does not know the zone. */
export function tickText(tick: number, zone: string): string {
  try {
    return formatTick(tick, zone)
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    return formatTick(tick, 'UTC')
  }
}

/** What happens to ticks at which something is in the way, in whole sentences. */
export function policyTexts({ overlap, missed, jitterMs }: ScheduleInfo): Readonly<Record<string, string>> {
  return {
    Overlap: overlapTexts[overlap],
    Missed: missedTexts[missed],
    Jitter:
      jitterMs === 0
        ? 'None: a job may run at its tick.'
        : `A job waits up to ${duration(jitterMs)} after its tick, but at most half of the way to the next.`,
  }
}

export const overlapTexts = {
  allow: 'A tick makes its job even if the last one has not ended.',
  skip: 'A tick makes no job while the last one has not ended.',
} as const

export const missedTexts = {
  one: 'Ticks that were missed by more than a minute get one job for all.',
  all: 'Each tick that was missed gets a job: the newest 100, of the last 24 hours.',
  skip: 'Ticks that were missed by more than a minute get no job.',
} as const
