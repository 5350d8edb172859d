import { describe, expect, test } from 'vitest'
import type { LeaseEvent } from '../../../src/persistence/store.ts'
import { aJob, leaseMs } from '../../support/store.ts'
import { bringTo, ids, inAnotherOrder, leaseOf, type Open, settle } from './helpers.ts'

/** Who gets which jobs, and how long they are theirs. */
export function testLeases(open: Open): void {
  describe('lease', () => {
    test('waits for a job', async () => {
      const { store } = await open()
      const waiting = store.lease({ limit: 5, wait: true })

      const [id] = ids(await store.enqueue([aJob()]))

      expect((await waiting).map((job) => job.id)).toEqual([id])
    })

    test('has each payload of up to 8 KiB, and any other can be read by itself', async () => {
      const { store } = await open()
      const payloads = ['x'.repeat(8_190), 'x'.repeat(8_191), '€'.repeat(2_731)].map((text) => JSON.stringify(text))
      await store.enqueue(payloads.map((payload) => aJob({ payload })))

      const leased = await store.lease({ limit: 3, wait: true, start: true })

      expect(leased[0]!.payload).toBe(payloads[0])
      expect(await Promise.all(leased.map((job) => job.payload ?? store.readPayload(job)))).toEqual(payloads)
      expect(await Promise.all(leased.map((job) => store.readPayload(job)))).toEqual(payloads)
    })

    test('answers at once if it may not wait', async () => {
      const { store } = await open()

      expect(await store.lease({ limit: 5, wait: false })).toEqual([])
    })

    test('answers waiting calls with nothing once leasing has stopped', async () => {
      const { store } = await open()
      const waiting = store.lease({ limit: 5, wait: true })

      await store.stopLeasing()
      await store.enqueue([aJob()])

      expect(await waiting).toEqual([])
      expect(await store.lease({ limit: 5, wait: true })).toEqual([])
    })

    test('takes higher priority first, then earlier run_at, then lower id', async () => {
      const { store, clock } = await open()
      const [late, low, first, second, high] = ids(await store.enqueue(inAnotherOrder(clock.now())))
      clock.advance(20)
      await store.sweep()

      const leased = await store.lease({ limit: 10, wait: false })

      expect(leased.map(({ id }) => id)).toEqual([high, first, second, late, low])
    })

    test('lets queues take turns, job by job, whatever their names and lengths', async () => {
      const { store } = await open()
      await store.enqueue(Array.from({ length: 50 }, () => aJob({ queue: 'a' })))
      await store.enqueue([
        aJob({ queue: 'z', payload: '1' }),
        aJob({ queue: 'z', payload: '2' }),
        aJob({ queue: 'm' }),
      ])

      const turns: string[] = []
      for (let i = 0; i < 6; i++) {
        const [job] = await store.lease({ limit: 1, wait: false })
        turns.push((await store.find(job!.id))!.queue)
      }
      const together = await store.lease({ limit: 4, wait: false })

      expect(turns).toEqual(['a', 'm', 'z', 'a', 'z', 'a'])
      expect(together).toHaveLength(4)
    })

    test('shares slots among queues and gives what one leaves to the others', async () => {
      const { store } = await open()
      await store.enqueue([...Array.from({ length: 20 }, () => aJob({ queue: 'a' })), aJob({ queue: 'b' })])

      const leased = await store.lease({ limit: 10, wait: false })

      const queues = await Promise.all(leased.map(async ({ id }) => (await store.find(id))!.queue))
      expect(queues.slice(0, 2).sort()).toEqual(['a', 'b'])
      expect(queues.filter((queue) => queue === 'a')).toHaveLength(9)
    })

    test('sets jobs without a handler here aside, says so, and reaches those behind them', async () => {
      const { store, notices } = await open()
      const unhandled = ids(await store.enqueue(Array.from({ length: 3 }, () => aJob({ type: 'nobody', priority: 9 }))))
      const [id] = ids(await store.enqueue([aJob()]))

      const leased = await store.lease({ limit: 1, wait: true })

      expect(leased.map((job) => job.id)).toEqual([id])
      expect(notices).toEqual([{ type: 'unhandled', types: ['nobody'], count: 3 }])
      expect((await store.find(unhandled[0]!))?.state).toBe('queued')
    })
  })

  describe('lease with start', () => {
    test('starts what it leases in the same commit: both are in the history, and the attempt is counted', async () => {
      const { store, clock } = await open()
      const [a, b] = ids(await store.enqueue([aJob(), aJob()]))

      const leased = await store.lease({ limit: 2, wait: false, start: true })

      expect(leased).toMatchObject([
        { id: a, leaseToken: 2, attempt: 0 },
        { id: b, leaseToken: 2, attempt: 0 },
      ])
      for (const { id } of leased) {
        expect(await store.find(id)).toMatchObject({ state: 'running', attempt: 1, startedAt: clock.now() })
        const history = await store.history(id, { after: 1, limit: 9 })
        expect(history?.map(({ seq, event, attempt }) => [seq, event, attempt])).toEqual([
          [2, 'lease', 0],
          [3, 'start', 1],
        ])
      }
    })

    test('gives leases that are valid, renewed, and settled', async () => {
      const { store, clock } = await open()
      await store.enqueue([aJob()])
      const [job] = await store.lease({ limit: 1, wait: false, start: true })

      clock.advance(leaseMs * 2)
      await store.sweep()
      const refused = await store.apply([{ ...leaseOf(job!), event: 'succeed' }])

      expect(refused).toEqual([])
      expect(await store.find(job!.id)).toMatchObject({ state: 'succeeded', attempt: 1 })
    })

    test('starts only for the calls that asked for it', async () => {
      const { store } = await open()
      const waiting = [
        store.lease({ limit: 1, wait: true }),
        store.lease({ limit: 1, wait: true, start: true }),
        store.lease({ limit: 1, wait: true }),
      ]

      const stored = ids(await store.enqueue([aJob(), aJob(), aJob()]))
      await Promise.all(waiting)

      const states = await Promise.all(stored.map(async (id) => (await store.find(id))?.state))
      expect(states).toEqual(['leased', 'running', 'leased'])
    })
  })

  describe('a lease', () => {
    test('is lost by a worker that was silent for too long, and its late outcome is refused', async () => {
      const opened = await open()
      const { store, clock } = opened
      await store.enqueue([aJob()])
      const [slow] = await store.lease({ limit: 1, wait: false })
      await settle(store, slow!, 'start')
      await store.abandon([slow!])
      clock.advance(leaseMs)
      await store.sweep()
      const [next] = await store.lease({ limit: 1, wait: false })
      await settle(store, next!, 'start')

      const late: LeaseEvent = { id: slow!.id, leaseToken: slow!.leaseToken, event: 'succeed' }

      expect(next!.leaseToken).toBeGreaterThan(slow!.leaseToken)
      expect(await store.apply([late])).toEqual([late])
      expect(await store.find(next!.id)).toMatchObject({ state: 'running', attempt: 2 })
    })

    test('holds until its last millisecond', async () => {
      const { store, clock } = await open()
      await store.enqueue([aJob()])
      const [job] = await store.lease({ limit: 1, wait: false })
      await store.abandon([job!])

      clock.advance(leaseMs - 1)
      await store.sweep()
      const before = (await store.find(job!.id))?.state
      clock.advance(1)
      await store.sweep()

      expect([before, (await store.find(job!.id))?.state]).toEqual(['leased', 'queued'])
    })

    test('outlives the late outcome of an earlier attempt of its job', async () => {
      const { store, clock } = await open()
      await store.enqueue([aJob()])
      const [slow] = await store.lease({ limit: 1, wait: false })
      await store.abandon([slow!])
      clock.advance(leaseMs)
      await store.sweep()
      const [next] = await store.lease({ limit: 1, wait: false })
      await store.apply([{ ...leaseOf(slow!), event: 'start' }])

      clock.advance(leaseMs)
      await store.sweep()

      expect(await store.apply([{ ...leaseOf(next!), event: 'start' }])).toEqual([])
    })

    test('of a live worker survives any jump of the clock', async () => {
      const opened = await open()
      const { store, clock } = opened
      const job = await bringTo(opened, 'running', 2)

      clock.advance(86_400_000)
      await store.sweep()

      expect(await store.apply([{ ...leaseOf(job), event: 'succeed' }])).toEqual([])
    })

    test('is taken away by a cancellation, and its holder is told', async () => {
      const opened = await open()
      const { store, notices } = opened
      const job = await bringTo(opened, 'running', 2)

      const cancelled = await store.send('cancel', job.id)

      expect(cancelled).toMatchObject({ outcome: 'done', job: { state: 'cancelled' } })
      expect(notices).toEqual([{ type: 'lost', leases: [{ ...leaseOf(job), cancelled: true }] }])
      const success: LeaseEvent = { ...leaseOf(job), event: 'succeed' }
      expect(await store.apply([success])).toEqual([success])
    })
  })
}
