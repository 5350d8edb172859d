import type { Owner } from '../../persistence/store.ts'

const second = 1_000
const minute = 60 * second
const hour = 60 * minute
const day = 24 * hour
/** From each length on, the unit that is named, and the smaller one beside it. */
const units = [
  { from: day, name: 'd', rest: { unit: hour, name: 'h' } },
  { from: hour, name: 'h', rest: { unit: minute, name: 'min' } },
  { from: minute, name: 'min', rest: { unit: second, name: 's' } },
]

/** A length of time as people say it: `250 ms`, `1.5 s`, `3 min 20 s`, `2 d 4 h`. */
export function duration(ms: number): string {
  if (ms < second) return `${Math.round(ms)} ms`
  // Rounded before the unit is chosen, so that a minute less a little is not called 60 s.
  if (Math.round(ms / 100) < 100) return `${Math.round(ms / 100) / 10} s`
  const whole = Math.round(ms / second) * second
  for (const { from, name, rest } of units) {
    if (whole < from) continue
    const smaller = Math.floor((whole % from) / rest.unit)
    return `${Math.floor(whole / from)} ${name}${smaller > 0 ? ` ${smaller} ${rest.name}` : ''}`
  }
  return `${whole / second} s`
}

/** `12 s ago`; an instant that lies ahead, as after a jump of the clock, is as good as now. */
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

export function number(n: number): string {
  return n.toLocaleString('en-US')
}

export function sayOwner(owner: Owner | null): string {
  return owner ? `process ${owner.pid} on ${owner.host}` : 'a server'
}

export function sentence(clause: string): string {
  return `${clause.charAt(0).toUpperCase()}${clause.slice(1)}.`
}
