import { describe, expect, test } from 'vitest'
import type { ScheduleEventType, ScheduleState } from '../../../src/machines/schedule.ts'
import { scheduleAfter, scheduleEdges, scheduleEvents, scheduleStates } from '../../../src/machines/schedule-edges.ts'
import { scheduleHistory } from '../../../src/persistence/schedules.ts'
import { aMove, aScheduleIn, scheduleIn } from '../../support/schedules.ts'
import { aJob, startAt } from '../../support/store.ts'
import type { Open } from './helpers.ts'

const minute = 60_000
/** The events that lead to each state. */
const waysTo: Readonly<Record<ScheduleState, readonly ScheduleEventType[]>> = {
  active: [],
  paused: ['pause'],
  broken: ['break'],
  ended: ['end'],
}

const pairs = scheduleStates.flatMap((state) => scheduleEvents.map((event) => [state, event] as const))

/** What an event has besides. */
function withParts(event: ScheduleEventType, to: ScheduleState | undefined, lastTick: number) {
  const tick = ['tick', 'skip', 'catch_up'].includes(event) ? lastTick + minute : null
  const isActive = to === 'active'
  return {
    tick,
    job: ['tick', 'catch_up', 'trigger'].includes(event) ? aJob() : null,
    plan: {
      lastTick: tick ?? lastTick,
      nextTick: isActive ? (tick ?? lastTick) + minute : null,
      problem: to === 'broken' ? 'no rule' : null,
    },
  }
}

/** Schedules: their moves, with their jobs, and what reads them. */
export function testSchedules(open: Open): void {
  describe('a schedule', () => {
    test('moves with its job, its event and its row together', async () => {
      const { store } = await open()
      const kept = await aScheduleIn(store, 'a')
      const tick = kept.lastTick + minute
      const plan = { lastTick: tick, nextTick: tick + minute }

      const [result] = await store.schedules.move([
        aMove(kept, 'tick', { tick, job: aJob(), plan, details: '{"a":1}' }),
      ])

      const { jobId } = result as { jobId: number }
      expect(await store.find(jobId)).toMatchObject({ type: 'work', state: 'queued' })
      expect(await scheduleIn(store, 'a')).toMatchObject({
        ...plan,
        seq: 2,
        state: 'active',
        lastJob: { id: jobId, tick, state: 'queued' },
      })
      expect(await store.schedules.history(kept.id, { before: 9, limit: 9 })).toEqual([
        {
          ...{ seq: 2, event: 'tick', from: 'active', to: 'active', at: startAt },
          ...{ tick, jobId, jobState: 'queued', details: '{"a":1}' },
        },
        {
          ...{ seq: 1, event: 'create', from: null, to: 'active', at: startAt },
          ...{ tick: null, jobId: null, jobState: null, details: null },
        },
      ])
      expect((await store.verify()).violations).toEqual([])
    })

    test('keeps its last job when that is removed, without a state', async () => {
      const { store, clock } = await open({ retentionMs: 1_000 })
      const kept = await aScheduleIn(store, 'a')
      const tick = kept.lastTick + minute
      const move = aMove(kept, 'tick', { tick, job: aJob(), plan: { lastTick: tick, nextTick: tick + minute } })
      const [result] = await store.schedules.move([move])
      const { jobId: id } = result as { jobId: number }

      await store.send('cancel', id)
      const cancelled = (await scheduleIn(store, 'a'))!.lastJob
      await store.enqueue([aJob()])
      clock.advance(2_000)
      await store.sweep()

      expect(cancelled).toEqual({ id, tick, state: 'cancelled' })
      expect(await store.find(id)).toBeUndefined()
      expect((await scheduleIn(store, 'a'))!.lastJob).toEqual({ id, tick, state: null })
      expect((await store.schedules.history(kept.id, { before: 9, limit: 1 }))[0]).toMatchObject({
        jobId: id,
        jobState: null,
      })
    })

    test('that somebody else has moved since is not moved, and no job is made', async () => {
      const { store } = await open()
      const kept = await aScheduleIn(store, 'a')
      const tick = kept.lastTick + minute
      const move = aMove(kept, 'tick', { tick, job: aJob(), plan: { lastTick: tick, nextTick: tick + minute } })
      const other = await aScheduleIn(store, 'b')

      await store.schedules.move([move])
      const results = await store.schedules.move([move, aMove(other, 'trigger', { job: aJob() })])

      expect(results.map(({ outcome }) => outcome)).toEqual(['stale', 'moved'])
      expect((await store.list({ limit: 9 })).jobs).toHaveLength(2)
      expect(await scheduleIn(store, 'a')).toMatchObject({ seq: 2 })
    })

    test('moved twice at the same time moves once', async () => {
      const { store } = await open()
      const kept = await aScheduleIn(store, 'a')
      const tick = kept.lastTick + minute
      const move = aMove(kept, 'tick', { tick, job: aJob(), plan: { lastTick: tick, nextTick: tick + minute } })

      const results = (await Promise.all(Array.from({ length: 5 }, () => store.schedules.move([move])))).flat()

      expect(results.map(({ outcome }) => outcome).sort()).toEqual(['moved', 'stale', 'stale', 'stale', 'stale'])
      expect((await store.list({ limit: 9 })).jobs).toHaveLength(1)
    })

    test('whose job finds no room stays as it is, and the others move', async () => {
      const { store } = await open({ maxQueueDepth: 2 })
      await store.enqueue([aJob()])
      const schedules = await Promise.all(['a', 'b', 'c'].map((name) => aScheduleIn(store, name)))

      const results = await store.schedules.move(schedules.map((kept) => aMove(kept, 'trigger', { job: aJob() })))

      expect(results).toMatchObject([{ outcome: 'moved' }, { outcome: 'full', queue: null }, { outcome: 'full' }])
      expect(await scheduleIn(store, 'b')).toMatchObject({ seq: 1 })
    })

    test('whose job has a unique key that another holds stays as it is, and its answer names that job', async () => {
      const { store } = await open()
      const kept = await aScheduleIn(store, 'a')
      const unique = { key: 'k', until: 'ended', onConflict: 'refuse' } as never

      const [first] = await store.schedules.move([aMove(kept, 'trigger', { job: aJob({ unique }) })])
      const again = await scheduleIn(store, 'a')
      const [second] = await store.schedules.move([aMove(again, 'trigger', { job: aJob({ unique }) })])

      expect(second).toEqual({ outcome: 'held', holder: (first as { jobId: number }).jobId })
      expect(await scheduleIn(store, 'a')).toMatchObject({ seq: 2 })
    })

    test('takes an event exactly if its machine does', async () => {
      const { store } = await open()
      const taken: string[] = []
      for (const [state, event] of pairs) {
        const name = `${state}.${event}`
        await aScheduleIn(store, name)
        for (const way of waysTo[state])
          await store.schedules.move([aMove(await scheduleIn(store, name), way, withParts(way, state, startAt))])
        const kept = await scheduleIn(store, name)
        const to = scheduleAfter(state, event)

        const [result] = await store.schedules.move([aMove(kept, event, withParts(event, to, kept.lastTick))])

        if (result!.outcome === 'moved') taken.push(`${name} ${(await scheduleIn(store, name)).state}`)
      }

      expect(taken).toEqual(
        scheduleEdges.flatMap(({ from, event, to }) => (from === 'new' ? [] : [`${from}.${event} ${to}`])),
      )
      expect((await store.verify()).violations).toEqual([])
    })

    test('has its name alone while it lives', async () => {
      const { store } = await open()
      const first = await aScheduleIn(store, 'a')

      const [refused] = await store.schedules.move([aMove({ name: 'a' }, 'create')])
      await store.schedules.move([aMove(first, 'end', { plan: { nextTick: null } })])
      const second = await aScheduleIn(store, 'a')

      expect(refused).toEqual({ outcome: 'stale' })
      expect(second.id).toBeGreaterThan(first.id)
      expect(await scheduleIn(store, 'a')).toMatchObject({ id: second.id, state: 'active' })
      expect((await store.schedules.list({ after: null, limit: 9, ended: true })).schedules).toHaveLength(1)
    })

    test('is due in the order of ticks, page by page, and the next tick is known', async () => {
      const { store, clock } = await open()
      for (const [name, minutes] of [
        ['a', 3],
        ['b', 1],
        ['c', 2],
        ['d', 9],
      ] as const)
        await aScheduleIn(store, name, { nextTick: startAt + minutes * minute })
      await aScheduleIn(store, 'e', { nextTick: null })
      clock.advance(3 * minute)

      const first = await store.schedules.due(null, 3)
      const second = await store.schedules.due(first.next, 3)
      const third = await store.schedules.due(second.next, 3)

      const names = (page: typeof first) => page.due.map(({ name }) => name)
      expect([names(first), names(second), names(third)]).toEqual([['e', 'b', 'c'], ['a'], []])
      expect(third).toMatchObject({ now: startAt + 3 * minute, next: null, nextTick: startAt + 9 * minute })
    })

    test('with overlap skip says which of its jobs has not ended', async () => {
      const { store } = await open()
      const kept = await aScheduleIn(store, 'a', { overlap: 'skip' })
      const [moved] = await store.schedules.move([aMove(kept, 'trigger', { job: aJob() })])
      const { jobId } = moved as { jobId: number }

      const before = await scheduleIn(store, 'a')
      await store.command('cancel', [jobId])

      expect(before.unended).toBe(jobId)
      expect((await scheduleIn(store, 'a')).unended).toBe(null)
    })

    test('keeps the newest of its events, and not many more', async () => {
      const { store } = await open()
      await aScheduleIn(store, 'a')
      for (let n = 0; n < scheduleHistory.kept + 210; n++) {
        const kept = await scheduleIn(store, 'a')
        const tick = kept.lastTick + minute
        await store.schedules.move([aMove(kept, 'skip', { tick, plan: { lastTick: tick, nextTick: tick + minute } })])
      }

      const { id, seq } = await scheduleIn(store, 'a')
      const kept = await store.schedules.history(id, { before: seq + 1, limit: 5_000 })

      expect(kept.length).toBeGreaterThanOrEqual(scheduleHistory.kept)
      expect(kept.length).toBeLessThan(scheduleHistory.kept + 100)
      expect((await store.verify()).violations).toEqual([])
    })

    test('that ended long ago is removed with its history; one that lives is not', async () => {
      const { store, clock } = await open({ retentionMs: minute })
      const gone = await aScheduleIn(store, 'a')
      await store.schedules.move([aMove(gone, 'end', { plan: { nextTick: null } })])
      await aScheduleIn(store, 'b')
      clock.advance(2 * 3_600_000)
      for (let sweeps = 0; sweeps < 3; sweeps++) {
        await store.sweep()
        clock.advance(3_600_000)
      }
      await store.sweep()

      expect((await store.schedules.find('a')).schedule).toBe(null)
      expect(await store.schedules.history(gone.id, { before: 9, limit: 9 })).toEqual([])
      expect(await scheduleIn(store, 'b')).toMatchObject({ state: 'active' })
    })

    test('that ended is kept for the time of retention, also if none had ended when retention looked before', async () => {
      const { store, clock } = await open({ retentionMs: 60 * minute })
      const isKept = async (name: string) => (await store.schedules.find(name)).schedule !== null
      const sweepIn = async (minutes: number) => {
        clock.advance(minutes * minute)
        for (let sweeps = 0; sweeps < 3; sweeps++) await store.sweep()
      }
      const end = async (name: string) => {
        const { schedule } = await store.schedules.find(name)
        await store.schedules.move([aMove(schedule!, 'end', { plan: { nextTick: null } })])
      }
      await aScheduleIn(store, 'a')
      await aScheduleIn(store, 'b')
      await sweepIn(0)
      await end('a')
      await sweepIn(40)
      await end('b')
      expect([await isKept('a'), await isKept('b')]).toEqual([true, true])
      await sweepIn(30)
      expect([await isKept('a'), await isKept('b')]).toEqual([false, true])
      await sweepIn(40)
      expect([await isKept('a'), await isKept('b')]).toEqual([false, false])
    })
  })
}
