import { shown } from '../config.ts'
import type { InputIssue } from '../errors.ts'
import { CronExpression, type CronFields } from './cron-expression.ts'
import { type FieldKind, parseField } from './cron-field.ts'

const lengthMax = 1_000

const kinds = {
  second: { name: 'second', min: 0, max: 59 },
  minute: { name: 'minute', min: 0, max: 59 },
  hour: { name: 'hour', min: 0, max: 23 },
  date: { name: 'day of month', min: 1, max: 31, special: 'date' },
  month: { name: 'month', min: 1, max: 12, names: 'JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC'.split(' ') },
  weekday: { name: 'day of week', min: 0, max: 7, names: 'SUN MON TUE WED THU FRI SAT'.split(' '), special: 'weekday' },
} satisfies Readonly<Record<keyof CronFields, FieldKind>>

const macros: ReadonlyMap<string, string> = new Map(
  Object.entries({
    '@yearly': '0 0 1 1 *',
    '@annually': '0 0 1 1 *',
    '@monthly': '0 0 1 * *',
    '@weekly': '0 0 * * 0',
    '@daily': '0 0 * * *',
    '@midnight': '0 0 * * *',
    '@hourly': '0 * * * *',
  }),
)

/** Reads an expression of five fields, six with seconds first, or a macro. If it is wrong, says so for each field. */
export function parseCron(given: unknown, path: string): CronExpression | InputIssue[] {
  const fault = faultOf(given)
  if (fault !== undefined) return [{ path, message: fault }]
  const text = (given as string).trim().replace(/\s+/g, ' ')
  const parts = (macros.get(text.toLowerCase()) ?? text).split(' ')
  if (parts.length === 5) parts.unshift('0')
  const read = Object.entries(kinds).map(([name, kind], index) => [name, parseField(parts[index]!, kind)] as const)
  const issues = read.flatMap(([name, field], index) =>
    typeof field === 'string'
      ? [{ path, message: `${kinds[name as keyof CronFields].name} ${shown(parts[index]!)}: ${field}` }]
      : [],
  )
  if (issues.length > 0) return issues
  const cron = new CronExpression(text, Object.fromEntries(read) as unknown as CronFields)
  return cron.nextDay(0) === null ? [{ path, message: neverComes(cron.fields) }] : cron
}

/** What is wrong with the text before its fields are read. */
function faultOf(given: unknown): string | undefined {
  const takes = 'must be a cron expression of five fields, or six with seconds first, such as "30 9 * * 1-5"'
  if (typeof given !== 'string' || given.trim() === '') return takes
  if (given.length > lengthMax) return `${takes}, of at most ${lengthMax} characters`
  const text = given.trim()
  const parts = text.split(/\s+/)
  if (text.startsWith('@')) return macroFault(text)
  if (/^(CRON_)?TZ=/i.test(text)) return `${takes}; the zone is a field of the schedule, not of its expression`
  if (parts.length === 7)
    return `${takes}, not 7: a year is not supported; set when the schedule starts and ends instead`
  return parts.length === 5 || parts.length === 6 ? undefined : `${takes}, not ${parts.length}`
}

function macroFault(text: string): string | undefined {
  const name = text.toLowerCase()
  if (macros.has(name)) return undefined
  if (name === '@reboot')
    return '@reboot is not supported: a start is not a time; enqueue a job when your program starts'
  if (name.startsWith('@every'))
    return '@every is not cron: set an interval in ms (everyMs or every_ms) instead of an expression'
  return `${shown(text)} is not known: write ${[...macros.keys()].join(', ')} or five fields`
}

function neverComes({ date, month, weekday }: CronFields): string {
  const isAnyWeekday = /^[*?]$/.test(weekday.text)
  const days = isAnyWeekday ? `day of month "${date.text}"` : `"${date.text}" with day of week "${weekday.text}"`
  return `${days} never comes in month "${month.text}"; L is the last day of a month`
}
