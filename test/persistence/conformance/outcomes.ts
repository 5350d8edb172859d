import { describe, expect, test } from 'vitest'
import type { LeasedJob, LeaseEvent } from '../../../src/persistence/store.ts'
import { aJob, leaseMs } from '../../support/store.ts'
import { countIn, ids, leaseOf, type Open, settle } from './helpers.ts'

/** What becomes of jobs that were leased, and of those that wait. */
export function testOutcomes(open: Open): void {
  describe('apply', () => {
    test('commits a mixed batch in order and refuses only late outcomes', async () => {
      const { store } = await open()
      await store.enqueue([aJob(), aJob(), aJob()])
      const [a, b, c] = (await store.lease({ limit: 3, wait: false })) as [LeasedJob, LeasedJob, LeasedJob]
      const stale: LeaseEvent = { id: c.id, leaseToken: c.leaseToken + 1, event: 'start' }

      const refused = await store.apply([
        { ...leaseOf(a), event: 'start' },
        { ...leaseOf(b), event: 'start' },
        stale,
        { ...leaseOf(a), event: 'succeed' },
        { ...leaseOf(b), event: 'fail', delayMs: 5, error: { name: 'Error', message: 'no' } },
        { ...leaseOf(a), event: 'succeed' },
      ])

      expect(refused).toEqual([stale, { ...leaseOf(a), event: 'succeed' }])
      const states = await Promise.all([a, b, c].map(async ({ id }) => (await store.find(id))?.state))
      expect(states).toEqual(['succeeded', 'retrying', 'leased'])
    })

    test('accepts the first of two equal outcomes, and refuses both if their lease is lost', async () => {
      const { store } = await open()
      await store.enqueue([aJob(), aJob()])
      const [a, b] = (await store.lease({ limit: 2, wait: false, start: true })) as [LeasedJob, LeasedJob]
      await store.send('cancel', b.id)
      const twice = [a, b, a, b].map((job): LeaseEvent => ({ ...leaseOf(job), event: 'succeed' }))

      const refused = await store.apply(twice)

      // The very ones.
      expect(refused.map((event) => twice.indexOf(event))).toEqual([1, 2, 3])
      expect((await store.find(a.id))?.state).toBe('succeeded')
    })

    test('commits outcomes of jobs far apart, each with its own error and delay, and refuses late ones', async () => {
      const { store, clock } = await open()
      await store.enqueue(Array.from({ length: 30 }, () => aJob()))
      const leased = await store.lease({ limit: 30, wait: false, start: true })
      const failed = leased
        .filter(({ id }) => id % 2 === 0)
        .map(
          (job): LeaseEvent => ({
            id: job.id,
            leaseToken: job.id % 3 === 0 ? 77 : job.leaseToken,
            event: 'fail',
            delayMs: job.id * 10,
            error: { name: 'Error', message: `it's "${job.id}"` },
          }),
        )

      const refused = await store.apply(failed)

      expect(refused).toEqual(failed.filter(({ id }) => id % 3 === 0))
      for (const { id, leaseToken, error } of failed) {
        const isLate = leaseToken === 77
        const job = await store.find(id)
        expect(job).toMatchObject(
          isLate ? { state: 'running', error: null } : { state: 'retrying', error, runAt: clock.now() + id * 10 },
        )
        const history = await store.history(id, { after: 3, limit: 9 })
        expect(history?.map(({ error }) => error)).toEqual(isLate ? [] : [error])
      }
    })

    test('keeps the error of the last failed attempt, without its stack in the row and whole in the history', async () => {
      const { store, clock } = await open()
      await store.enqueue([aJob()])
      const [first] = await store.lease({ limit: 1, wait: false })
      const error = { name: 'TypeError', message: 'it "broke"\n' }
      await store.apply([{ ...leaseOf(first!), event: 'start' }])
      const withStack = { ...error, stack: 'at work' }
      await store.apply([{ ...leaseOf(first!), event: 'fail', delayMs: 1_000, error: withStack }])

      clock.advance(1_000)
      await store.sweep()
      const [second] = await store.lease({ limit: 1, wait: false })
      await settle(store, second!, 'start', 'succeed')

      const found = await store.find(first!.id)
      expect(found).toMatchObject({ state: 'succeeded', attempt: 2 })
      expect(found?.error).toEqual(error)
      const history = await store.history(first!.id, { after: 3, limit: 2 })
      expect(history?.map(({ seq, event, error }) => ({ seq, event, error }))).toEqual([
        { seq: 4, event: 'fail', error: withStack },
        { seq: 5, event: 'due', error: null },
      ])
    })

    test('gives the attempt back on snooze and on release', async () => {
      const { store, clock } = await open()
      await store.enqueue([aJob()])
      const [job] = await store.lease({ limit: 1, wait: false })
      await store.apply([{ ...leaseOf(job!), event: 'start' }])
      await store.apply([{ ...leaseOf(job!), event: 'snooze', delayMs: 500 }])

      expect(await store.find(job!.id)).toMatchObject({ state: 'scheduled', attempt: 0, runAt: clock.now() + 500 })
      clock.advance(500)
      await store.sweep()
      const [again] = await store.lease({ limit: 1, wait: false })
      await settle(store, again!, 'start', 'release')
      expect(await store.find(job!.id)).toMatchObject({ state: 'queued', attempt: 0 })
    })

    test('gives a released job its place in line back', async () => {
      const { store, clock } = await open()
      const [id] = ids(await store.enqueue([aJob(), aJob()]))
      clock.advance(10)
      const [first] = await store.lease({ limit: 1, wait: false, start: true })

      await settle(store, first!, 'release')

      expect(await store.find(id!)).toMatchObject({ state: 'queued', runAt: clock.now() - 10 })
      expect((await store.lease({ limit: 1, wait: false })).map((job) => job.id)).toEqual([id])
    })
  })

  describe('a due job', () => {
    test('is queued at its instant and not before, keeping that instant', async () => {
      const { store, clock } = await open()
      const due = clock.now() + 10_000
      const [id] = ids(await store.enqueue([aJob({ runAt: due })]))

      clock.set(due - 1)
      await store.sweep()
      const before = (await store.find(id!))?.state
      clock.set(due + 5)
      await store.sweep()

      expect(before).toBe('scheduled')
      expect(await store.find(id!)).toMatchObject({ state: 'queued', runAt: due })
    })

    test('is queued at its very instant', async () => {
      const { store, clock } = await open()
      // It has looked once for what is due: at its first transaction a store may do so anyway.
      await store.sweep()
      const [id] = ids(await store.enqueue([aJob({ delayMs: 10_000 })]))

      clock.advance(10_000)
      await store.sweep()

      expect((await store.find(id!))?.state).toBe('queued')
    })

    test('is queued, however many there are', async () => {
      const { store, clock } = await open()
      for (let i = 0; i < 3; i++) await store.enqueue(Array.from({ length: 1_000 }, () => aJob({ delayMs: 60_000 })))

      clock.advance(60_000)
      for (let i = 0; i < 3; i++) await store.sweep()

      expect(await countIn(store, 'queued')).toBe(3_000)
    })
  })

  describe('recovery', () => {
    test('recovers all jobs, however many there are', async () => {
      const opened = await open()
      await opened.store.enqueue(Array.from({ length: 2_500 }, () => aJob()))
      await opened.store.lease({ limit: 2_500, wait: false })

      const { store, found } = await opened.endNode()

      expect(found).toEqual({ leased: 2_500, running: 0, suspects: 0, wasStopping: false })
      expect(await countIn(store, 'queued')).toBe(2_500)
    })

    test('queues leased and running jobs, and counts no attempt', async () => {
      const opened = await open()
      await opened.store.enqueue([aJob(), aJob(), aJob({ maxAttempts: 1 })])
      const [a, b, c] = await opened.store.lease({ limit: 3, wait: false })
      await settle(opened.store, b!, 'start')
      await settle(opened.store, c!, 'start')

      const { store, found } = await opened.endNode()

      expect(found).toEqual({ leased: 1, running: 2, suspects: 0, wasStopping: false })
      const jobs = await Promise.all([a, b, c].map((job) => store.find(job!.id)))
      expect(jobs.map((job) => [job?.state, job?.attempt])).toEqual([
        ['queued', 0],
        ['queued', 0],
        ['queued', 0],
      ])
      expect(jobs.map((job) => job?.error?.message)).toEqual([
        'the process that held it ended before it ran it',
        'the process ended while it ran; 1 other ran beside it at that moment',
        'the process ended while it ran; 1 other ran beside it at that moment',
      ])
    })

    test('says that the process ended, however long ago', async () => {
      const { store, path, clock } = await open()
      const [id] = ids(await store.enqueue([aJob()]))
      await store.lease({ limit: 1, wait: false, start: true })
      await store.close()
      clock.advance(10 * leaseMs)

      const { store: next } = await open({ path, clock })
      await next.sweep()
      const before = await next.find(id!)
      await next.recoverOrphans()

      expect(before?.state).toBe('running')
      expect(await next.find(id!)).toMatchObject({ state: 'queued', attempt: 0, crashes: 1 })
      expect((await next.find(id!))?.error?.message).toMatch(/the process ended while it ran/)
    })
  })
}
