import type { Counted, Owner } from '../../persistence/store.ts'

/** Characters of an error, a reason or a note that a sentence quotes. */
const quotedMax = 200

const second = 1_000
const minute = 60 * second
const hour = 60 * minute
const day = 24 * hour
const year = 365 * day
/** The units of a duration, from each length on, and the smaller unit beside each. */
const units = [
  { from: 2 * year, per: year, name: 'years', rest: null },
  { from: day, per: day, name: 'd', rest: { unit: hour, name: 'h' } },
  { from: hour, per: hour, name: 'h', rest: { unit: minute, name: 'min' } },
  { from: minute, per: minute, name: 'min', rest: { unit: second, name: 's' } },
]

/** A duration in words: `250 ms`, `1.5 s`, `3 min 20 s`, `2 d 4 h`, `57 years`. */
export function duration(ms: number): string {
  if (ms < second) return `${Math.round(ms)} ms`
  // Rounded before the unit is chosen, so that slightly less than a minute is not called 60 s.
  if (Math.round(ms / 100) < 100) return `${Math.round(ms / 100) / 10} s`
  for (const { from, per, name, rest } of units) {
    const whole = rest ? Math.round(ms / rest.unit) * rest.unit : ms
    if (whole < from) continue
    const smaller = rest ? (whole % per) / rest.unit : 0
    return `${number(Math.floor(whole / per))} ${name}${rest && smaller > 0 ? ` ${smaller} ${rest.name}` : ''}`
  }
  return `${Math.round(ms / second)} s`
}

/** `12 s ago`; an instant in the future, as after a jump of the clock, counts as now. */
export function ago(at: number, now: number): string {
  return at >= now ? 'just now' : `${duration(now - at)} ago`
}

export function instant(at: number): string {
  return new Date(at).toISOString()
}

/** `in 3 min 20 s, at 2030-01-01T10:03:20.000Z`, or how long ago that was. */
export function sayInstant(at: number, now: number): string {
  return `${at > now ? `in ${duration(at - now)}` : ago(at, now)}, at ${instant(at)}`
}

export function cut(text: string): string {
  return text.length > quotedMax ? `${text.slice(0, quotedMax).toWellFormed()}…` : text
}

/** One line, however the text was made: control characters and line ends become spaces, and long text is cut. */
export function oneLine(text: string): string {
  return cut(text.replace(/[\s\p{C}]+/gu, ' ').trim()).replace(/[.\s]+$/, '')
}

export function number(n: number): string {
  return n.toLocaleString('en-US')
}

/** `3 jobs`, `more than 10,000 jobs`. */
export function counted({ count, more }: Counted, one: string, many = `${one}s`): string {
  return `${more ? 'more than ' : ''}${number(count)} ${count === 1 && !more ? one : many}`
}

/** Says that queues take turns, if more than one has jobs. */
export function sayTurns(queues: Counted): string {
  return queues.count > 1 ? ` and ${counted(queues, 'queue')} take turns` : ''
}

export function sayOwner(owner: Owner | null): string {
  return owner ? `process ${owner.pid} on ${owner.host}` : 'a server'
}

export function sentence(clause: string): string {
  return `${clause.charAt(0).toUpperCase()}${clause.slice(1)}.`
}
