import { afterAll, describe, expect, test, vi } from 'vitest'
import { z } from 'zod'
import type { JobContext } from '../../../src/handlers/define.ts'
import { defineHandler, type NewSchedule, PayloadError, UnavailableError } from '../../../src/index.ts'
import { FileSchedules } from '../../../src/persistence/sqlite/file-schedules.ts'
import { TestClock } from '../../../src/testing/test-clock.ts'
import { alterDatabase, onPostgres } from '../../support/database.ts'
import { deferred } from '../../support/deferred.ts'
import { aJob, openStore } from '../../support/store.ts'
import { type OpenOptions, openSystem, startAt } from '../../support/system.ts'
import { cleanUp } from '../../support/temp.ts'

afterAll(cleanUp)

const second = 1_000
const minute = 60_000
const hour = 60 * minute

const aSchedule = (more: Partial<NewSchedule> = {}): NewSchedule => ({
  name: 'report',
  cron: '* * * * *',
  job: { type: 'work', payload: { n: 1 } },
  ...more,
})

/** A started system, and what its schedules did: jobs and events, with instants counted from the start of the test. */
async function start(options: OpenOptions = {}) {
  const clock = (options.clock as TestClock | undefined) ?? new TestClock(startAt)
  const opened = await openSystem({ runs: { work: () => {} }, ...options, clock })
  await opened.system.start()
  const { system } = opened
  const since = (instant: number | null) => instant && instant - startAt
  const ticks = async () => {
    const jobs = (await system.list({ limit: 500 })).jobs.toReversed()
    const firsts = await Promise.all(jobs.map(async ({ id }) => (await system.history(id, { limit: 1 }))[0]!))
    return firsts.map(({ tick }) => since(tick ?? null))
  }
  const events = async (name = 'report') => {
    const history = (await system.schedules.history(name)).toReversed()
    return history.map(({ event, tick }) => (tick === null ? event : `${event} ${since(tick)}`))
  }
  const newest = async (name = 'report') => (await system.schedules.history(name))[0]!
  const restart = async (more: OpenOptions = {}) => {
    await system.stop({ graceMs: 0 })
    clock.forget()
    const again = await start({ ...options, database: opened.path, clock, ...more })
    await clock.moveTo(clock.now())
    return again
  }
  return { ...opened, clock, ticks, events, newest, restart }
}

describe('a schedule', () => {
  test('makes a job at each tick, and the history of both names the other', async () => {
    const { system, clock, ticks, events, newest } = await start()
    await system.schedules.put(aSchedule())

    await clock.moveTo(startAt + minute)
    await clock.moveTo(startAt + 2 * minute)

    expect(await ticks()).toEqual([minute, 2 * minute])
    expect(await events()).toEqual(['create', `tick ${minute}`, `tick ${2 * minute}`])
    const { jobId } = await newest()
    const [enqueued] = await system.history(jobId!)
    expect(enqueued).toMatchObject({ cause: 'schedule', schedule: 'report', tick: startAt + 2 * minute })
    expect(await system.schedules.find('report')).toMatchObject({
      state: 'active',
      nextTick: startAt + 3 * minute,
      lastJob: { id: jobId, tick: startAt + 2 * minute, state: 'succeeded' },
    })
  })

  test('that is late by less than a minute makes each job, under each policy, and after a restart', async () => {
    for (const missed of ['skip', 'one', 'all'] as const) {
      const first = await start()
      await first.system.schedules.put(aSchedule({ cron: '*/20 * * * * *', missed }))
      await first.system.stop({ graceMs: 0 })
      first.clock.advance(minute)

      const { ticks } = await first.restart()

      expect(await ticks()).toEqual([20 * second, 40 * second, minute])
    }
  })

  test('that was missed makes no job, one or all, as its policy says, and its history tells', async () => {
    const found: Record<string, unknown> = {}
    for (const missed of ['skip', 'one', 'all'] as const) {
      const first = await start()
      await first.system.schedules.put(aSchedule({ missed }))
      await first.system.stop({ graceMs: 0 })
      first.clock.advance(5 * minute + 30 * second)

      const { ticks, events, system } = await first.restart()

      found[missed] = [await ticks(), await events()]
      const [, dealt] = (await system.schedules.history('report')).toReversed()
      const range = { count: 4, isMore: false, first: startAt + minute, last: startAt + 4 * minute }
      if (missed === 'skip') expect(dealt).toMatchObject({ reason: 'missed', missed: range, skipped: 4 })
      if (missed === 'one') expect(dealt).toMatchObject({ missed: range, skipped: 3 })
    }

    const at = (...minutes: number[]) => minutes.map((each) => each * minute)
    expect(found).toEqual({
      skip: [at(5), ['create', `skip ${4 * minute}`, `tick ${5 * minute}`]],
      one: [at(4, 5), ['create', `catch_up ${4 * minute}`, `tick ${5 * minute}`]],
      all: [at(1, 2, 3, 4, 5), ['create', ...at(1, 2, 3, 4).map((tick) => `catch_up ${tick}`), `tick ${5 * minute}`]],
    })
  })

  test('tells the handler of its job, in each attempt, for which tick it was made and what it stands for', async () => {
    const told: unknown[] = []
    const work = async (_: unknown, { attempt, schedule }: JobContext) => {
      told.push(await schedule())
      if (attempt === 1) throw new Error('once more')
    }
    const first = await start({ runs: { work }, workers: 1, retryBaseMs: 1, retryMaxMs: 1 })
    const { system, clock } = first
    const untilTold = async (count: number) => {
      await expect.poll(() => clock.advance(10) ?? told.length).toBe(count)
    }
    await system.schedules.put(aSchedule())
    await clock.moveTo(startAt + minute)
    await untilTold(2)
    await system.schedules.trigger('report')
    await untilTold(4)
    await system.enqueue({ type: 'work', payload: null })
    await untilTold(6)
    await system.stop({ graceMs: 0 })
    clock.advance(5 * minute + 30 * second)
    await first.restart()
    await untilTold(10)

    const alone = { name: 'report', missed: 0, firstMissed: null }
    const inTime = { ...alone, tick: startAt + minute }
    const beside = { ...alone, tick: null }
    const late = { name: 'report', tick: startAt + 5 * minute, missed: 4, firstMissed: startAt + 2 * minute }
    const last = { ...alone, tick: startAt + 6 * minute }
    expect(told.slice(0, 6)).toEqual([inTime, inTime, beside, beside, null, null])
    expect(told.slice(6)).toEqual(expect.arrayContaining([late, late, last, last]))
  })

  test.skipIf(onPostgres)('knows no first missed tick of a job that an earlier version made', async () => {
    const { store, path } = await openStore()
    await store.enqueue([aJob({ cause: `{"cause":"schedule","schedule":"report","tick":${startAt},"missed":3}` })])
    await store.close()
    const told: unknown[] = []

    await start({ database: path, runs: { work: async (_, { schedule }) => told.push(await schedule()) } })

    await expect.poll(() => told).toEqual([{ name: 'report', tick: startAt, missed: 3, firstMissed: null }])
  })

  test.skipIf(onPostgres)(
    'that missed thousands of ticks beside others is not planned with all of them at one go',
    async () => {
      const first = await start()
      const names = Array.from({ length: 50 }, (_, index) => `each-second-${index}`)
      const timing = {
        cron: '* * * * * *',
        zone: 'Europe/Berlin',
        missed: 'skip',
        endsAt: startAt + 12 * hour,
      } as const
      for (const name of names) await first.system.schedules.put(aSchedule({ name, ...timing }))
      await first.system.stop({ graceMs: 0 })
      first.clock.advance(24 * hour)
      const move = vi.spyOn(FileSchedules.prototype, 'move')

      await first.restart()

      const skips = move.mock.calls.map(([moves]) => moves.filter(({ event }) => event === 'skip').length)
      expect(skips.reduce((sum, count) => sum + count)).toBe(names.length)
      expect(Math.max(...skips)).toBeLessThan(names.length)
      move.mockRestore()
    },
  )

  // The store's own methods are replaced, and there is another on PostgreSQL.
  test.skipIf(onPostgres)(
    'that cannot be planned is reported once, and when it can again; no tick is lost',
    async () => {
      const { system, clock, log, ticks } = await start()
      await system.schedules.put(aSchedule())
      const due = vi.spyOn(FileSchedules.prototype, 'due').mockRejectedValue(new UnavailableError('away'))

      await clock.moveTo(startAt + minute)
      await clock.moveTo(startAt + 2 * minute)
      due.mockRestore()
      await clock.moveTo(startAt + 2 * minute + 2 * second)

      expect(await ticks()).toEqual([minute, 2 * minute])
      expect(log.filter(({ message }) => message.includes('planned'))).toMatchObject([
        { level: 'warn', fields: { reason: 'away' } },
        { level: 'info', message: 'schedules are planned again' },
      ])
    },
  )

  test('that was missed for years starts at once, with at most a hundred jobs', async () => {
    const first = await start()
    await first.system.schedules.put(aSchedule({ missed: 'all' }))
    await first.system.stop({ graceMs: 0 })
    first.clock.advance(2 * 365 * 24 * hour)

    const { ticks, system } = await first.restart()

    expect((await ticks()).length).toBe(102)
    const [, oldest] = (await system.schedules.history('report')).toReversed()
    expect(oldest).toMatchObject({ event: 'catch_up', missed: { isMore: true } })
  })

  test('whose last job has not ended skips its ticks, and says because of which, if its overlap is skip', async () => {
    const gate = deferred<void>()
    const { system, clock, ticks, events, newest } = await start({ runs: { work: () => gate.promise } })
    await system.schedules.put(aSchedule({ overlap: 'skip' }))
    await clock.moveTo(startAt + minute)
    await clock.moveTo(startAt + 2 * minute)

    expect(await newest()).toMatchObject({ event: 'skip', reason: 'overlap', unended: expect.any(Number) })
    gate.resolve()
    await expect.poll(async () => (await system.counts()).succeeded).toBe(1)
    await clock.moveTo(startAt + 3 * minute)

    expect(await ticks()).toEqual([minute, 3 * minute])
    expect(await events()).toEqual(['create', `tick ${minute}`, `skip ${2 * minute}`, `tick ${3 * minute}`])
  })

  test('has no ticks while it is paused, and owes none of them', async () => {
    const { system, clock, ticks, events } = await start()
    await system.schedules.put(aSchedule({ missed: 'all' }))
    await clock.moveTo(startAt + minute)
    await system.schedules.pause('report', { by: { cause: 'library', actor: 'ada' } })
    await clock.moveTo(startAt + hour)
    const paused = await system.schedules.find('report')
    await system.schedules.resume('report')
    await clock.moveTo(startAt + hour + minute)

    expect(paused).toMatchObject({ state: 'paused', nextTick: null })
    expect(await ticks()).toEqual([minute, hour + minute])
    expect(await events()).toEqual(['create', `tick ${minute}`, 'pause', 'resume', `tick ${hour + minute}`])
  })

  test('deals with the ticks that are due before it is paused', async () => {
    const { system, clock, events } = await start()
    await system.schedules.put(aSchedule())
    clock.advance(minute)

    await system.schedules.pause('report')

    expect(await events()).toEqual(['create', `tick ${minute}`, 'pause'])
  })

  test('ticks from startsAt on, before endsAt, and ends then', async () => {
    const { system, clock, ticks, events } = await start()
    const startsAt = startAt + 10 * minute
    await system.schedules.put(aSchedule({ startsAt, endsAt: startsAt + 2 * minute }))
    for (let at = minute; at <= 15 * minute; at += minute) await clock.moveTo(startAt + at)

    expect(await ticks()).toEqual([10 * minute, 11 * minute])
    expect(await events()).toEqual(['create', `tick ${10 * minute}`, `tick ${11 * minute}`, 'end'])
    expect(await system.schedules.find('report')).toMatchObject({ state: 'ended', nextTick: null })
    expect((await system.schedules.list()).schedules).toEqual([])
    expect((await system.schedules.list({ ended: true })).schedules.map(({ name }) => name)).toEqual(['report'])
  })

  test('that has no tick left is refused as a new one and as a change, also of a paused one', async () => {
    const { system, clock, events } = await start()
    const refused = { issues: [{ path: 'endsAt', message: 'must be after the next tick: none is left' }] }
    const ended = aSchedule({ endsAt: startAt - 1 })
    await expect(system.schedules.put(ended)).rejects.toMatchObject(refused)

    await system.schedules.put(aSchedule())
    await expect(system.schedules.put(ended)).rejects.toMatchObject(refused)
    await system.schedules.pause('report')
    await clock.moveTo(startAt + 10 * minute)
    await expect(system.schedules.put(aSchedule({ endsAt: startAt + 5 * minute }))).rejects.toMatchObject(refused)

    expect(await events()).toEqual(['create', 'pause'])
  })

  test('delays its jobs by its jitter, not its ticks', async () => {
    const { system, clock, ticks } = await start()
    await system.schedules.put(aSchedule({ jitterMs: 20 * second }))
    for (let at = minute; at <= 5 * minute; at += minute) await clock.moveTo(startAt + at)

    const { jobs } = await system.list()
    const delays = jobs.map(({ runAt, createdAt }) => runAt - createdAt)
    expect(await ticks()).toEqual([1, 2, 3, 4, 5].map((at) => at * minute))
    expect(Math.max(...delays)).toBeLessThanOrEqual(20 * second)
    expect(new Set(delays).size).toBeGreaterThan(3)
  })

  test('makes a job beside its ticks when it is triggered, also while it is paused', async () => {
    const { system, clock, events } = await start()
    await system.schedules.put(aSchedule())
    await system.schedules.pause('report')

    const { jobId } = await system.schedules.trigger('report', { by: { cause: 'library', actor: 'ada' } })

    const [enqueued] = await system.history(jobId)
    expect(enqueued).toMatchObject({ cause: 'library', actor: 'ada', schedule: 'report' })
    expect(enqueued).not.toHaveProperty('tick')
    await clock.moveTo(startAt + minute)
    expect(await events()).toEqual(['create', 'pause', 'trigger'])
  })

  test('that is ended has no more ticks, keeps its jobs, and frees its name', async () => {
    const { system, clock, ticks, events } = await start()
    await system.schedules.put(aSchedule())
    await clock.moveTo(startAt + minute)
    await system.schedules.end('report')
    await clock.moveTo(startAt + 2 * minute)

    expect(await ticks()).toEqual([minute])
    await expect(system.schedules.pause('report')).rejects.toThrow(
      'the schedule report is ended, which does not allow pause; nothing leaves that state',
    )
    await system.schedules.put(aSchedule())
    expect(await events()).toEqual(['create'])
  })

  test('is previewed before it is made or changed, with the ticks that it then has, and nothing is stored', async () => {
    const { system, clock } = await start()
    const job = { type: 'work', payload: { n: 1 } }
    const seen: unknown[] = []
    const previewed = async (body: object) => {
      const given = { name: 'report', job, ...body }
      const before = (await system.schedules.find('report'))?.seq
      const { ticks } = await system.schedules.previewNew(given, { limit: 2 })
      expect((await system.schedules.find('report'))?.seq).toBe(before)
      const { nextTick } = await system.schedules.submit(given)
      seen.push([ticks.map(({ tick }) => tick - startAt), nextTick && nextTick - startAt])
    }
    await previewed({ every_ms: minute })
    await clock.moveTo(startAt + 90 * second)
    await previewed({ every_ms: minute, jitter_ms: 5 })
    await previewed({ every_ms: 2 * minute })
    await system.schedules.pause('report')
    await clock.moveTo(startAt + 10 * minute)
    await previewed({ every_ms: 2 * minute, missed: 'all' })
    await system.schedules.end('report')
    await previewed({ every_ms: hour })

    const phase = 90 * second
    expect(seen).toEqual([
      [[minute, 2 * minute], minute],
      [[2 * minute, 3 * minute], 2 * minute],
      [[phase + 2 * minute, phase + 4 * minute], phase + 2 * minute],
      [[phase + 10 * minute, phase + 12 * minute], null],
      [[10 * minute + hour, 10 * minute + 2 * hour], 10 * minute + hour],
    ])
    const ended = { name: 'late', cron: '@daily', ends_at: '2001-01-01T00:00:00Z', job }
    await expect(system.schedules.previewNew(ended)).rejects.toMatchObject({
      issues: [{ path: 'ends_at', message: 'must be after the next tick: none is left' }],
    })
  })

  test('shows its next ticks in UTC and in its zone', async () => {
    const { system } = await start()
    await system.schedules.put(aSchedule({ cron: '0 9 * * *', zone: 'Europe/Berlin' }))

    const { ticks } = await system.schedules.preview('report', { limit: 2 })

    expect(ticks.map(({ utc, local }) => [utc, local])).toEqual([
      ['2030-01-02T08:00:00Z', 'Wed 2030-01-02 09:00:00 +01:00'],
      ['2030-01-03T08:00:00Z', 'Thu 2030-01-03 09:00:00 +01:00'],
    ])
  })

  test('of which there is none is named', async () => {
    const { system } = await start()

    await expect(system.schedules.pause('nothing')).rejects.toThrow('no schedule has the name "nothing"')
    await expect(system.schedules.history('nothing')).rejects.toThrow('no schedule has the name "nothing"')
    expect(await system.schedules.find('nothing')).toBe(undefined)
  })

  test('is explained as the cause of its job, with its tick and how late it was', async () => {
    const first = await start()
    await first.system.schedules.put(aSchedule())
    await first.system.stop({ graceMs: 0 })
    first.clock.advance(3 * minute + 30 * second)
    const { system } = await first.restart()
    await system.schedules.trigger('report')

    const { jobs } = await system.list()
    const summaries = await Promise.all(jobs.toReversed().map(async ({ id }) => (await system.explain(id)).summary))

    expect(summaries[0]).toContain(
      'It is for the tick of the schedule report at 2030-01-01T10:02:00.000Z, made 1 min 30 s late, and stands for 2 missed ticks, the first at 2030-01-01T10:01:00.000Z.',
    )
    expect(summaries[1]).toContain('at 2030-01-01T10:03:00.000Z, made 30 s late.')
    expect(summaries[2]).toContain('It is a job of the schedule report, made beside its ticks.')
  })
})

describe('a clock', () => {
  test('that is set back loses no tick and doubles none', async () => {
    const { system, clock, ticks } = await start()
    await system.schedules.put(aSchedule())
    await clock.moveTo(startAt + minute)
    await clock.moveTo(startAt + 2 * minute)
    clock.set(startAt + 30 * second)
    for (let at = minute; at <= 3 * minute; at += minute) await clock.moveTo(startAt + at)

    expect(await ticks()).toEqual([minute, 2 * minute, 3 * minute])
  })

  test('that wakes late makes every tick of the last minute', async () => {
    const { system, clock, ticks } = await start()
    await system.schedules.put(aSchedule({ cron: '*/10 * * * * *' }))

    await clock.moveTo(startAt + 45 * second)

    expect(await ticks()).toEqual([10, 20, 30, 40].map((at) => at * second))
  })

  test('with other time zones plans again from the last tick, and says so', async () => {
    const first = await start()
    await first.system.schedules.put(aSchedule({ cron: '0 * * * *' }))
    await first.system.stop({ graceMs: 0 })
    await alterDatabase(first.path, `UPDATE schedules SET tz_version = '1999a', next_tick = next_tick + 1800000`)

    const { system, log, clock, ticks } = await first.restart()

    expect(await system.schedules.find('report')).toMatchObject({ nextTick: startAt + hour, seq: 1 })
    expect(log.map(({ message }) => message)).toContain(
      'the time zones have another version: the next ticks were computed again',
    )
    await clock.moveTo(startAt + hour)
    expect(await ticks()).toEqual([hour])
  })
})

describe('a changed schedule', () => {
  test('that is written as it is stays as it is, however it is written', async () => {
    const { system, clock, events } = await start()
    await system.schedules.put(aSchedule())
    await clock.moveTo(startAt + 30 * second)

    await system.schedules.put({ job: { payload: { n: 1 }, type: 'work' }, cron: '*  * * * *', name: 'report' })

    expect(await events()).toEqual(['create'])
  })

  test('settles what its old timing owes by its policy, and then counts from now', async () => {
    const first = await start()
    await first.system.schedules.put(aSchedule({ cron: '0 * * * *', missed: 'all' }))
    await first.system.stop({ graceMs: 0 })
    first.clock.advance(2 * hour + 30 * minute)
    const declared = aSchedule({ cron: '*/20 * * * *', missed: 'all' })

    const { ticks, events, clock } = await first.restart({ schedules: [declared] })
    await clock.moveTo(startAt + 2 * hour + 40 * minute)

    expect(await ticks()).toEqual([hour, 2 * hour, 2 * hour + 40 * minute])
    expect(await events()).toEqual([
      'create',
      `catch_up ${hour}`,
      `catch_up ${2 * hour}`,
      'edit',
      `tick ${2 * hour + 40 * minute}`,
    ])
  })

  test('with another payload keeps its ticks, and its next job has it', async () => {
    const { system, clock, newest } = await start()
    await system.schedules.put(aSchedule({ everyMs: minute, cron: undefined as never }))
    await clock.moveTo(startAt + 30 * second)

    await system.schedules.put(
      aSchedule({ everyMs: minute, cron: undefined as never, job: { type: 'work', payload: { limit: 2 } } }),
    )

    expect(await newest()).toMatchObject({ event: 'edit', changed: ['job'] })
    await clock.moveTo(startAt + minute)
    expect((await system.list()).jobs.map(({ payload }) => payload)).toEqual([{ limit: 2 }])
  })
})

describe('a schedule that the program declares', () => {
  test('is made at its start, edited when it changes, and ends when it is gone; those of users stay', async () => {
    const first = await start({ schedules: [aSchedule(), aSchedule({ name: 'other' })] })
    await first.system.schedules.put(aSchedule({ name: 'by a user'.replaceAll(' ', '-') }))
    expect(await first.system.schedules.find('report')).toMatchObject({ source: 'code', state: 'active' })

    const second = await first.restart({ schedules: [aSchedule({ cron: '0 * * * *' })] })

    expect(await second.events()).toEqual(['create', 'edit'])
    expect(await second.events('other')).toEqual(['create', 'end'])
    expect(await second.newest('other')).toMatchObject({ reason: 'the program no longer declares it' })
    expect(await second.system.schedules.find('by-a-user')).toMatchObject({ source: 'api', state: 'active' })
    const third = await second.restart({ schedules: undefined as never })
    expect(await third.system.schedules.find('report')).toMatchObject({ state: 'active' })
  })

  test('and that has no tick left is not made, ends if it is there, and holds up no other', async () => {
    const ended = aSchedule({ name: 'ended', endsAt: startAt - minute })
    const first = await start({ schedules: [ended, aSchedule()] })
    expect((await first.system.schedules.list({ ended: true })).schedules.map(({ name }) => name)).toEqual(['report'])

    const second = await first.restart({ schedules: [aSchedule({ endsAt: startAt - minute })] })
    await second.clock.moveTo(startAt + minute)

    expect(await second.system.schedules.find('report')).toMatchObject({ state: 'ended' })
  })

  test('does not move its last tick when it is declared again', async () => {
    const first = await start({ schedules: [aSchedule()] })
    await first.system.stop({ graceMs: 0 })
    first.clock.advance(3 * minute)

    const { ticks } = await first.restart()

    expect(await ticks()).toEqual([minute, 2 * minute, 3 * minute])
  })

  test('can be paused, but not changed or ended, by users', async () => {
    const { system } = await start({ schedules: [aSchedule()] })

    await expect(system.schedules.put(aSchedule({ cron: '0 * * * *' }))).rejects.toThrow(
      'the schedule report is declared by the program, which does not allow edit: change it there, or pause it',
    )
    await expect(system.schedules.end('report')).rejects.toThrow('is declared by the program')
    expect(await system.schedules.pause('report')).toMatchObject({ state: 'paused' })
  })

  test('is refused when the system is created, with every fault and its place', async () => {
    const broken = [
      aSchedule({ cron: '61 * * * *' }),
      aSchedule({ zone: 'Mars/Olympus', job: { type: 'nothing' } as never }),
    ]

    await expect(openSystem({ runs: { work: () => {} }, schedules: broken })).rejects.toThrow(
      /schedules\[0\]\.cron: .*\nschedules\[1\]\.zone: .*\nschedules\[1\]\.job\.payload: /s,
    )
  })
})

describe('a job of a schedule', () => {
  test('is checked by its handler when the schedule is made', async () => {
    const handler = defineHandler({ type: 'work', payload: z.strictObject({ n: z.number() }), run: () => {} })
    const { system } = await start({ runs: {}, handlers: [handler] })

    await expect(system.schedules.put(aSchedule({ job: { type: 'work', payload: { n: 'x' } } }))).rejects.toMatchObject(
      {
        issues: [{ path: 'job.payload.n' }],
      },
    )
    expect(PayloadError).toBeDefined()
  })

  test('waits for room without being lost, and without asking all the time', async () => {
    const gate = deferred<void>()
    const { system, clock, ticks, log, newest } = await start({
      runs: { work: () => gate.promise },
      workers: 1,
      maxQueueDepth: 2,
      maxDepthPerQueue: 2,
    })
    await system.enqueue({ type: 'work', payload: 0 })
    await expect.poll(async () => (await system.counts()).running, { timeout: 5_000 }).toBe(1)
    await system.enqueue([1, 2].map((n) => ({ type: 'work', payload: n })))
    await system.schedules.put(aSchedule({ missed: 'skip' }))
    await clock.moveTo(startAt + minute)
    await clock.moveTo(startAt + 3 * minute)
    expect(await newest()).toMatchObject({ event: 'create' })
    expect(log.filter(({ message }) => message.includes('a tick waits'))).toHaveLength(1)

    gate.resolve()
    await expect.poll(async () => (await system.counts()).succeeded).toBe(3)
    await clock.moveTo(startAt + 3 * minute + 40 * second)

    expect((await ticks()).slice(3)).toEqual([minute, 3 * minute])
  })
})

describe('a schedule whose rule cannot be read', () => {
  test('is broken with the reason, harms no other, and goes on when it is edited', async () => {
    const first = await start()
    await first.system.schedules.put(aSchedule())
    await first.system.schedules.put(aSchedule({ name: 'other' }))
    await first.system.stop({ graceMs: 0 })
    await alterDatabase(
      first.path,
      `UPDATE schedules SET spec = replace(spec, 'UTC', 'Mars/Olympus') WHERE name = 'report'`,
      'schedules_take_edges',
    )
    first.clock.advance(minute)

    const { system, clock, events, log } = await first.restart()

    expect(await events('other')).toEqual(['create', `tick ${minute}`])
    expect(await system.schedules.find('report')).toMatchObject({
      state: 'broken',
      problem: expect.stringContaining('Mars/Olympus'),
      nextTick: null,
    })
    expect(log.filter(({ level }) => level === 'error').map(({ fields }) => fields.schedule)).toEqual(['report'])
    await expect(system.schedules.resume('report')).rejects.toThrow(
      'the schedule report has a rule that cannot be read',
    )
    await system.schedules.put(aSchedule())
    await clock.moveTo(startAt + 2 * minute)
    expect(await events()).toEqual(['create', 'break', 'edit', `tick ${2 * minute}`])
  })
})
