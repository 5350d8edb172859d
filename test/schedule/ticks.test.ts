import { expect, test } from 'vitest'
import { changeOfTiming } from '../../src/schedule/change.ts'
import { jitterDelay } from '../../src/schedule/jitter.ts'
import { type Ticks, type Timing, ticksOf } from '../../src/schedule/ticks.ts'

const at = Date.parse
const minute = 60_000
const created = at('2026-11-29T12:00:00.250Z')

const timing = (fields: Partial<Timing>): Timing => ({
  cron: null,
  everyMs: null,
  zone: 'UTC',
  startsAt: null,
  endsAt: null,
  ...fields,
})

function firstTicks(ticks: Ticks, after: number, count: number): (number | null)[] {
  const found: (number | null)[] = []
  for (let tick = ticks.next(after); found.length < count; tick = tick === null ? null : ticks.next(tick))
    found.push(tick)
  return found
}

test('an interval counts from its creation, which is no tick itself', () => {
  const ticks = ticksOf(timing({ everyMs: 1_500 }), created)

  expect(firstTicks(ticks, created, 3)).toEqual([created + 1_500, created + 3_000, created + 4_500])
  expect(ticks.next(created + 1_499)).toBe(created + 1_500)
  expect(ticks.next(created + 1_500)).toBe(created + 3_000)
  expect(ticks.next(0)).toBe(created + 1_500)
})

test('an interval counts from its start, which is its first tick', () => {
  const startsAt = at('2026-11-30T00:00:00Z')
  const ticks = ticksOf(timing({ everyMs: 2 * minute, startsAt }), created)

  expect(firstTicks(ticks, created, 2)).toEqual([startsAt, startsAt + 2 * minute])
  expect(ticks.next(startsAt)).toBe(startsAt + 2 * minute)
})

test('the start is inclusive and the end exclusive', () => {
  const [startsAt, endsAt] = [at('2026-12-01T09:00:00Z'), at('2026-12-03T09:00:00Z')]
  const daily = ticksOf(timing({ cron: '0 9 * * *', startsAt, endsAt }), created)
  const interval = ticksOf(timing({ everyMs: 24 * 60 * minute, startsAt, endsAt }), created)

  const expected = [startsAt, at('2026-12-02T09:00:00Z'), null]
  expect(firstTicks(daily, created, 3)).toEqual(expected)
  expect(firstTicks(interval, created, 3)).toEqual(expected)
})

test('there is no tick before 1970 or after the year 9999', () => {
  const ticks = ticksOf(timing({ cron: '0 0 * * *' }), created)

  expect(ticks.next(-1e15)).toBe(0)
  expect(ticks.next(at('9999-12-30T12:00:00Z'))).toBe(at('9999-12-31T00:00:00Z'))
  expect(ticks.next(at('9999-12-31T00:00:00Z'))).toBe(null)
})

test('writing the same timing again changes nothing', () => {
  const kept = timing({ cron: '0 * * * *', zone: 'Europe/Berlin' })
  const planned = { timing: kept, missed: 'one', since: 0, lastTick: 0 } as const

  expect(changeOfTiming(planned, { ...kept }, created)).toBe(null)
})

test('another timing first settles what the old one owes, and owes nothing from before itself', () => {
  const planned = {
    timing: timing({ cron: '0 * * * *' }),
    missed: 'one',
    since: 0,
    lastTick: at('2026-11-29T08:00:00Z'),
  } as const

  const change = changeOfTiming(planned, timing({ cron: '0 6 * * *' }), created + 5 * minute)!

  expect(change.settle.run).toMatchObject([{ tick: at('2026-11-29T12:00:00Z'), missed: { count: 4 } }])
  expect(change.lastTick).toBe(created + 5 * minute)
})

test('a timing that changes while the clock is set back does not plan old ticks anew', () => {
  const planned = { timing: timing({ cron: '0 * * * *' }), missed: 'all', since: 0, lastTick: created } as const

  const change = changeOfTiming(planned, timing({ cron: '0 0 * * *' }), created - 60 * minute)!

  expect(change).toMatchObject({ settle: { run: [] }, lastTick: created })
})

test('the phase of an interval begins anew only if its length changes', () => {
  const planned = { timing: timing({ everyMs: 5_000 }), missed: 'skip', since: 7, lastTick: 7 } as const

  const ended = changeOfTiming(planned, timing({ everyMs: 5_000, endsAt: created + 1e9 }), created)!
  const slower = changeOfTiming(planned, timing({ everyMs: 6_000 }), created)!

  expect([ended.since, slower.since]).toEqual([7, created])
})

test('the jitter of a tick is always the same, within its bound and half of the way to the next tick', () => {
  const delays = Array.from({ length: 2_000 }, (_, n) => jitterDelay('17', n * minute, 10_000, (n + 1) * minute))
  const bounded = Array.from({ length: 2_000 }, (_, n) => jitterDelay('17', n * 1_000, 10_000, (n + 1) * 1_000))

  expect(jitterDelay('17', 60_000, 10_000, null)).toBe(jitterDelay('17', 60_000, 10_000, 120_000))
  expect(jitterDelay('18', 60_000, 10_000, null)).not.toBe(jitterDelay('17', 60_000, 10_000, null))
  expect(Math.min(...delays)).toBeLessThan(100)
  expect(Math.max(...delays)).toBeGreaterThan(9_900)
  expect(Math.max(...delays)).toBeLessThanOrEqual(10_000)
  expect(Math.max(...bounded)).toBeLessThanOrEqual(500)
  expect(jitterDelay('17', 60_000, 0, 120_000)).toBe(0)
})
