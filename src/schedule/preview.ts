import { parseCron } from './cron.ts'
import type { CronFields } from './cron-expression.ts'
import type { CronField } from './cron-field.ts'
import { type Timing, ticksOf } from './ticks.ts'
import { type Period, Zone } from './zone.ts'

const previewMax = 100
const yearMs = 366 * 86_400_000
const weekdays = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat']

/** A tick to show: `2026-03-29T01:00:00Z`, and `Sun 2026-03-29 03:00:00 +02:00` in its zone. */
interface ShownTick {
  readonly tick: number
  readonly utc: string
  readonly local: string
}

/** The next `count` ticks, at most 100, after an instant. See `ticksOf`. */
export function previewTicks(timing: Timing, since: number, after: number, count: number): ShownTick[] {
  const ticks = ticksOf(timing, since)
  const shown: ShownTick[] = []
  for (
    let tick = ticks.next(after);
    tick !== null && shown.length < Math.min(count, previewMax);
    tick = ticks.next(tick)
  )
    shown.push({ tick, utc: `${isoText(tick)}Z`, local: formatTick(tick, timing.zone) })
  return shown
}

/** A tick as the clocks of a zone show it, with its offset from UTC: `Sun 2026-03-29 03:00:00 +02:00`. */
export function formatTick(tick: number, zone: string): string {
  const { offset } = Zone.named(zone).periodAt(tick)
  const local = new Date(tick + offset)
  return `${weekdays[local.getUTCDay()]} ${isoText(tick + offset).replace('T', ' ')} ${offsetText(offset)}`
}

/** Without fractions of a second unless there are any. */
function isoText(instant: number): string {
  return new Date(instant).toISOString().replace(/(\.000)?Z$/, '')
}

/** `+02:00`; seconds are shown if there are any. */
function offsetText(offset: number): string {
  const text = new Date(Math.abs(offset)).toISOString().slice(11, 19).replace(/:00$/, '')
  return `${offset < 0 ? '-' : '+'}${text}`
}

/** What is allowed in a timing but may surprise, in sentences; it looks a year ahead from `now`. */
export function timingWarnings({ cron, zone }: Timing, now: number): string[] {
  const warnings = /^Etc\/GMT[+-][1-9]/i.test(zone) ? [signWarning(zone, now)] : []
  const expression = cron === null ? [] : parseCron(cron, 'cron')
  if (Array.isArray(expression)) return warnings
  warnings.push(...dayWarnings(expression.fields), ...stepWarnings(expression.fields))
  if (expression.isInterval) return warnings
  const periods = Zone.named(zone).periods(now, now + yearMs)
  for (const [index, after] of periods.slice(1).entries()) {
    const before = periods[index]!
    const planned = expression.next(before.end + before.offset)
    if (planned !== null && planned < after.start + after.offset)
      return [...warnings, gapWarning(planned, before, after, zone)]
  }
  return warnings
}

function signWarning(zone: string, now: number): string {
  const { offset } = Zone.named(zone).periodAt(now)
  return `${zone} is ${offsetText(offset)}, ${offset < 0 ? 'west' : 'east'} of Greenwich: the signs of these names are the opposite of the usual`
}

function dayWarnings({ date, weekday }: CronFields): string[] {
  if ([date, weekday].some(({ text }) => /^[*?]/.test(text))) return []
  return [
    `it runs on each day that is "${date.text}" of the month or "${weekday.text}" of the week: if both are set, either is enough`,
  ]
}

function stepWarnings(fields: CronFields): string[] {
  return Object.values<CronField>({ ...fields }).flatMap(({ unevenSteps }) =>
    unevenSteps.map((step) => `${step} is uneven: its field starts anew after a shorter step than the others`),
  )
}

function gapWarning(planned: number, before: Period, after: Period, zone: string): string {
  const time = (local: number) => isoText(local).slice(11)
  const [from, to] = [time(before.end + before.offset), time(after.start + after.offset)]
  const [date, at] = isoText(planned).split('T')
  return `${zone} has no ${at} on ${date}, because its clocks go from ${from} to ${to}: it runs at ${to}`
}
