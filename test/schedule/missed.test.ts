import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { dueTicks } from '../../src/schedule/missed.ts'
import { type Timing, ticksOf } from '../../src/schedule/ticks.ts'

const minute = 60_000
const hour = 3_600_000
const at = Date.parse

const timing = (fields: Partial<Timing>): Timing => ({
  cron: null,
  everyMs: null,
  zone: 'UTC',
  startsAt: null,
  endsAt: null,
  ...fields,
})
const byCron = (cron: string, zone = 'UTC') => ticksOf(timing({ cron, zone }), 0)
const text = (instant: number) => new Date(instant).toISOString().replace('.000Z', 'Z')

describe('after a downtime', () => {
  const last = at('2026-11-29T08:00:00Z')
  const now = at('2026-11-29T12:30:10Z')
  const [first, newest] = [at('2026-11-29T09:00:00Z'), at('2026-11-29T12:00:00Z')]
  const missed = { count: 4, isMore: false, first, last: newest }

  test('skip gives no missed tick a job, and says how many there were', () => {
    expect(dueTicks(byCron('0 * * * *'), last, now, 'skip')).toEqual({ run: [], missed, skipped: 4, lastTick: newest })
  })

  test('one gives the newest missed tick a job that stands for all of them', () => {
    const due = dueTicks(byCron('0 * * * *'), last, now, 'one')

    expect(due).toEqual({ run: [{ tick: newest, missed }], missed, skipped: 3, lastTick: newest })
  })

  test('all gives each missed tick a job, oldest first', () => {
    const { run, skipped } = dueTicks(byCron('0 * * * *'), last, now, 'all')

    expect(run).toEqual([9, 10, 11, 12].map((h) => ({ tick: at('2026-11-29T00:00:00Z') + h * hour, missed: null })))
    expect(skipped).toBe(0)
  })

  test('a single missed tick stands for itself alone', () => {
    const { run } = dueTicks(byCron('0 * * * *'), at('2026-11-29T11:00:00Z'), now, 'one')

    expect(run).toEqual([{ tick: newest, missed: null }])
  })

  test.each(['skip', 'one', 'all'] as const)('a tick at most a minute old is late and runs, with %s too', (policy) => {
    const ticks = byCron('30 12 * * *')
    const tick = at('2026-11-29T12:30:00Z')

    const exactlyAMinute = dueTicks(ticks, last, tick + minute, policy)
    const older = dueTicks(ticks, last, tick + minute + 1, policy)

    expect(exactlyAMinute).toEqual({ run: [{ tick, missed: null }], missed: null, skipped: 0, lastTick: tick })
    expect(older.missed).toEqual({ count: 1, isMore: false, first: tick, last: tick })
  })

  test('missed and late ticks are told apart: the late ones run by themselves', () => {
    const due = dueTicks(byCron('*/30 * * * * *'), at('2026-11-29T12:25:00Z'), now, 'one')

    expect(due.run.map(({ tick, missed: these }) => [text(tick), these?.count ?? null])).toEqual([
      ['2026-11-29T12:29:00Z', 8],
      ['2026-11-29T12:29:30Z', null],
      ['2026-11-29T12:30:00Z', null],
    ])
    expect(text(due.lastTick)).toBe('2026-11-29T12:30:00Z')
  })

  test('all runs at most the newest 100, and the oldest of these tells what it stands for', () => {
    const due = dueTicks(byCron('* * * * *'), at('2026-11-29T06:30:00Z'), now, 'all')

    expect(due.run).toHaveLength(101)
    expect(due.missed!.count).toBe(359)
    expect(due.skipped).toBe(259)
    expect(due.run[0]).toEqual({
      tick: at('2026-11-29T10:50:00Z'),
      missed: { count: 260, isMore: false, first: at('2026-11-29T06:31:00Z'), last: at('2026-11-29T10:50:00Z') },
    })
    expect(due.run.slice(1).every(({ missed: these }) => these === null)).toBe(true)
  })

  test('all runs the newest 100 of more than are counted', () => {
    const due = dueTicks(byCron('* * * * * *'), at('2026-11-20T12:00:00Z'), now, 'all')
    const replayed = due.run.filter(({ tick }) => tick < now - minute)

    expect(due.missed).toMatchObject({ count: 10_000, isMore: true })
    expect(replayed).toHaveLength(100)
    expect([replayed[0]!.tick, replayed.at(-1)!.tick]).toEqual([now - minute - 100_000, now - minute - 1_000])
  })

  test('all runs no tick that is older than 24 hours', () => {
    const due = dueTicks(byCron('0 * * * *'), at('2026-11-20T12:00:00Z'), now, 'all')

    expect(due.run.map(({ tick }) => text(tick))).toHaveLength(24)
    expect(text(due.run[0]!.tick)).toBe('2026-11-28T13:00:00Z')
  })

  test('all runs none if the missed tick is older than 24 hours', () => {
    const due = dueTicks(byCron('0 0 1 * *'), at('2026-10-01T00:00:00Z'), now, 'all')

    expect(due.run).toEqual([])
    expect(due).toMatchObject({ skipped: 1, lastTick: at('2026-11-01T00:00:00Z') })
  })

  test.each(['* * * * *', '* * * * * *'])(
    'counting stops at 10,000 and planning goes on from now: a year of %s',
    (cron) => {
      const due = dueTicks(byCron(cron), at('2025-11-29T12:30:00Z'), now, 'one')

      expect(due.missed).toMatchObject({ count: 10_000, isMore: true })
      expect(due.skipped).toBe(9_999)
      expect(text(due.lastTick)).toBe(cron === '* * * * *' ? '2026-11-29T12:30:00Z' : '2026-11-29T12:30:10Z')
      expect(due.run[0]!.tick).toBe(due.missed!.last)
      expect(now - due.missed!.last).toBeLessThanOrEqual(2 * minute)
    },
  )

  test('nothing is due before the next tick, or if the clock was set back', () => {
    const nothing = { run: [], missed: null, skipped: 0, lastTick: last }

    expect(dueTicks(byCron('0 * * * *'), last, last + minute, 'all')).toEqual(nothing)
    expect(dueTicks(byCron('0 * * * *'), last, last - 24 * hour, 'all')).toEqual(nothing)
  })

  test('the newest missed tick is found among rare ones and at a change of the clock', () => {
    const yearly = dueTicks(byCron('0 0 29 2 *'), at('2010-01-01T00:00:00Z'), now, 'one')
    const moved = dueTicks(
      byCron('30 2 * * *', 'Europe/Berlin'),
      at('2026-03-20T12:00:00Z'),
      at('2026-03-29T12:00:00Z'),
      'one',
    )

    expect([yearly.missed!.count, text(yearly.lastTick)]).toEqual([4, '2024-02-29T00:00:00Z'])
    expect(text(moved.lastTick)).toBe('2026-03-29T01:00:00Z')
  })

  test('an interval is caught up with in its phase', () => {
    const ticks = ticksOf(timing({ everyMs: 7 * minute }), last)

    const due = dueTicks(ticks, last, last + hour, 'all')

    expect(due.run.map(({ tick }) => (tick - last) / minute)).toEqual([7, 14, 21, 28, 35, 42, 49, 56])
  })
})

test('what is missed, and what runs, is as in a list of all ticks', () => {
  const start = at('2026-10-20T00:00:00Z')
  const some = fc.constantFrom(
    '* * * * *',
    '*/7 * * * *',
    '0 */5 * * *',
    '30 2 * * *',
    '* 2 * * 0',
    '0 9 1-7 * 1',
    '*/10 0 3 * * *',
  )
  const property = fc.property(
    some,
    fc.integer({ min: 0, max: 9 * 24 * hour }),
    fc.integer({ min: 0, max: 4 * 24 * hour }),
    fc.constantFrom('skip', 'one', 'all'),
    (cron, offset, downtime, policy) => {
      const ticks = byCron(cron, 'Europe/Berlin')
      const lastTick = start + offset
      const now = lastTick + downtime
      const all: number[] = []
      for (let tick = ticks.next(lastTick)!; tick <= now; tick = ticks.next(tick)!) all.push(tick)
      const missed = all.filter((tick) => tick < now - minute)
      const runs = {
        skip: [],
        one: missed.slice(-1),
        all: missed.filter((tick) => tick >= now - 24 * hour).slice(-100),
      }

      const due = dueTicks(ticks, lastTick, now, policy as 'skip' | 'one' | 'all')

      expect(due.run.map(({ tick }) => tick)).toEqual([...runs[policy], ...all.slice(missed.length)])
      expect(due.missed?.count ?? 0).toBe(missed.length)
      expect(due.skipped).toBe(missed.length - runs[policy].length)
      expect(due.lastTick).toBe(all.at(-1) ?? lastTick)
    },
  )
  fc.assert(property, { seed: 20_261_130, numRuns: 300 })
})
