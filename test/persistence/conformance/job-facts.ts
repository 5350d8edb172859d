import { describe, expect, test } from 'vitest'
import { jobStates } from '../../../src/machines/edges.ts'
import type { JobFacts, LeaseEvent } from '../../../src/persistence/store.ts'
import { aJob, leaseMs } from '../../support/store.ts'
import { bringTo, ids, inAnotherOrder, leaseOf, type Node, type Open, settle } from './helpers.ts'

/** The node that the tests are. */
const owner = { pid: process.pid, host: 'test', startedAt: '2030-01-01T00:00:00.000Z' }

/** What an explanation is made of. */
export function testJobFacts(open: Open): void {
  describe('what the store says about a job', () => {
    test('is its row, its last event and who serves the database', async () => {
      const { store, clock } = await open()
      const [id] = ids(await store.enqueue([aJob({ queue: 'mail', priority: 3, timeoutMs: 50 })]))
      const { handledByOthers = 0, ...facts } = (await store.jobFacts(id!))!

      expect(handledByOthers).toBe(0)
      expect(facts).toEqual({
        job: {
          id: id!,
          type: 'work',
          queue: 'mail',
          state: 'queued',
          priority: 3,
          attempt: 0,
          maxAttempts: 2,
          crashes: 0,
          timeoutMs: 50,
          runAt: clock.now(),
          createdAt: clock.now(),
          startedAt: null,
          finishedAt: null,
          idempotencyKey: null,
          traceId: null,
        },
        fault: null,
        isUnhandled: false,
        isSuspect: false,
        exclusive: null,
        suspectsAhead: { count: 0, more: false },
        lease: null,
        lastEvent: {
          seq: 1,
          event: 'enqueue',
          from: null,
          to: 'queued',
          attempt: 0,
          at: clock.now(),
          cause: 'client',
          error: null,
        },
        lastFailure: null,
        lastEnd: null,
        snoozes: { count: 0, since: null },
        uniqueKey: null,
        replays: null,
        line: placeInLine(0, 1),
        newestOwner: owner,
      } satisfies JobFacts)
    })

    test.each(jobStates)('has a lease with its owner exactly while it is held: %s', async (state) => {
      const opened = await open()
      const job = await bringTo(opened, state, 2)

      const jobFacts = await opened.store.jobFacts(job.id)

      const isHeld = state === 'leased' || state === 'running'
      const lease = { token: job.leaseToken, expiresAt: opened.clock.now() + leaseMs, owner }
      expect(jobFacts?.lease).toEqual(isHeld ? lease : null)
      expect(jobFacts?.lastEvent.to).toBe(state)
      expect(jobFacts?.line).toEqual(state === 'queued' ? placeInLine(0, 1) : null)
    })

    test('is null if there is no such job', async () => {
      const { store } = await open()

      expect(await store.jobFacts(1)).toBeUndefined()
    })

    test('counts the jobs that a lease takes before it, and no others', async () => {
      const { store, clock } = await open()
      const line = ids(
        await store.enqueue([
          ...inAnotherOrder(clock.now()),
          aJob({ queue: 'other', priority: 100 }),
          aJob({ delayMs: 1e9 }),
        ]),
      )
      clock.advance(20)
      await store.sweep()
      const ahead = async (id: number) => (await store.jobFacts(id))?.line?.ahead.count

      const places = await Promise.all(line.slice(0, 5).map(ahead))
      const leased = await store.lease({ limit: 10, wait: false })

      const queue = leased.map(({ id }) => id).filter((id) => line.indexOf(id) < 5)
      expect(places).toEqual(line.slice(0, 5).map((id) => queue.indexOf(id)))
    })

    test('counts how often its key was used again, and says when last', async () => {
      const { store, clock } = await open()
      const keyed = (key: string) => aJob({ idempotency: { key, content: 'c' } })
      const [id] = ids(await store.enqueue([keyed('a'), aJob()]))
      const before = (await store.jobFacts(id!))?.replays
      const [, b] = ids(await store.enqueue([keyed('a'), keyed('b')]))
      clock.advance(5)
      const [, calls] = await Promise.all([
        store.enqueue([keyed('a')]),
        store.enqueue([keyed('a'), keyed('b'), keyed('c'), keyed('c')]),
      ])
      await store.enqueue([aJob({ idempotency: { key: 'a', content: 'other' } })])

      const replaysOf = async (job: number) => (await store.jobFacts(job))?.replays
      const lastAt = clock.now()
      expect(before).toBeNull()
      expect(await replaysOf(id!)).toEqual({ count: 3, lastAt })
      expect(await replaysOf(id! + 1)).toBeNull()
      expect(await replaysOf(b!)).toEqual({ count: 1, lastAt })
      expect(await replaysOf(ids(calls).at(-1)!)).toEqual({ count: 1, lastAt })
    })

    test('counts the suspects that start before it, and no others', async () => {
      let node: Node = await open()
      const add = async (priority: number) => ids(await node.store.enqueue([aJob({ priority })]))[0]!
      const run = () => node.store.lease({ limit: 9, wait: false, start: true })
      const endNode = async () => {
        node = await node.endNode()
      }
      // Three crashes of the first, which is a suspect before the others are; two of those.
      const jobs = [await add(0)]
      await run()
      await endNode()
      jobs.push(await add(5), await add(9), await add(5))
      await run()
      await endNode()
      await run()
      node.clock.advance(2_000)
      await run()
      await endNode()
      const { store } = node

      const counts = await Promise.all(jobs.map(async (id) => (await store.jobFacts(id))!.suspectsAhead.count))
      const started: number[] = []
      for (let [job] = await run(); job; [job] = await run()) {
        started.push(job.id)
        await settle(store, job, 'succeed')
      }

      expect(counts).toEqual([0, 2, 1, 3])
      expect(started).toEqual([jobs[0], jobs[2], jobs[1], jobs[3]])
    })

    test('counts the queues that take turns', async () => {
      const { store } = await open()
      const [id] = ids(await store.enqueue(['a', 'b', 'b', 'c'].map((queue) => aJob({ queue }))))

      expect((await store.jobFacts(id!))?.line).toEqual(placeInLine(0, 3))
    })

    test('has the highest priority that waits in its queue', async () => {
      const { store } = await open()
      const others = [aJob({ priority: 5 }), aJob({ priority: 3 }), aJob({ queue: 'b', priority: 9 })]
      const [low] = ids(await store.enqueue([aJob({ priority: -10 }), ...others]))

      const before = (await store.jobFacts(low!))?.line
      await store.lease({ limit: 3, wait: false })

      expect([before?.highest, before?.higher.count]).toEqual([5, 2])
      expect((await store.jobFacts(low!))?.line?.highest).toBe(-10)
    })

    test('counts to a limit, and says that there are more', async () => {
      const { store } = await open({ maxQueueDepth: 20_000 })
      for (let i = 0; i < 10; i++) await store.enqueue(Array.from({ length: 1_000 }, () => aJob({ priority: i % 2 })))
      const [last, afterLast] = ids(await store.enqueue([aJob(), aJob()]))

      expect((await store.jobFacts(last!))?.line?.ahead).toEqual({ count: 10_000, more: false })
      expect((await store.jobFacts(afterLast!))?.line?.ahead).toEqual({ count: 10_000, more: true })
    })

    test('says where it was set aside, out of the queue', async () => {
      const { store } = await open()
      const [aside, behind] = ids(await store.enqueue([aJob({ type: 'nobody' }), aJob(), aJob()]))
      const before = (await store.jobFacts(behind!))?.line
      await store.lease({ limit: 1, wait: true })

      expect(before).toEqual(placeInLine(1, 1))
      expect(await store.jobFacts(aside!)).toMatchObject({ isUnhandled: true, line: null })
    })

    test('gives the last failed attempt, even after later events', async () => {
      const opened = await open()
      const { store, clock } = opened
      const [id] = ids(await store.enqueue([aJob({ maxAttempts: 3 })]))
      for (const message of ['first', 'second']) {
        const [job] = await store.lease({ limit: 1, wait: false })
        await settle(store, job!, 'start')
        await store.apply([{ ...leaseOf(job!), event: 'fail', delayMs: 5, error: { name: 'Error', message } }])
        clock.advance(5)
        await store.sweep()
      }
      const [job] = await store.lease({ limit: 1, wait: false })
      await settle(store, job!, 'start', 'succeed')

      const { lastEvent, lastFailure } = (await store.jobFacts(id!))!

      expect(lastEvent).toMatchObject({ event: 'succeed', error: null })
      expect(lastFailure).toMatchObject({ event: 'fail', attempt: 2, error: { name: 'Error', message: 'second' } })
    })

    test('counts crashes, but not leases that expired before the handler was called', async () => {
      let node = await open()
      const [id] = ids(await node.store.enqueue([aJob({ maxAttempts: 9 })]))
      const crash = async (...events: LeaseEvent['event'][]) => {
        const [job] = await node.store.lease({ limit: 1, wait: false })
        await settle(node.store, job!, ...events)
        node = await node.endNode()
      }

      await crash()
      const unstarted = await node.store.jobFacts(id!)
      await crash('start')
      await crash('start')

      expect(unstarted).toMatchObject({ job: { crashes: 0 }, lastFailure: null, lastEvent: { event: 'expire' } })
      expect(await node.store.jobFacts(id!)).toMatchObject({
        job: { crashes: 2, attempt: 0 },
        isSuspect: true,
        line: null,
        lastFailure: { event: 'expire', attempt: 0 },
      })
    })

    test('says which suspects come before it, and which of them runs alone', async () => {
      let node: Node = await open()
      const suspects = ids(await node.store.enqueue([aJob(), aJob()]))
      for (let crashes = 0; crashes < 2; crashes++) {
        await node.store.lease({ limit: 2, wait: false, start: true })
        node = await node.endNode()
      }
      const { store } = node
      const [other] = ids(await store.enqueue([aJob()]))
      const ahead = async (id: number) => (await store.jobFacts(id))!.suspectsAhead.count
      const before = await Promise.all([...suspects, other!].map(ahead))

      await store.lease({ limit: 3, wait: false, start: true })

      const { startedAt, crashes } = (await store.find(suspects[0]!))!
      const exclusive = { id: suspects[0]!, crashes, startedAt, timeoutMs: null }
      expect(before).toEqual([0, 1, 2])
      expect(await store.jobFacts(suspects[1]!)).toMatchObject({
        isSuspect: true,
        suspectsAhead: { count: 0 },
        exclusive,
      })
      expect(await store.jobFacts(other!)).toMatchObject({ isSuspect: false, suspectsAhead: { count: 1 }, exclusive })
    })
  })
}

function placeInLine(ahead: number, queues: number): JobFacts['line'] {
  return {
    ahead: { count: ahead, more: false },
    higher: { count: 0, more: false },
    highest: expect.any(Number),
    queues: { count: queues, more: false },
  }
}
