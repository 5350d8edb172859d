import type { InputIssue } from '../errors.ts'
import { didYouMean } from '../job/did-you-mean.ts'

/** A time in which the clocks of a zone keep one offset from UTC, so that local time is the instant plus `offset`. All in ms. */
export interface Period {
  readonly start: number
  readonly end: number
  readonly offset: number
}

/** The periods of a zone are found and kept for spans of this length, aligned to 1970; a period may end with its span. */
const spanMs = 400 * 86_400_000
/** How closely a span is searched for changes. From 1970 to 2040 no zone changes twice within 7 days. */
const stepMs = 4 * 86_400_000
/** Spans kept for one zone: 44 years. A schedule needs one or two. */
const spansMax = 40

/** Of zones with three letters. Intl takes others too, which are abbreviations for it: `BST` as Asia/Dhaka, `IST` as Asia/Calcutta. */
const shortNames = 'CET EET EST GMT HST MET MST PRC ROC ROK UCT UTC WET'.split(' ')

const zones = new Map<string, Zone>()

/** A time zone, by the rules that come with this Node.js (`process.versions.tz`). */
export class Zone {
  readonly #format: Intl.DateTimeFormat
  readonly #spans = new Map<number, readonly Period[]>()

  /** Throws a RangeError if Intl does not know the name. */
  constructor(name: string) {
    this.#format = new Intl.DateTimeFormat('en-US-u-ca-gregory-nu-latn', {
      timeZone: name,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    })
  }

  /** The zone of a name that `zoneIssues` accepts. */
  static named(name: string): Zone {
    const key = name.toLowerCase()
    const zone = zones.get(key) ?? new Zone(name)
    zones.set(key, zone)
    return zone
  }

  periodAt(instant: number): Period {
    const periods = this.#spanOf(Math.floor(instant / spanMs))
    return periods.find(({ end }) => instant < end)!
  }

  /** The periods, without gaps, from the one of `from` to the one of `to`. */
  periods(from: number, to: number): Period[] {
    const found = [this.periodAt(from)]
    for (let last = found[0]!; last.end <= to; found.push(last)) last = this.periodAt(last.end)
    return found
  }

  #spanOf(index: number): readonly Period[] {
    const known = this.#spans.get(index)
    if (known) return known
    if (this.#spans.size === spansMax) this.#spans.clear()
    const periods = this.#search(index * spanMs)
    this.#spans.set(index, periods)
    return periods
  }

  #search(spanStart: number): Period[] {
    const periods: Period[] = []
    const spanEnd = spanStart + spanMs
    let start = spanStart
    let offset = this.#offsetAt(start)
    for (let at = spanStart; at < spanEnd; at += stepMs) {
      const offsetAfter = this.#offsetAt(at + stepMs)
      if (offsetAfter === offset) continue
      const end = this.#changeWithin(at, at + stepMs, offset)
      // A change at the very end begins the next span.
      if (end < spanEnd) {
        periods.push({ start, end, offset })
        start = end
        offset = offsetAfter
      }
    }
    return [...periods, { start, end: spanEnd, offset }]
  }

  /** The first instant, on a whole second, with another offset. */
  #changeWithin(from: number, to: number, offset: number): number {
    let [before, after] = [from / 1_000, to / 1_000]
    while (after - before > 1) {
      const middle = Math.floor((before + after) / 2)
      if (this.#offsetAt(middle * 1_000) === offset) before = middle
      else after = middle
    }
    return after * 1_000
  }

  /** Of an instant on a whole second. */
  #offsetAt(instant: number): number {
    const [month, day, year, hour, minute, second] = this.#format.format(instant).split(/\D+/).map(Number)
    return Date.UTC(year!, month! - 1, day, hour, minute, second) - instant
  }
}

/** Why a value is not the name of a zone; empty if it is. */
export function zoneIssues(name: unknown, path: string): readonly InputIssue[] {
  const message = faultOf(name)
  return message === undefined ? [] : [{ path, message }]
}

const zoneTakes = 'must be the name of a time zone, such as Europe/Berlin or UTC'

function faultOf(name: unknown): string | undefined {
  if (typeof name !== 'string') return zoneTakes
  const hours = /^(?:UTC|GMT|Etc\/GMT)?([+-])(\d{1,2})(:?\d\d)?$/i.exec(name)
  if (hours && !isKnown(name)) return `${zoneTakes}, not an offset${fixedZone(hours)}`
  if (name.trim() === '') return zoneTakes
  if (!isKnown(name)) return `${zoneTakes}; Node.js does not know ${JSON.stringify(name.slice(0, 64))}${meant(name)}`
  if (name.length !== 3 || shortNames.includes(name.toUpperCase())) return undefined
  const { timeZone } = new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions()
  return `${zoneTakes}, not an abbreviation: Node.js would take ${name} for ${timeZone}`
}

function isKnown(name: string): boolean {
  try {
    return /^[A-Za-z]/.test(name) && new Intl.DateTimeFormat('en', { timeZone: name }) instanceof Intl.DateTimeFormat
  } catch {
    return false
  }
}

/** The zone that always has a whole number of hours as its offset: its name has the opposite sign. */
function fixedZone([, sign, hours, minutes]: readonly (string | undefined)[]): string {
  const name = `Etc/GMT${sign === '+' ? '-' : '+'}${Number(hours)}`
  if (minutes?.match(/[1-9]/) || !isKnown(name)) return ''
  return `; ${name} is always ${Number(hours)} hours ${sign === '+' ? 'east' : 'west'} of Greenwich`
}

function meant(name: string): string {
  const known = [...Intl.supportedValuesOf('timeZone'), 'UTC']
  const city = name.toLowerCase().replaceAll(' ', '_')
  const same = known.find((one) => one.toLowerCase().endsWith(`/${city}`))
  return same ? `; did you mean ${same}?` : didYouMean(name, known)
}
