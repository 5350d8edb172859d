import type { CronField } from './cron-field.ts'

/** The fields of an expression, by their names. */
export interface CronFields {
  readonly second: CronField
  readonly minute: CronField
  readonly hour: CronField
  readonly date: CronField
  readonly month: CronField
  readonly weekday: CronField
}

const secondMs = 1_000
const minuteMs = 60_000
const hourMs = 3_600_000
const dayMs = 86_400_000
/** After so many months the Gregorian calendar repeats itself, weekdays included. */
const calendarMonths = 400 * 12

/**
 * A cron expression as the times at which it is planned. They are local times: what a clock shows, in ms since 1970-01-01 00:00 of that
 * clock. What they are as instants is for a zone to say.
 */
export class CronExpression {
  /** As written, with single spaces. */
  readonly text: string
  readonly fields: CronFields
  /** Whether it runs whenever the clock shows a time, so twice if the clock shows it twice, rather than once for each planned time. */
  readonly isInterval: boolean
  /** The first and last time of a day that has any. */
  readonly firstTime: number
  readonly lastTime: number
  readonly #seconds: readonly number[]
  readonly #minutes: readonly number[]
  readonly #hours: readonly number[]
  readonly #needsBothDays: boolean
  /** The month that was asked for last, and its days as bits, the 1st lowest. */
  #month = Number.NaN
  #days = 0

  constructor(text: string, fields: CronFields) {
    this.text = text
    this.fields = fields
    const { second, minute, hour, date, weekday } = fields
    this.isInterval = [second, minute, hour].some((field) => field.text.includes('*'))
    // A day field that begins with a star leaves the choice to the other.
    this.#needsBothDays = [date, weekday].some((field) => /^[*?]/.test(field.text))
    this.#seconds = nextValues(second, 60)
    this.#minutes = nextValues(minute, 60)
    this.#hours = nextValues(hour, 24)
    this.firstTime = this.#timeFrom(0)!
    const last = (field: CronField) => Math.max(...field.values)
    this.lastTime = last(hour) * hourMs + last(minute) * minuteMs + last(second) * secondMs
  }

  /** The first planned time at or after a local time on a whole second; null if there is none in 400 years. */
  next(from: number): number | null {
    const day = Math.floor(from / dayMs) * dayMs
    const today = this.nextDay(day) === day ? this.#timeFrom(from - day) : null
    if (today !== null) return day + today
    const later = this.nextDay(day + dayMs)
    return later === null ? null : later + this.firstTime
  }

  /** The first planned time of a planned day, within `from` and before `to`. */
  within(day: number, from: number, to: number): number | null {
    const time = from < day + dayMs ? this.#timeFrom(Math.max(from - day, 0)) : null
    return time !== null && day + time < to ? day + time : null
  }

  /** The first planned day at or after one, both as the local time of their beginnings. */
  nextDay(from: number): number | null {
    const date = new Date(from)
    const firstMonth = (date.getUTCFullYear() - 1970) * 12 + date.getUTCMonth()
    let days = this.#daysOf(firstMonth) & -(1 << (date.getUTCDate() - 1))
    for (let month = firstMonth; month <= firstMonth + calendarMonths; days = this.#daysOf(++month))
      if (days !== 0) return Date.UTC(1970, month, 32 - Math.clz32(days & -days))
    return null
  }

  /** The planned time of a day at or after one, both in ms since midnight. */
  #timeFrom(time: number): number | null {
    const hour = Math.floor(time / hourMs)
    const minute = Math.floor((time % hourMs) / minuteMs)
    let h = this.#hours[hour]!
    let m = h === hour ? this.#minutes[minute]! : this.#minutes[0]!
    let s = h === hour && m === minute ? this.#seconds[(time % minuteMs) / secondMs]! : this.#seconds[0]!
    if (s < 0) {
      m = this.#minutes[minute + 1]!
      s = this.#seconds[0]!
    }
    if (m < 0) {
      h = this.#hours[hour + 1]!
      m = this.#minutes[0]!
      s = this.#seconds[0]!
    }
    return h < 0 ? null : h * hourMs + m * minuteMs + s * secondMs
  }

  /** The planned days of a month, as bits. */
  #daysOf(month: number): number {
    if (month === this.#month) return this.#days
    this.#month = month
    this.#days = this.fields.month.values.has((((month % 12) + 12) % 12) + 1) ? this.#search(month) : 0
    return this.#days
  }

  #search(month: number): number {
    const { date, weekday } = this.fields
    const length = lengthOf(month)
    const first = weekdayOf(month)
    let byDate = 0
    let byWeekday = 0
    for (let day = 1; day <= length; day++) {
      if (date.values.has(day)) byDate |= 1 << (day - 1)
      if (weekday.values.has((first + day - 1) % 7)) byWeekday |= 1 << (day - 1)
    }
    for (const day of date.special.map((text) => specialDate(text, length, first))) byDate |= bit(day)
    for (const day of weekday.special.map((text) => specialWeekday(text, length, first))) byWeekday |= bit(day)
    return this.#needsBothDays ? byDate & byWeekday : byDate | byWeekday
  }
}

/** By a number, the first of a field's values at or after it; negative if there is none. One longer than the field. */
function nextValues({ values }: CronField, length: number): readonly number[] {
  const next = new Array<number>(length + 1).fill(-1)
  for (let value = length - 1; value >= 0; value--) next[value] = values.has(value) ? value : next[value + 1]!
  return next
}

/** Months are counted from January 1970. */
function lengthOf(month: number): number {
  return new Date(Date.UTC(1970, month + 1, 0)).getUTCDate()
}

function weekdayOf(month: number): number {
  return new Date(Date.UTC(1970, month, 1)).getUTCDay()
}

function bit(day: number): number {
  return day < 1 ? 0 : 1 << (day - 1)
}

/** The day of `L`, `LW` or `15W` in a month whose 1st is the weekday `first`; 0 if it has none. */
function specialDate(text: string, length: number, first: number): number {
  if (text === 'L') return length
  const day = text === 'LW' ? length : Number.parseInt(text, 10)
  if (day > length) return 0
  const weekday = (first + day - 1) % 7
  if (weekday === 6) return day === 1 ? 3 : day - 1
  if (weekday === 0) return day === length ? day - 2 : day + 1
  return day
}

/** The day of `5L` or `5#3`; 0 if the month has none. */
function specialWeekday(text: string, length: number, first: number): number {
  const firstOne = 1 + ((Number(text[0]) - first + 7) % 7)
  const day =
    text[1] === '#' ? firstOne + 7 * (Number(text[2]) - 1) : firstOne + 7 * Math.floor((length - firstOne) / 7)
  return day <= length ? day : 0
}
