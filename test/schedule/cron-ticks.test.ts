import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseCron } from '../../src/schedule/cron.ts'
import { nextCronTick } from '../../src/schedule/cron-ticks.ts'
import { Zone } from '../../src/schedule/zone.ts'
import { shareOf } from '../support/share.ts'
import { type Shown, slowTicks, watchClock } from './slow-cron.ts'

const dayMs = 86_400_000

/** Days near which the clocks of a zone changed, each in a way of its own. */
const changes: readonly (readonly [zone: string, date: string, what: string])[] = [
  ['Europe/Berlin', '2026-03-29', 'an hour forward'],
  ['Europe/Berlin', '2026-10-25', 'an hour back'],
  ['America/New_York', '2026-11-01', 'an hour back'],
  ['Australia/Lord_Howe', '2026-04-04', 'half an hour back'],
  ['Australia/Lord_Howe', '2026-10-03', 'half an hour forward'],
  ['America/Nuuk', '2026-03-29', 'forward over midnight'],
  ['America/Nuuk', '2026-10-25', 'back over midnight'],
  ['America/St_Johns', '2010-11-07', 'back a minute after midnight, to the date before'],
  ['America/St_Johns', '2010-03-14', 'forward a minute after midnight'],
  ['America/Santiago', '2026-09-06', 'forward at midnight'],
  ['Antarctica/Troll', '2026-03-29', 'two hours forward'],
  ['Antarctica/Troll', '2026-10-25', 'two hours back'],
  ['Africa/Casablanca', '2026-02-15', 'back for Ramadan'],
  ['Asia/Gaza', '2022-03-27', 'forward at midnight'],
  ['Asia/Gaza', '2022-10-29', 'back at two'],
  ['Pacific/Apia', '2011-12-30', 'a date left out'],
  ['Pacific/Kwajalein', '1993-08-21', 'a date left out'],
  ['Pacific/Chatham', '2026-09-26', 'forward at a quarter to three'],
  ['Asia/Pyongyang', '2015-08-14', 'half an hour back for good'],
  ['America/Caracas', '2016-05-01', 'half an hour forward for good'],
  ['Antarctica/Casey', '2010-03-04', 'three hours back'],
  ['UTC', '2026-12-31', 'never'],
]

const pick = <Value>(...values: Value[]) => fc.constantFrom(...values)
const number = (min: number, max: number) => fc.integer({ min, max }).map(String)
const list = (min: number, max: number) =>
  fc.uniqueArray(fc.integer({ min, max }), { minLength: 2, maxLength: 3 }).map((values) => values.join(','))
const range = (min: number, max: number) =>
  fc.tuple(fc.integer({ min, max }), fc.integer({ min, max }), pick('', '/2', '/3')).map(([a, b, step]) => {
    return `${Math.min(a, b)}-${Math.max(a, b)}${step}`
  })
/** Expressions, most of them with hours that a clock leaves out or shows twice. */
const expressions = (hours: readonly string[]) =>
  fc
    .tuple(
      fc.oneof({ weight: 4, arbitrary: pick('') }, { weight: 1, arbitrary: pick('0 ', '*/20 ', '15,45 ', '59 ') }),
      fc.oneof(pick('*', '0', '30', '*/15', '*/7', '0,30'), number(0, 59), list(0, 59), range(0, 59)),
      fc.oneof(
        { weight: 3, arbitrary: pick(...hours, hours.join(','), '*') },
        { weight: 2, arbitrary: fc.oneof(pick('*', '*/2', '22-23'), number(0, 23), list(0, 5), range(0, 23)) },
      ),
      fc.oneof(
        { weight: 4, arbitrary: pick('*') },
        { weight: 1, arbitrary: fc.oneof(number(1, 31), range(1, 31), pick('*/2', 'L', 'LW', '15W', '1W')) },
      ),
      fc.oneof({ weight: 5, arbitrary: pick('*') }, { weight: 1, arbitrary: fc.oneof(range(1, 12), list(1, 12)) }),
      fc.oneof(
        { weight: 4, arbitrary: pick('*') },
        { weight: 1, arbitrary: fc.oneof(number(0, 7), range(0, 7), pick('*/2', '0L', '6L', '6#1', '7#5')) },
      ),
    )
    .map(([second, ...fields]) => second + fields.join(' '))

/** The instants at which a clock does not simply go on, and the hours around them, those that it leaves out included. */
function jumpsOf(clock: readonly Shown[]) {
  const hoursPerDay = 24
  const instants: number[] = []
  const hours = new Set<number>()
  for (const [index, { instant, time }] of clock.entries()) {
    const before = clock[index - 1]?.time ?? time - 1
    if (time === (before + 1) % (hoursPerDay * 60)) continue
    instants.push(instant)
    const [first, last] = [Math.floor(Math.min(before, time) / 60), Math.floor(Math.max(before, time) / 60)]
    const isOverMidnight = last - first > hoursPerDay / 2
    for (let hour = isOverMidnight ? last : first; hour <= (isOverMidnight ? first + hoursPerDay : last); hour++)
      hours.add(hour % hoursPerDay)
  }
  return { instants, hours: hours.size > 0 ? [...hours].map(String) : ['0', '2'] }
}

describe('near a change of the clock, the ticks are those of a walk through every minute', () => {
  test.each(changes)('%s %s: %s', (zone, date) => {
    const middle = Date.parse(`${date}T00:00:00Z`)
    const clock = watchClock(zone, middle - 4 * dayMs, middle + 5 * dayMs)
    const [from, to] = [middle - 2 * dayMs, middle + 3 * dayMs]
    const { instants, hours } = jumpsOf(clock)
    const near = pick(...instants, middle).chain((instant) =>
      fc.oneof(pick(-1_000, -1, 0, 1), fc.integer({ min: -7_200_000, max: 7_200_000 })).map((away) => instant + away),
    )
    const instant = fc.oneof(
      { weight: 2, arbitrary: near },
      { weight: 1, arbitrary: fc.integer({ min: from, max: to }) },
    )

    const property = fc.property(expressions(hours), instant, (text, after) => {
      const cron = parseCron(text, 'cron')
      fc.pre(!Array.isArray(cron))
      const slow = slowTicks(text, clock).filter((tick) => tick > after && tick < to)

      const ticks: number[] = []
      for (let tick = nextCronTick(cron, Zone.named(zone), after); tick !== null && tick < to && ticks.length < 500; ) {
        ticks.push(tick)
        tick = nextCronTick(cron, Zone.named(zone), tick)
      }
      const shown = (all: readonly number[]) => all.slice(0, 500).map((tick) => new Date(tick).toISOString())
      expect(shown(ticks)).toEqual(shown(slow))
    })
    fc.assert(property, { seed: 20_261_130, numRuns: shareOf({ share: 20, whole: 600 }) })
  })
})
