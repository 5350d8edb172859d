/** What a field of a cron expression may have. */
export interface FieldKind {
  readonly name: string
  readonly min: number
  readonly max: number
  /** In order, the first for `min`. */
  readonly names?: readonly string[]
  /** `?`, and what is not a number: `L`, `LW`, `15W`, or `5L`, `5#3`. */
  readonly special?: 'date' | 'weekday'
}

/** A field, read. */
export interface CronField {
  readonly text: string
  /** Of the numbers from 0 to the field's `max`, those that it names; 7 is counted as 0 among weekdays. */
  readonly values: ReadonlySet<number>
  /** `L`, `LW`, `nW`, `nL`, `n#k` in capitals and with numbers for names. */
  readonly special: readonly string[]
  /** The steps that do not divide the field, as they are written. */
  readonly unevenSteps: readonly string[]
}

const lastDay = 'write L for the last day of a month, LW for its last weekday, or a number'
const fieldTakes = 'write *, */5, 1, 1-5, 1-5/2 or a list of these with commas'

/** Reads one field; returns what is wrong with it, and how to write it, as text. */
export function parseField(text: string, kind: FieldKind): CronField | string {
  if (text === '?' && kind.special) return { text, values: allOf(kind), special: [], unevenSteps: [] }
  const values = new Set<number>()
  const special: string[] = []
  const unevenSteps: string[] = []
  for (const element of text.split(',')) {
    const read = kind.special && specialOf(element, kind)
    if (read) special.push(read)
    else {
      const fault = addElement(element, kind, values, unevenSteps)
      if (fault !== undefined) return fault
    }
  }
  return { text, values, special, unevenSteps }
}

/** An element that only a day field may have. */
function specialOf(element: string, kind: FieldKind): string | undefined {
  const text = element.toUpperCase()
  if (kind.special === 'date') {
    const date = /^(\d+)W$/.exec(text)?.[1]
    if (date !== undefined) return inRange(Number(date), kind) ? `${Number(date)}W` : undefined
    return text === 'L' || text === 'LW' ? text : undefined
  }
  const [, last, day, count] = /^(?:(\d+)L|(\w+)#([1-5]))$/.exec(text) ?? []
  const number = numberOf(last ?? day ?? '', kind)
  if (number === undefined || !inRange(number, kind)) return undefined
  return last === undefined ? `${number % 7}#${count}` : `${number % 7}L`
}

/** Adds the numbers of an element to those of its field; returns what is wrong with it. */
function addElement(element: string, kind: FieldKind, values: Set<number>, unevenSteps: string[]): string | undefined {
  const [, star, low, high, stepText] = /^(?:(\*)|(\w+)(?:-(\w+))?)(?:\/(\d+))?$/.exec(element) ?? []
  if (star === undefined && low === undefined) return strange(element, kind)
  const range = star === undefined ? rangeOf(low!, high, kind) : { from: kind.min, to: lastOf(kind) }
  if (typeof range === 'string') return range
  const length = lastOf(kind) - kind.min + 1
  const step = Number(stepText ?? 1)
  if (stepText !== undefined && star === undefined && high === undefined)
    return `a step needs * or a range: write ${low}-${lastOf(kind)}/${stepText}`
  if (step < 1 || step > length) return `the step must be 1 to ${length}, not ${stepText}`
  for (let value = range.from; value <= range.to; value += step)
    values.add(kind.special === 'weekday' ? value % 7 : value)
  if (length % step > 0 && range.from === kind.min && range.to === lastOf(kind)) unevenSteps.push(element)
  return undefined
}

function rangeOf(low: string, high: string | undefined, kind: FieldKind): { from: number; to: number } | string {
  const from = numberOf(low, kind)
  const to = high === undefined ? from : numberOf(high, kind)
  if (from === undefined) return unknownName(low, kind)
  if (to === undefined) return unknownName(high!, kind)
  const outside = [from, to].find((number) => !inRange(number, kind))
  if (outside !== undefined) return `${outside} is not ${kind.min} to ${kind.max}`
  if (from <= to) return { from, to }
  // SUN is 0 where a range begins and 7 where it ends.
  if (to === 0 && kind.special === 'weekday' && high!.toUpperCase() === 'SUN') return { from, to: 7 }
  return `a range runs upwards: write ${upwards(low, high!, from, to, kind)}`
}

/** A range that wraps, as a list. */
function upwards(low: string, high: string, from: number, to: number, kind: FieldKind): string {
  const isWeekday = kind.special === 'weekday'
  if (from === 7) return `0-${high}`
  const isNamed = kind.names !== undefined && !/^\d/.test(low)
  const end = isWeekday && isNamed ? 'SUN' : isNamed ? kind.names!.at(-1)! : isWeekday ? '7' : `${kind.max}`
  const first = isWeekday ? 1 : kind.min
  const start = isNamed ? kind.names![isWeekday ? 1 : 0]! : `${first}`
  const begin = `${low}-${end}`
  if (to < first) return begin
  return `${begin},${to === first ? high : `${start}-${high}`}`
}

function numberOf(text: string, { names, min }: FieldKind): number | undefined {
  if (/^\d+$/.test(text)) return Number(text)
  const index = names?.indexOf(text.toUpperCase()) ?? -1
  return index < 0 ? undefined : index + min
}

function inRange(number: number, { min, max }: FieldKind): boolean {
  return number >= min && number <= max
}

/** The last number before the field begins anew. 7 is the Sunday that 0 is too. */
function lastOf({ special, max }: FieldKind): number {
  return special === 'weekday' ? 6 : max
}

function allOf(kind: FieldKind): ReadonlySet<number> {
  return new Set(Array.from({ length: lastOf(kind) - kind.min + 1 }, (_, index) => index + kind.min))
}

function unknownName(text: string, kind: FieldKind): string {
  const short = text.slice(0, 3).toUpperCase()
  if (kind.special === 'date' && /^l/i.test(text)) return lastDay
  if (kind.special === 'weekday' && /^[a-z]{3}l$/i.test(text) && kind.names?.includes(short))
    return `write ${kind.names.indexOf(short)}L for the last ${short} of a month`
  if (kind.names?.includes(short)) return `a name has three letters: write ${short}`
  if (/^[hH]$/.test(text)) return 'H hides when a job runs: write a number, and set a jitter to spread jobs'
  if (/^l/i.test(text) && kind.special === 'weekday')
    return 'write 5L for the last Friday of a month, and 6 for Saturday'
  const takes = kind.names ? `a number or one of ${kind.names.join(', ')}` : 'a number'
  return `${JSON.stringify(text.slice(0, 20))} is not ${takes}: ${fieldTakes}`
}

/** What is wrong with an element that has no form known here. */
function strange(element: string, kind: FieldKind): string {
  const { min, max } = kind
  if (element === '') return `an element of the list is empty: ${fieldTakes}`
  if (/^\*\d+$/.test(element)) return `write */${element.slice(1)} for a step, or ${element.slice(1)}`
  if (/^\d+(-\d+){2,}$/.test(element)) return `a range has two ends: write ${element.split('-').slice(0, 2).join('-')}`
  if (/#/.test(element) && kind.special === 'weekday')
    return 'the number after # must be 1 to 5: write 5#3 for the third Friday'
  if (element === '?') return 'only a day field may be ?: write *'
  if (/^H\(/i.test(element)) return 'H hides when a job runs: write a number, and set a jitter to spread jobs'
  return `${JSON.stringify(element.slice(0, 20))} is not a number from ${min} to ${max}: ${fieldTakes}`
}
