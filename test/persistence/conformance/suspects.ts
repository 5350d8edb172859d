import { describe, expect, test } from 'vitest'
import type { LeasedJob, Store } from '../../../src/persistence/store.ts'
import { aJob, type OpenedStore } from '../../support/store.ts'
import { ids, leaseOf, type Open, settle } from './helpers.ts'

const start = { wait: false, start: true } as const
/** How long a suspect runs alone. */
const aloneMs = 2_000

/** Jobs that ran when the process ended. */
export function testSuspects(open: Open): void {
  describe('a job that runs when the process ends', () => {
    test('comes back at once, with its attempts as they were, and the crash counted', async () => {
      const { store } = await open()
      await store.enqueue([aJob({ maxAttempts: 1 })])
      await store.lease({ room: 1, ...start })

      await store.recoverOrphans()

      expect(await store.find(1)).toMatchObject({ state: 'queued', attempt: 0, crashes: 1 })
    })

    test('says in its history which crash it was, and how many ran beside it', async () => {
      const { store } = await open()
      await store.enqueue([aJob(), aJob(), aJob()])
      await store.lease({ room: 3, ...start })
      await store.recoverOrphans()
      await crash(store)
      await crash(store)

      const history = (await store.history(1, { after: 0, limit: 99 }))!
      const told = history.filter(({ event }) => event === 'expire').map(({ error }) => error)

      expect(told).toEqual([
        { name: 'ProcessEndedError', message: 'the process ended while it ran; 2 others ran beside it at that moment' },
        {
          name: 'ProcessEndedError',
          message: 'the process ended while it ran, for the second time; 2 others ran beside it at that moment',
        },
        { name: 'ProcessEndedError', message: 'the process ended while it ran, for the third time; it ran alone' },
      ])
    })

    test('is given back and counts no crash where the process was being stopped, however often', async () => {
      const { store } = await open()
      await store.enqueue([aJob(), aJob()])
      for (let stops = 0; stops < 5; stops++) {
        await store.lease({ room: 1, ...start })
        await store.lease({ room: 1, wait: false })
        await store.noteStop()
        expect(await store.recoverOrphans()).toMatchObject({ leased: 1, running: 1, suspects: 0, wasStopping: true })
      }

      expect(await Promise.all([1, 2].map((id) => store.find(id)))).toMatchObject([
        { state: 'queued', attempt: 0, crashes: 0, error: null },
        { state: 'queued', attempt: 0, crashes: 0, error: null },
      ])
      const history = await store.history(1, { after: 0, limit: 4 })
      expect(history?.map(({ event }) => event)).toEqual(['enqueue', 'lease', 'start', 'release'])
    })

    test('counts its crash again after a start that came from a stop', async () => {
      const { store } = await open()
      await store.enqueue([aJob()])
      await store.lease({ room: 1, ...start })
      await store.noteStop()
      await store.recoverOrphans()

      await crash(store)

      expect(await store.find(1)).toMatchObject({ state: 'queued', attempt: 0, crashes: 1 })
    })

    test('stays a suspect where the process was being stopped', async () => {
      const { store } = await suspects(open, 1)
      await store.enqueue([aJob({ priority: 9 })])
      await store.lease({ room: 9, ...start })
      await store.noteStop()

      expect(await store.recoverOrphans()).toMatchObject({ running: 1, suspects: 1 })

      expect(await store.find(1)).toMatchObject({ state: 'queued', crashes: 2 })
      expect(idsOf(await store.lease({ room: 9, ...start }))).toEqual([1])
    })

    test('counts its crash where only the next start was stopped, before it had recovered', async () => {
      const { store, path, clock } = await open()
      await store.enqueue([aJob()])
      await store.lease({ room: 1, ...start })
      await store.close()
      const { store: next } = await open({ path, clock })
      await next.noteStop()

      await next.recoverOrphans()

      expect(await next.find(1)).toMatchObject({ state: 'queued', crashes: 1 })
    })

    test('is dead by its fourth crash, whatever its attempts, and begins anew when it is requeued', async () => {
      const { store } = await open()
      await store.enqueue([aJob({ maxAttempts: 100 })])
      for (let crashes = 0; crashes < 4; crashes++) await crash(store)

      const dead = await store.find(1)
      const requeued = await store.send('requeue', 1)

      expect(dead).toMatchObject({ state: 'dead', attempt: 0, crashes: 4 })
      expect(dead?.error?.message).toMatch(
        /for the fourth time; it ran alone, so it is taken for the cause \(mend its handler, then requeue it\)$/,
      )
      expect(requeued).toMatchObject({ job: { state: 'queued', attempt: 0, crashes: 0 } })
      expect(await store.lease({ room: 1, ...start })).toHaveLength(1)
    })

    test.each(['fail', 'snooze'] as const)('is as good as new when an attempt of it ends by %s', async (event) => {
      const { store, clock } = await open()
      await store.enqueue([aJob(), aJob()])
      await crash(store)
      await crash(store)
      const [suspect] = await store.lease({ room: 2, ...start })

      await store.apply([{ ...leaseOf(suspect!), event, delayMs: 10 }])

      expect(await store.find(suspect!.id)).toMatchObject({ crashes: 0 })
      clock.advance(10)
      await store.sweep()
      await settle(store, (await store.lease({ room: 9, ...start }))[0]!, 'succeed')
      expect(await store.lease({ room: 9, ...start })).toHaveLength(1)
    })
  })

  describe('a suspect, which ran at two crashes or more,', () => {
    test('goes before all other jobs, and alone', async () => {
      const { store } = await suspects(open, 2)
      await store.enqueue([aJob({ priority: 9, queue: 'a' })])

      const first = await store.lease({ room: 9, ...start })
      const beside = await store.lease({ room: 9, ...start })

      expect([idsOf(first), idsOf(beside)]).toEqual([[1], []])
    })

    test('makes room for the next when it has ended, and the last one for all others', async () => {
      const { store } = await suspects(open, 2)
      await store.enqueue([aJob(), aJob()])

      const order: number[][] = []
      for (let next = await store.lease({ room: 9, ...start }); next.length > 0; ) {
        order.push(idsOf(next))
        for (const job of next) await settle(store, job, 'succeed')
        next = await store.lease({ room: 9, ...start })
      }

      expect(order).toEqual([[1], [2], [3, 4]])
    })

    test('makes room when it has run for two seconds, and no sooner', async () => {
      const { store, clock } = await suspects(open, 2)
      await store.enqueue([aJob()])
      await store.lease({ room: 9, ...start })

      clock.advance(aloneMs - 1)
      const before = await store.lease({ room: 9, ...start })
      clock.advance(1)
      const second = await store.lease({ room: 9, ...start })
      clock.advance(aloneMs)
      const others = await store.lease({ room: 9, ...start })

      expect([before, second, others].map(idsOf)).toEqual([[], [2], [3]])
    })

    test('wakes those who wait for a job when its time is over', async () => {
      const { store, clock } = await suspects(open, 1)
      await store.enqueue([aJob()])
      await store.lease({ room: 1, ...start })
      const waiting = store.lease({ room: 1, wait: true, start: true })
      // Asked after it, and answered: so that one waits.
      const before = await store.lease({ room: 1, ...start })

      clock.advance(aloneMs)

      expect([before, await waiting].map(idsOf)).toEqual([[], [2]])
    })

    test('wakes them when it has ended', async () => {
      const { store } = await suspects(open, 1)
      await store.enqueue([aJob()])
      const [suspect] = await store.lease({ room: 1, ...start })
      const waiting = store.lease({ room: 1, wait: true, start: true })

      await settle(store, suspect!, 'succeed')

      expect(idsOf(await waiting)).toEqual([2])
    })

    test('goes the sooner the more crashes it has, and with three of them runs alone to its end', async () => {
      const { store, clock } = await suspects(open, 2)
      await store.lease({ room: 1, ...start })
      clock.advance(aloneMs)
      await store.lease({ room: 1, ...start })
      await store.enqueue([aJob({ priority: 9 })])
      // Both ran: three crashes each. The first fails by itself, and is no suspect any more.
      await store.recoverOrphans()

      const [first] = await store.lease({ room: 9, ...start })
      clock.advance(3_600_000)
      const meanwhile = await store.lease({ room: 9, ...start })
      await settle(store, first!, 'succeed')
      const second = await store.lease({ room: 9, ...start })

      expect([first!.id, idsOf(meanwhile), idsOf(second)]).toEqual([1, [], [2]])
      expect((await store.find(2))?.crashes).toBe(3)
    })

    test('with three crashes keeps others waiting however long it runs', async () => {
      const { store, clock } = await suspects(open, 1)
      await crash(store)
      await store.enqueue([aJob()])
      const [suspect] = await store.lease({ room: 9, ...start })

      clock.advance(3_600_000)
      const meanwhile = await store.lease({ room: 9, ...start })
      await settle(store, suspect!, 'succeed')

      expect([meanwhile, await store.lease({ room: 9, ...start })].map(idsOf)).toEqual([[], [2]])
    })

    test('that was given back stays one, and goes first again', async () => {
      const { store } = await suspects(open, 1)
      await store.enqueue([aJob({ priority: 9 })])
      const [suspect] = await store.lease({ room: 9, ...start })

      await settle(store, suspect!, 'release')

      expect(await store.find(1)).toMatchObject({ state: 'queued', attempt: 0, crashes: 2 })
      expect(idsOf(await store.lease({ room: 9, ...start }))).toEqual([1])
    })

    test('that is cancelled makes room, in line and while it runs', async () => {
      const { store } = await suspects(open, 3)
      await store.enqueue([aJob()])
      await store.lease({ room: 9, ...start })

      await store.command('cancel', [1, 2])
      const next = await store.lease({ room: 9, ...start })
      await store.send('cancel', 3)

      expect([idsOf(next), idsOf(await store.lease({ room: 9, ...start }))]).toEqual([[3], [4]])
    })

    test('that is requeued is one no longer', async () => {
      const { store } = await suspects(open, 1)
      await store.send('cancel', 1)
      await store.send('requeue', 1)
      await store.enqueue([aJob()])

      expect(idsOf(await store.lease({ room: 9, ...start }))).toEqual([1, 2])
    })

    test('makes room when the clock was put back to before its start', async () => {
      const { store, clock } = await suspects(open, 1)
      await store.enqueue([aJob()])
      await store.lease({ room: 9, ...start })

      clock.advance(-3_600_000)

      expect(idsOf(await store.lease({ room: 9, ...start }))).toEqual([2])
    })

    test('whose type nobody here runs is put aside and said so, and holds nobody up', async () => {
      const { store, path, clock } = await suspects(open, 2, 'other')
      await store.enqueue([aJob()])
      await store.close()
      const here = await open({ path, clock, types: ['work'] })

      const leased = await here.store.lease({ room: 9, ...start })

      expect(leased.map(({ type }) => type)).toEqual(['work'])
      expect(here.notices).toContainEqual({ type: 'unhandled', types: ['other'], count: 2 })
      await here.store.close()
      const back = await open({ path, clock, types: ['work', 'other'] })
      await back.store.sweep()
      expect(idsOf(await back.store.lease({ room: 9, ...start }))).toEqual([1])
    })

    test('is one after a restart too', async () => {
      const { store, path, clock } = await suspects(open, 1)
      await store.enqueue([aJob({ priority: 9 })])
      await store.close()

      const { store: next } = await open({ path, clock })

      expect(idsOf(await next.lease({ room: 9, ...start }))).toEqual([1])
    })
  })
}

/** A store with so many jobs that have run at two crashes. */
async function suspects(open: Open, count: number, type = 'work'): Promise<OpenedStore> {
  const opened = await open()
  ids(await opened.store.enqueue(Array.from({ length: count }, () => aJob({ type, maxAttempts: 3 }))))
  await opened.store.lease({ room: count, ...start })
  await opened.store.recoverOrphans()
  await opened.store.lease({ room: count, ...start })
  await opened.store.recoverOrphans()
  return opened
}

/** What may run now runs, and its process ends. */
async function crash(store: Store): Promise<void> {
  await store.lease({ room: 9, ...start })
  await store.recoverOrphans()
}

function idsOf(jobs: readonly LeasedJob[]): number[] {
  return jobs.map(({ id }) => id)
}
