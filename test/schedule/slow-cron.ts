/**
 * A second reading of the rules of cron and of clocks, to be compared with the one in src/schedule: it looks at every minute of a few days,
 * asks Intl what the clock shows, and compares that with the text of each field. It knows neither offsets nor periods.
 */

/** What a clock shows: a date as `20260329` and a time of day in minutes. */
export interface Shown {
  readonly instant: number
  readonly date: number
  readonly time: number
}

const minuteMs = 60_000

/** Every minute of a clock between two instants. */
export function watchClock(zone: string, from: number, to: number): Shown[] {
  const format = new Intl.DateTimeFormat('en-GB', {
    timeZone: zone,
    hourCycle: 'h23',
    dateStyle: 'short',
    timeStyle: 'short',
  })
  const shown: Shown[] = []
  for (let instant = from; instant < to; instant += minuteMs) {
    const part = Object.fromEntries(format.formatToParts(instant).map(({ type, value }) => [type, Number(value)]))
    shown.push({
      instant,
      date: part.year! * 10_000 + part.month! * 100 + part.day!,
      time: part.hour! * 60 + part.minute!,
    })
  }
  return shown
}

/** All ticks of an expression while a clock was watched, in order. The first and last day are not whole and may lack some. */
export function slowTicks(expression: string, clock: readonly Shown[]): number[] {
  const fields = expression.split(' ')
  if (fields.length === 5) fields.unshift('0')
  const [second, minute, hour, dayOfMonth, month, dayOfWeek] = fields as [
    string,
    string,
    string,
    string,
    string,
    string,
  ]
  const seconds = numbers(0, 59).filter((value) => matches(second, value))
  const minutes = numbers(0, 59).map((value) => matches(minute, value))
  const hours = numbers(0, 23).map((value) => matches(hour, value))
  const isPlanned = (time: number) => minutes[time % 60]! && hours[Math.floor(time / 60)]!
  const isInterval = `${second}${minute}${hour}`.includes('*')

  const ticks = new Set<number>()
  const dates = [...new Set(clock.map(({ date }) => date))].filter((date) =>
    isPlannedDate(date, dayOfMonth, month, dayOfWeek),
  )
  for (const date of dates) {
    const ofDate = clock.filter((shown) => shown.date === date)
    const first = new Map<number, number>()
    for (const { time, instant } of ofDate) {
      if (!isPlanned(time) || (first.has(time) && !isInterval)) continue
      first.set(time, instant)
      for (const value of seconds) ticks.add(instant + value * 1_000)
    }
    if (isInterval && first.size > 0) continue
    const times = new Set(ofDate.map(({ time }) => time))
    for (let time = 0; time < 24 * 60; time++) {
      if (!isPlanned(time) || times.has(time)) continue
      const end = clock.find(
        (shown, index) => index > 0 && isBefore(clock[index - 1]!, date, time) && !isBefore(shown, date, time),
      )
      if (end) ticks.add(end.instant)
    }
  }
  return [...ticks].sort((a, b) => a - b)
}

function isBefore(shown: Shown, date: number, time: number): boolean {
  return shown.date < date || (shown.date === date && shown.time < time)
}

function isPlannedDate(date: number, dayOfMonth: string, month: string, dayOfWeek: string): boolean {
  const [y, m, d] = [Math.floor(date / 10_000), Math.floor(date / 100) % 100, date % 100]
  if (!matches(month, m, 1)) return false
  const byDate = dayOfMonth.split(',').some((element) => matchesDate(element, y, m, d))
  const byWeekday = dayOfWeek.split(',').some((element) => matchesWeekday(element, y, m, d))
  return dayOfMonth.startsWith('*') || dayOfWeek.startsWith('*') ? byDate && byWeekday : byDate || byWeekday
}

/** `least` is the first number of the field. */
function matches(field: string, value: number, least = 0): boolean {
  return field.split(',').some((element) => {
    const [range, step = '1'] = element.split('/')
    const [low, high = low] = range!.split('-')
    if (range === '*') return (value - least) % Number(step) === 0
    return value >= Number(low) && value <= Number(high) && (value - Number(low)) % Number(step) === 0
  })
}

const weekday = (y: number, m: number, d: number) => new Date(Date.UTC(y, m - 1, d)).getUTCDay()
const isWorkday = (y: number, m: number, d: number) => weekday(y, m, d) % 6 !== 0
const lengthOf = (y: number, m: number) => new Date(Date.UTC(y, m, 0)).getUTCDate()

function matchesDate(element: string, y: number, m: number, d: number): boolean {
  const length = lengthOf(y, m)
  if (element === 'L') return d === length
  if (element.endsWith('W')) {
    const wanted = element === 'LW' ? length : Number(element.slice(0, -1))
    if (wanted > length) return false
    const workdays = numbers(1, length).filter((day) => isWorkday(y, m, day))
    return d === workdays.toSorted((a, b) => Math.abs(a - wanted) - Math.abs(b - wanted))[0]
  }
  return matches(element, d, 1)
}

function matchesWeekday(element: string, y: number, m: number, d: number): boolean {
  const day = weekday(y, m, d)
  if (element.endsWith('L')) return day === Number(element[0]) % 7 && d + 7 > lengthOf(y, m)
  if (element.includes('#')) return day === Number(element[0]) % 7 && Math.ceil(d / 7) === Number(element[2])
  return matches(element, day) || (day === 0 && !element.startsWith('*') && matches(element, 7))
}

function numbers(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index)
}
