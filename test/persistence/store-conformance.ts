import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventTypes, findEdge, jobStates } from '../../src/machines/edges.ts'
import type { EventType, JobState } from '../../src/machines/job.ts'
import type { EnqueueResult, JobRow, LeasedJob, LeaseEvent, Situation, Store } from '../../src/persistence/store.ts'
import { aJob, leaseMs, type OpenedStore } from '../support/store.ts'
import { cleanUp } from '../support/temp.ts'

/** The contract of Store. An implementation that passes is a store; one that does not is not. Each test opens a store of its own. */
export function testStore(
  name: string,
  open: (given?: { maxQueueDepth?: number; retentionMs?: number }) => Promise<OpenedStore>,
): void {
  describe(`${name} store`, () => {
    describe.each(jobStates)('a %s job', (from) => {
      // One store for all of them: each test takes its job out of the way.
      let opened: OpenedStore
      beforeAll(async () => {
        opened = await open()
      })
      afterAll(cleanUp)

      for (const event of eventTypes.filter((type) => type !== 'enqueue')) {
        for (const maxAttempts of from === 'retrying' ? [2, 3] : [1, 2, 3]) {
          const attempt = attemptIn(from)
          const to = findEdge(from, { type: event } as never, { attempt, maxAttempts })?.to
          const behaviour = to ? `becomes ${to} on ${event}` : `ignores ${event}`
          test(`${behaviour}, attempt ${attempt} of ${maxAttempts}`, async () => {
            const job = await bringTo(opened, from, maxAttempts)
            const before = await opened.store.find(job.id)

            await send(opened, job, event)

            const after = await opened.store.find(job.id)
            const history = await opened.store.history(job.id, { after: 0, limit: 100 })
            // A first crash is due again in the same transaction.
            const promoted = to === 'retrying' && event === 'expire'
            expect(after?.state).toBe(promoted ? 'queued' : (to ?? from))
            expect(history?.at(-1)).toMatchObject({ to: after?.state, attempt: after?.attempt })
            expect(history?.map(({ seq }) => seq)).toEqual(history?.map((_, index) => index + 1))
            if (!to) expect(after).toEqual(before)
            await opened.store.cancel(job.id)
          })
        }
      }
    })

    describe('enqueue', () => {
      test('stores what it was given', async () => {
        const { store, clock } = await open()
        const given = aJob({
          payload: '{"n":[1,"é"]}',
          priority: 7,
          queue: 'mail',
          timeoutMs: 50,
          idempotency: { key: 'k', content: 'c' },
        })

        const [id] = ids(await store.enqueue([given]))

        expect(await store.find(id!)).toEqual({
          id,
          type: 'work',
          queue: 'mail',
          state: 'queued',
          priority: 7,
          payload: '{"n":[1,"é"]}',
          attempt: 0,
          maxAttempts: 2,
          idempotencyKey: 'k',
          timeoutMs: 50,
          runAt: clock.now(),
          createdAt: clock.now(),
          startedAt: null,
          finishedAt: null,
          error: null,
        } satisfies Record<keyof JobRow, unknown>)
      })

      test('gives rising ids in the order of the array', async () => {
        const { store } = await open()

        const first = ids(await store.enqueue([aJob({ payload: '0' }), aJob({ payload: '1' }), aJob({ payload: '2' })]))
        const second = ids(await store.enqueue([aJob()]))

        expect(first).toEqual([...first].sort((a, b) => a - b))
        expect(second[0]).toBeGreaterThan(first[2]!)
        expect((await store.find(first[1]!))?.payload).toBe('1')
      })

      test('schedules what has a run_at or a delay ahead, and queues what has them behind', async () => {
        const { store, clock } = await open()
        const now = clock.now()

        const jobs = [
          aJob({ runAt: now + 1 }),
          aJob({ delayMs: 1 }),
          aJob({ runAt: now }),
          aJob({ runAt: now - 1 }),
          aJob({ delayMs: 0 }),
        ]
        const stored = await store.enqueue(jobs)

        expect(rows(stored).map(({ state }) => state)).toEqual(['scheduled', 'scheduled', 'queued', 'queued', 'queued'])
        expect((await store.find(rows(stored)[3]!.id))?.runAt).toBe(now)
      })

      test('answers a used key with the first job, whatever its state', async () => {
        const opened = await open()
        const keyed = aJob({ idempotency: { key: 'k', content: 'same' } })
        const [first] = ids(await opened.store.enqueue([keyed]))
        const [job] = await opened.store.lease({ room: 1, wait: false })
        await settle(opened.store, job!, 'start', 'succeed')

        const again = await opened.store.enqueue([keyed])

        expect(rows(again)).toEqual([{ id: first, state: 'succeeded', created: false }])
      })

      test('makes one job of a hundred calls at once with one key', async () => {
        const { store } = await open()
        const keyed = aJob({ idempotency: { key: 'k', content: 'same' } })

        const all = await Promise.all(Array.from({ length: 100 }, () => store.enqueue([keyed])))

        expect(new Set(all.flatMap(ids)).size).toBe(1)
        expect(all.flatMap(rows).filter(({ created }) => created)).toHaveLength(1)
      })

      test('makes one job of two items of one array with one key', async () => {
        const { store } = await open()
        const keyed = aJob({ idempotency: { key: 'k', content: 'same' } })

        const stored = rows(await store.enqueue([aJob(), keyed, keyed]))

        expect(stored.map(({ created }) => created)).toEqual([true, true, false])
        expect(stored[2]!.id).toBe(stored[1]!.id)
      })

      test('refuses all of an array where one key belongs to other content, and names its job', async () => {
        const { store } = await open()
        const [first] = ids(await store.enqueue([aJob({ idempotency: { key: 'k', content: 'one' } })]))

        const refused = await store.enqueue([aJob(), aJob({ idempotency: { key: 'k', content: 'two' } })])

        expect(refused).toEqual({ outcome: 'conflict', index: 1, id: first })
        expect((await store.list({ limit: 10 })).jobs).toHaveLength(1)
      })

      test('refuses a key used with other content by a call that shares its commit', async () => {
        const { store } = await open()

        const [one, two] = await Promise.all([
          store.enqueue([aJob({ idempotency: { key: 'k', content: 'one' } })]),
          store.enqueue([aJob({ idempotency: { key: 'k', content: 'two' } })]),
        ])

        expect(two).toEqual({ outcome: 'conflict', index: 0, id: ids(one)[0] })
      })

      test('refuses a call that would pass the bound on waiting jobs, whole', async () => {
        const { store } = await open({ maxQueueDepth: 3 })
        await store.enqueue([aJob(), aJob({ delayMs: 1_000 })])

        const refused = await store.enqueue([aJob(), aJob()])
        const accepted = await store.enqueue([aJob()])

        expect(refused).toEqual({ outcome: 'full', depth: 2 })
        expect(accepted.outcome).toBe('stored')
      })

      test('holds calls that share a commit to the bound together', async () => {
        const { store } = await open({ maxQueueDepth: 3 })

        const all = await Promise.all(Array.from({ length: 5 }, () => store.enqueue([aJob()])))

        expect(all.map(({ outcome }) => outcome)).toEqual(['stored', 'stored', 'stored', 'full', 'full'])
      })

      test('refuses of calls that share a commit just those that there is no room for', async () => {
        const { store } = await open({ maxQueueDepth: 3 })
        const call = (count: number) => store.enqueue(Array.from({ length: count }, () => aJob()))

        const all = await Promise.all([call(2), call(2), call(0), call(1), call(1)])

        expect(all).toMatchObject([
          { outcome: 'stored', jobs: [{ id: 1 }, { id: 2 }] },
          { outcome: 'full', depth: 2 },
          { outcome: 'stored', jobs: [] },
          { outcome: 'stored', jobs: [{ id: 3 }] },
          { outcome: 'full', depth: 3 },
        ])
      })

      test('gives rising ids in the order of the calls, whether they have keys or not', async () => {
        const { store } = await open()
        const keyed = (key: string) => aJob({ idempotency: { key, content: key } })

        const all = await Promise.all([
          store.enqueue([aJob()]),
          store.enqueue([keyed('a')]),
          store.enqueue([aJob(), keyed('b')]),
          store.enqueue([keyed('c')]),
          store.enqueue([aJob(), aJob()]),
        ])

        expect(all.map(ids)).toEqual([[1], [2], [3, 4], [5], [6, 7]])
      })

      test('answers each of many calls with its own jobs', async () => {
        const { store } = await open()
        const calls = Array.from({ length: 130 }, (_, call) =>
          Array.from({ length: call % 4 }, (_, index) =>
            aJob({ payload: `[${call},${index}]`, delayMs: call % 3 ? null : 1_000 + index }),
          ),
        )

        const answers = await Promise.all(calls.map((jobs) => store.enqueue(jobs)))

        for (const [call, answer] of answers.entries()) {
          expect(rows(answer)).toHaveLength(call % 4)
          for (const [index, { id, state }] of rows(answer).entries()) {
            const found = await store.find(id)
            expect([found?.payload, found?.state]).toEqual([`[${call},${index}]`, state])
            expect(state).toBe(call % 3 ? 'queued' : 'scheduled')
          }
        }
      })
    })

    describe('lease', () => {
      test('waits for a job to come', async () => {
        const { store } = await open()
        const waiting = store.lease({ room: 5, wait: true })

        const [id] = ids(await store.enqueue([aJob()]))

        expect((await waiting).map((job) => job.id)).toEqual([id])
      })

      test('answers at once where it is not to wait', async () => {
        const { store } = await open()

        expect(await store.lease({ room: 5, wait: false })).toEqual([])
      })

      test('answers those who wait with nothing once leasing has stopped', async () => {
        const { store } = await open()
        const waiting = store.lease({ room: 5, wait: true })

        await store.stopLeasing()
        await store.enqueue([aJob()])

        expect(await waiting).toEqual([])
        expect(await store.lease({ room: 5, wait: true })).toEqual([])
      })

      test('takes higher priority first, then earlier run_at, then lower id', async () => {
        const { store, clock } = await open()
        const [late, low, first, second, high] = ids(
          await store.enqueue([
            aJob({ runAt: clock.now() + 20 }),
            aJob({ priority: -1 }),
            aJob(),
            aJob(),
            aJob({ priority: 100 }),
          ]),
        )
        clock.advance(20)
        await store.sweep()

        const leased = await store.lease({ room: 10, wait: false })

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
          const [job] = await store.lease({ room: 1, wait: false })
          turns.push((await store.find(job!.id))!.queue)
        }
        const together = await store.lease({ room: 4, wait: false })

        expect(turns).toEqual(['a', 'm', 'z', 'a', 'z', 'a'])
        expect(together).toHaveLength(4)
      })

      test('shares room among queues and gives what one leaves to the others', async () => {
        const { store } = await open()
        await store.enqueue([...Array.from({ length: 20 }, () => aJob({ queue: 'a' })), aJob({ queue: 'b' })])

        const leased = await store.lease({ room: 10, wait: false })

        const queues = await Promise.all(leased.map(async ({ id }) => (await store.find(id))!.queue))
        expect(queues.slice(0, 2).sort()).toEqual(['a', 'b'])
        expect(queues.filter((queue) => queue === 'a')).toHaveLength(9)
      })

      test('puts jobs without a handler here aside, says so, and reaches those behind them', async () => {
        const { store, notices } = await open()
        const unhandled = ids(
          await store.enqueue(Array.from({ length: 3 }, () => aJob({ type: 'nobody', priority: 9 }))),
        )
        const [id] = ids(await store.enqueue([aJob()]))

        const leased = await store.lease({ room: 1, wait: true })

        expect(leased.map((job) => job.id)).toEqual([id])
        expect(notices).toEqual([{ type: 'unhandled', types: ['nobody'], count: 3 }])
        expect((await store.find(unhandled[0]!))?.state).toBe('queued')
      })
    })

    describe('lease with start', () => {
      test('starts what it leases in the same commit: both are in the history, and the attempt is counted', async () => {
        const { store, clock } = await open()
        await store.enqueue([aJob(), aJob()])

        const leased = await store.lease({ room: 2, wait: false, start: true })

        expect(leased).toMatchObject([
          { id: 1, leaseToken: 2, attempt: 0 },
          { id: 2, leaseToken: 2, attempt: 0 },
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

      test('gives leases that hold, are renewed, and settle', async () => {
        const { store, clock } = await open()
        await store.enqueue([aJob()])
        const [job] = await store.lease({ room: 1, wait: false, start: true })

        clock.advance(leaseMs * 2)
        await store.sweep()
        const refused = await store.apply([{ ...leaseOf(job!), event: 'succeed' }])

        expect(refused).toEqual([])
        expect(await store.find(job!.id)).toMatchObject({ state: 'succeeded', attempt: 1 })
      })

      test('starts for those alone who said so', async () => {
        const { store } = await open()
        const waiting = [
          store.lease({ room: 1, wait: true }),
          store.lease({ room: 1, wait: true, start: true }),
          store.lease({ room: 1, wait: true }),
        ]

        await store.enqueue([aJob(), aJob(), aJob()])
        await Promise.all(waiting)

        const states = await Promise.all([1, 2, 3].map(async (id) => (await store.find(id))?.state))
        expect(states).toEqual(['leased', 'running', 'leased'])
      })
    })

    describe('a lease', () => {
      test('is lost by a worker that was silent too long, and its late outcome is refused', async () => {
        const opened = await open()
        const { store, clock } = opened
        await store.enqueue([aJob()])
        const [slow] = await store.lease({ room: 1, wait: false })
        await settle(store, slow!, 'start')
        await store.abandon([slow!])
        clock.advance(leaseMs)
        await store.sweep()
        const [next] = await store.lease({ room: 1, wait: false })
        await settle(store, next!, 'start')

        const late: LeaseEvent = { id: slow!.id, leaseToken: slow!.leaseToken, event: 'succeed' }

        expect(next!.leaseToken).toBeGreaterThan(slow!.leaseToken)
        expect(await store.apply([late])).toEqual([late])
        expect(await store.find(next!.id)).toMatchObject({ state: 'running', attempt: 2 })
      })

      test('holds until its last millisecond', async () => {
        const { store, clock } = await open()
        await store.enqueue([aJob()])
        const [job] = await store.lease({ room: 1, wait: false })
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
        const [slow] = await store.lease({ room: 1, wait: false })
        await store.abandon([slow!])
        clock.advance(leaseMs)
        await store.sweep()
        const [next] = await store.lease({ room: 1, wait: false })
        await store.apply([{ ...leaseOf(slow!), event: 'start' }])

        clock.advance(leaseMs)
        await store.sweep()

        expect(await store.apply([{ ...leaseOf(next!), event: 'start' }])).toEqual([])
      })

      test('of a live worker outlives any jump of the clock', async () => {
        const { store, clock } = await open()
        await store.enqueue([aJob()])
        const [job] = await store.lease({ room: 1, wait: false })
        await settle(store, job!, 'start')

        clock.advance(86_400_000)
        await store.sweep()

        expect(await store.apply([{ ...leaseOf(job!), event: 'succeed' }])).toEqual([])
      })

      test('is taken away by a cancellation, which the holder is told of', async () => {
        const { store, notices } = await open()
        await store.enqueue([aJob()])
        const [job] = await store.lease({ room: 1, wait: false })
        await settle(store, job!, 'start')

        const cancelled = await store.cancel(job!.id)

        expect(cancelled).toMatchObject({ outcome: 'done', job: { state: 'cancelled' } })
        expect(notices).toEqual([{ type: 'lost', leases: [{ ...leaseOf(job!), cancelled: true }] }])
        const success: LeaseEvent = { ...leaseOf(job!), event: 'succeed' }
        expect(await store.apply([success])).toEqual([success])
      })
    })

    describe('apply', () => {
      test('commits a mixed batch in order and refuses only what is late', async () => {
        const { store } = await open()
        await store.enqueue([aJob(), aJob(), aJob()])
        const [a, b, c] = (await store.lease({ room: 3, wait: false })) as [LeasedJob, LeasedJob, LeasedJob]
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

      test('takes the first of two that are equal, and refuses both where their lease is lost', async () => {
        const { store } = await open()
        await store.enqueue([aJob(), aJob()])
        const [a, b] = (await store.lease({ room: 2, wait: false, start: true })) as [LeasedJob, LeasedJob]
        await store.cancel(b.id)
        const twice = [a, b, a, b].map((job): LeaseEvent => ({ ...leaseOf(job), event: 'succeed' }))

        const refused = await store.apply(twice)

        // The very ones.
        expect(refused.map((event) => twice.indexOf(event))).toEqual([1, 2, 3])
        expect((await store.find(a.id))?.state).toBe('succeeded')
      })

      test('commits what happened to jobs far apart, each with its own error and delay, and refuses what is late', async () => {
        const { store, clock } = await open()
        await store.enqueue(Array.from({ length: 30 }, () => aJob()))
        const leased = await store.lease({ room: 30, wait: false, start: true })
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

      test('keeps the error of the last failed attempt, in the row and in the history', async () => {
        const { store, clock } = await open()
        await store.enqueue([aJob()])
        const [first] = await store.lease({ room: 1, wait: false })
        const error = { name: 'TypeError', message: 'it "broke"\n' }
        await store.apply([{ ...leaseOf(first!), event: 'start' }])
        await store.apply([{ ...leaseOf(first!), event: 'fail', delayMs: 1_000, error }])

        clock.advance(1_000)
        await store.sweep()
        const [second] = await store.lease({ room: 1, wait: false })
        await settle(store, second!, 'start', 'succeed')

        expect(await store.find(first!.id)).toMatchObject({ state: 'succeeded', attempt: 2, error })
        const history = await store.history(first!.id, { after: 3, limit: 2 })
        expect(history?.map(({ seq, event, error }) => ({ seq, event, error }))).toEqual([
          { seq: 4, event: 'fail', error },
          { seq: 5, event: 'due', error: null },
        ])
      })

      test('gives the attempt back on snooze and on release', async () => {
        const { store, clock } = await open()
        await store.enqueue([aJob()])
        const [job] = await store.lease({ room: 1, wait: false })
        await store.apply([{ ...leaseOf(job!), event: 'start' }])
        await store.apply([{ ...leaseOf(job!), event: 'snooze', delayMs: 500 }])

        expect(await store.find(job!.id)).toMatchObject({ state: 'scheduled', attempt: 0, runAt: clock.now() + 500 })
        clock.advance(500)
        await store.sweep()
        const [again] = await store.lease({ room: 1, wait: false })
        await settle(store, again!, 'start', 'release')
        expect(await store.find(job!.id)).toMatchObject({ state: 'queued', attempt: 0 })
      })
    })

    describe('what is due', () => {
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
        const [id] = ids(await store.enqueue([aJob({ delayMs: 10_000 })]))

        clock.advance(10_000)
        await store.sweep()

        expect((await store.find(id!))?.state).toBe('queued')
      })

      test('is all queued, however much there is', async () => {
        const { store, clock } = await open()
        for (let i = 0; i < 3; i++) await store.enqueue(Array.from({ length: 1_000 }, () => aJob({ delayMs: 60_000 })))

        clock.advance(60_000)
        for (let i = 0; i < 3; i++) await store.sweep()

        expect(await countIn(store, 'queued')).toBe(3_000)
      })
    })

    describe('recovery', () => {
      test('moves all on, however many there are', async () => {
        const { store } = await open()
        await store.enqueue(Array.from({ length: 2_500 }, () => aJob()))
        await store.lease({ room: 2_500, wait: false })

        expect(await store.recoverOrphans()).toEqual({ leased: 2_500, running: 0 })
        expect(await countIn(store, 'queued')).toBe(2_500)
      })

      test('queues what was leased without counting an attempt, and what ran, its attempt counted', async () => {
        const { store } = await open()
        await store.enqueue([aJob(), aJob(), aJob({ maxAttempts: 1 })])
        const [a, b, c] = await store.lease({ room: 3, wait: false })
        await settle(store, b!, 'start')
        await settle(store, c!, 'start')

        expect(await store.recoverOrphans()).toEqual({ leased: 1, running: 2 })

        const found = await Promise.all([a, b, c].map((job) => store.find(job!.id)))
        expect(found.map((job) => [job?.state, job?.attempt])).toEqual([
          ['queued', 0],
          ['queued', 1],
          ['dead', 1],
        ])
        expect(found[1]?.error?.message).toMatch(/process that ran it ended/)
      })

      test('lets jobs come back one after another from their second crash on', async () => {
        const { store, clock } = await open()
        await store.enqueue(Array.from({ length: 3 }, () => aJob({ maxAttempts: 4 })))
        const crash = async () => {
          for (const job of await store.lease({ room: 3, wait: false })) await settle(store, job, 'start')
          await store.recoverOrphans()
        }

        await crash()
        const afterFirst = await countIn(store, 'queued')
        await crash()

        const { jobs } = await store.list({ limit: 3 })
        expect(afterFirst).toBe(3)
        expect(jobs.map(({ state, runAt }) => [state, runAt - clock.now()]).reverse()).toEqual([
          ['retrying', 1_000],
          ['retrying', 2_000],
          ['retrying', 3_000],
        ])
      })
    })

    describe('commands', () => {
      test('say which state refused them', async () => {
        const opened = await open()
        const job = await bringTo(opened, 'succeeded', 1)

        expect(await opened.store.cancel(job.id)).toEqual({ outcome: 'refused', state: 'succeeded' })
        expect(await opened.store.requeue(job.id)).toEqual({ outcome: 'refused', state: 'succeeded' })
        expect(await opened.store.cancel(999)).toEqual({ outcome: 'unknown' })
      })

      test('requeue begins anew', async () => {
        const opened = await open()
        const job = await bringTo(opened, 'dead', 1)
        opened.clock.advance(5)

        await opened.store.requeue(job.id)

        const found = await opened.store.find(job.id)
        expect(found).toMatchObject({
          state: 'queued',
          attempt: 0,
          runAt: opened.clock.now(),
          startedAt: null,
          finishedAt: null,
        })
      })
    })

    describe('the situation of a job', () => {
      test('is its row, its last event and who serves the file', async () => {
        const { store, clock } = await open()
        const [id] = ids(await store.enqueue([aJob({ queue: 'mail', priority: 3, timeoutMs: 50 })]))

        expect(await store.situation(id!)).toEqual({
          job: {
            id: id!,
            type: 'work',
            queue: 'mail',
            state: 'queued',
            priority: 3,
            attempt: 0,
            maxAttempts: 2,
            timeoutMs: 50,
            runAt: clock.now(),
            startedAt: null,
            finishedAt: null,
          },
          isParked: false,
          lease: null,
          lastEvent: { seq: 1, event: 'enqueue', from: null, to: 'queued', attempt: 0, at: clock.now(), error: null },
          lastFailure: null,
          crashes: 0,
          line: placeInLine(0, 1),
          owner: { pid: process.pid, host: 'test', startedAt: '2030-01-01T00:00:00.000Z' },
        } satisfies Situation)
      })

      test.each(jobStates)('has a lease exactly where it is held: %s', async (state) => {
        const opened = await open()
        const job = await bringTo(opened, state, 2)

        const situation = await opened.store.situation(job.id)

        const isHeld = state === 'leased' || state === 'running'
        const lease = { token: job.leaseToken, expiresAt: opened.clock.now() + leaseMs }
        expect(situation?.lease).toEqual(isHeld ? lease : null)
        expect(situation?.lastEvent.to).toBe(state)
        expect(situation?.line).toEqual(state === 'queued' ? placeInLine(0, 1) : null)
      })

      test('is unknown where there is no such job', async () => {
        const { store } = await open()

        expect(await store.situation(1)).toBeUndefined()
      })

      test('counts those that a lease takes before it, and no others', async () => {
        const { store, clock } = await open()
        const line = ids(
          await store.enqueue([
            aJob({ runAt: clock.now() + 20 }),
            aJob({ priority: -1 }),
            aJob(),
            aJob(),
            aJob({ priority: 100 }),
            aJob({ queue: 'other', priority: 100 }),
            aJob({ delayMs: 1e9 }),
          ]),
        )
        clock.advance(20)
        await store.sweep()
        const ahead = async (id: number) => (await store.situation(id))?.line?.ahead.count

        const places = await Promise.all(line.slice(0, 5).map(ahead))
        const leased = await store.lease({ room: 10, wait: false })

        const queue = leased.map(({ id }) => id).filter((id) => line.indexOf(id) < 5)
        expect(places).toEqual(line.slice(0, 5).map((id) => queue.indexOf(id)))
      })

      test('counts the queues that take turns', async () => {
        const { store } = await open()
        const [id] = ids(await store.enqueue(['a', 'b', 'b', 'c'].map((queue) => aJob({ queue }))))

        expect((await store.situation(id!))?.line).toEqual(placeInLine(0, 3))
      })

      test('counts to a bound, and says that there are more', async () => {
        const { store } = await open({ maxQueueDepth: 20_000 })
        for (let i = 0; i < 10; i++) await store.enqueue(Array.from({ length: 1_000 }, () => aJob({ priority: i % 2 })))
        const [last, afterLast] = ids(await store.enqueue([aJob(), aJob()]))

        expect((await store.situation(last!))?.line?.ahead).toEqual({ count: 10_000, more: false })
        expect((await store.situation(afterLast!))?.line?.ahead).toEqual({ count: 10_000, more: true })
      })

      test('says where it was put aside, out of line', async () => {
        const { store } = await open()
        const [aside, behind] = ids(await store.enqueue([aJob({ type: 'nobody' }), aJob(), aJob()]))
        const before = (await store.situation(behind!))?.line
        await store.lease({ room: 1, wait: true })

        expect(before).toEqual(placeInLine(1, 1))
        expect(await store.situation(aside!)).toMatchObject({ isParked: true, line: null })
      })

      test('tells the last failed attempt, also after what came since', async () => {
        const opened = await open()
        const { store, clock } = opened
        const [id] = ids(await store.enqueue([aJob({ maxAttempts: 3 })]))
        for (const message of ['first', 'second']) {
          const [job] = await store.lease({ room: 1, wait: false })
          await settle(store, job!, 'start')
          await store.apply([{ ...leaseOf(job!), event: 'fail', delayMs: 5, error: { name: 'Error', message } }])
          clock.advance(5)
          await store.sweep()
        }
        const [job] = await store.lease({ room: 1, wait: false })
        await settle(store, job!, 'start', 'succeed')

        const { lastEvent, lastFailure } = (await store.situation(id!))!

        expect(lastEvent).toMatchObject({ event: 'succeed', error: null })
        expect(lastFailure).toMatchObject({ event: 'fail', attempt: 2, error: { name: 'Error', message: 'second' } })
      })

      test('counts crashes, and not leases that ran out before the handler was called', async () => {
        const { store } = await open()
        const [id] = ids(await store.enqueue([aJob({ maxAttempts: 9 })]))
        const crash = async (...events: LeaseEvent['event'][]) => {
          const [job] = await store.lease({ room: 1, wait: false })
          await settle(store, job!, ...events)
          await store.recoverOrphans()
        }

        await crash()
        const unstarted = await store.situation(id!)
        await crash('start')
        await crash('start')

        expect(unstarted).toMatchObject({ crashes: 0, lastFailure: null, lastEvent: { event: 'expire' } })
        expect(await store.situation(id!)).toMatchObject({ crashes: 2, lastFailure: { event: 'expire', attempt: 2 } })
      })
    })

    describe('a command for many jobs', () => {
      test('moves those that the machine lets take it, and tells which', async () => {
        const opened = await open()
        const jobs = new Map<JobState, number>()
        for (const state of queuedLast) jobs.set(state, (await bringTo(opened, state, 2)).id)
        const all = [...jobs.values()]

        const cancelled = await opened.store.command('cancel', [999, ...all])
        const requeued = await opened.store.command('requeue', [...all].reverse())

        const inStates = (...states: JobState[]) => states.map((state) => jobs.get(state)!).sort((a, b) => a - b)
        expect(cancelled).toEqual(inStates('scheduled', 'queued', 'leased', 'running', 'retrying'))
        expect(requeued).toEqual([...cancelled, ...inStates('dead', 'cancelled')].sort((a, b) => a - b))
        expect(await countIn(opened.store, 'queued')).toBe(7)
        expect((await opened.store.find(jobs.get('succeeded')!))?.state).toBe('succeeded')
        for (const id of all) {
          const history = await opened.store.history(id, { after: 0, limit: 100 })
          expect(history?.map(({ seq }) => seq)).toEqual(history?.map((_, index) => index + 1))
        }
      })

      test('leaves those that are no longer in the state it is for', async () => {
        const opened = await open()
        const { id: running } = await bringTo(opened, 'running', 2)
        const { id: scheduled } = await bringTo(opened, 'scheduled', 2)

        const moved = await opened.store.command('cancel', [running, scheduled], 'scheduled')

        expect(moved).toEqual([scheduled])
        expect((await opened.store.find(running))?.state).toBe('running')
      })

      test('moves a job that it names twice once', async () => {
        const opened = await open()
        const { id } = await bringTo(opened, 'dead', 1)

        expect(await opened.store.command('requeue', [id, id])).toEqual([id])
        expect((await opened.store.history(id, { after: 0, limit: 100 }))?.at(-1)).toMatchObject({ seq: 5 })
      })

      test('moves nothing where none is named or known', async () => {
        const { store } = await open()

        expect(await store.command('cancel', [])).toEqual([])
        expect(await store.command('requeue', [1, 2, 3])).toEqual([])
      })

      test('takes the leases of all that it cancels, whose holder is told of just those, and refuses what comes late', async () => {
        const { store, notices } = await open()
        await store.enqueue([aJob(), aJob(), aJob(), aJob({ delayMs: 1_000 })])
        const [a, b, c] = (await store.lease({ room: 3, wait: false })) as [LeasedJob, LeasedJob, LeasedJob]
        await settle(store, a, 'start')
        await settle(store, c, 'start', 'succeed')

        const moved = await store.command('cancel', [a.id, b.id, c.id, c.id + 1])

        expect(moved).toEqual([a.id, b.id, c.id + 1])
        expect(notices).toEqual([{ type: 'lost', leases: [a, b].map((job) => ({ ...leaseOf(job), cancelled: true })) }])
        const late: LeaseEvent[] = [
          { ...leaseOf(a), event: 'succeed' },
          { ...leaseOf(b), event: 'start' },
        ]
        expect(await store.apply(late)).toEqual(late)
      })

      test('hands what it requeues to leases that wait', async () => {
        const opened = await open()
        const { id } = await bringTo(opened, 'dead', 1)
        const waiting = opened.store.lease({ room: 5, wait: true })

        await opened.store.command('requeue', [id])

        expect((await waiting).map((job) => job.id)).toEqual([id])
      })
    })

    describe('what a command would move', () => {
      test('is what matches and is in a state that takes it, newest first, page by page', async () => {
        const opened = await open()
        const { store } = opened
        const jobs = new Map<JobState, number>()
        for (const state of queuedLast) jobs.set(state, (await bringTo(opened, state, 2)).id)
        await store.enqueue([aJob({ type: 'other', queue: 'mail' })])
        const last = jobs.get('queued')!

        const first = await store.matching({ command: 'cancel', type: 'work', limit: 3 })
        const second = await store.matching({ command: 'cancel', type: 'work', limit: 3, before: first.next! })

        const states = ['scheduled', 'leased', 'running', 'retrying', 'queued'] as const
        expect([...first.ids, ...second.ids]).toEqual(states.map((state) => jobs.get(state)!).sort((a, b) => b - a))
        expect([first.from, second.next]).toEqual([last + 1, null])
        expect((await store.matching({ command: 'requeue', limit: 9 })).ids).toHaveLength(2)
        expect((await store.matching({ command: 'requeue', state: 'dead', limit: 9 })).ids).toEqual([jobs.get('dead')])
        expect((await store.matching({ command: 'requeue', state: 'queued', limit: 9 })).ids).toEqual([])
        expect(await store.matching({ command: 'cancel', before: 1, limit: 9 })).toEqual({
          ids: [],
          from: null,
          next: null,
        })
      })
    })

    describe('counts', () => {
      test('are what the jobs add up to', async () => {
        const opened = await open()
        for (const state of queuedLast) await bringTo(opened, state, 2)

        const { jobs } = await opened.store.list({ limit: 100 })

        for (const state of jobStates) {
          expect([state, await countIn(opened.store, state)]).toEqual([
            state,
            jobs.filter((job) => job.state === state).length,
          ])
        }
      })
    })

    describe('the path of a job', () => {
      test('is every edge that it took, how often, the last one last', async () => {
        const { store } = await open()
        const [id] = ids(await store.enqueue([aJob({ maxAttempts: 2 })]))
        for (let attempt = 1; attempt <= 2; attempt++) {
          await store.sweep()
          const [job] = await store.lease({ room: 1, wait: false })
          await settle(store, job!, 'start', 'fail')
        }

        const path = await store.pathOf(id!, Number.MAX_SAFE_INTEGER)

        expect(path).toEqual({
          seq: 8,
          since: 1,
          steps: [
            { from: null, event: 'enqueue', to: 'queued', count: 1 },
            { from: 'running', event: 'fail', to: 'retrying', count: 1 },
            { from: 'retrying', event: 'due', to: 'queued', count: 1 },
            { from: 'queued', event: 'lease', to: 'leased', count: 2 },
            { from: 'leased', event: 'start', to: 'running', count: 2 },
            { from: 'running', event: 'fail', to: 'dead', count: 1 },
          ],
        })
      })

      test('ends where it is asked to, or where the job is', async () => {
        const { store } = await open()
        const [id, other] = ids(await store.enqueue([aJob(), aJob({ delayMs: 1_000 })]))
        const [job] = await store.lease({ room: 1, wait: false })
        await settle(store, job!, 'start', 'succeed')

        const leased = await store.pathOf(id!, 2)
        const beyond = await store.pathOf(other!, 99)

        expect([leased?.seq, leased?.steps.at(-1)]).toEqual([
          2,
          { from: 'queued', event: 'lease', to: 'leased', count: 1 },
        ])
        expect([beyond?.seq, beyond?.steps.length]).toEqual([1, 1])
      })

      test('is none of an unknown job', async () => {
        const { store } = await open()

        expect(await store.pathOf(1, 1)).toBeUndefined()
      })
    })

    describe('transitions', () => {
      test('are those of all jobs in the order of their commits, as each history has them', async () => {
        const { store, clock } = await open()
        const [a, b] = ids(await store.enqueue([aJob(), aJob({ type: 'other', queue: 'mail', delayMs: 60_000 })]))
        const [job] = await store.lease({ room: 1, wait: false })
        clock.advance(5)
        await settle(store, job!, 'start', 'reject')
        await store.cancel(b!)

        const { transitions, last } = await store.transitions({ after: 0, limit: 100 })

        const whose = transitions.map(({ jobId, type, queue, event }) => [jobId, type, queue, event])
        expect(whose).toEqual([
          [a, 'work', 'default', 'enqueue'],
          [b, 'other', 'mail', 'enqueue'],
          [a, 'work', 'default', 'lease'],
          [a, 'work', 'default', 'start'],
          [a, 'work', 'default', 'reject'],
          [b, 'other', 'mail', 'cancel'],
        ])
        const transitionIds = transitions.map(({ id }) => id)
        expect(transitionIds).toEqual([...new Set(transitionIds)].sort((one, other) => one - other))
        expect(last).toBe(transitionIds.at(-1))
        for (const id of [a!, b!]) {
          const own = transitions.filter(({ jobId }) => jobId === id)
          const history = await store.history(id, { after: 0, limit: 100 })
          expect(own.map(({ id: _, jobId: __, type: ___, queue: ____, ...event }) => event)).toEqual(history)
        }
      })

      test('are paged, and go on with those that come', async () => {
        const { store } = await open()
        await store.enqueue([aJob(), aJob(), aJob()])

        const first = await store.transitions({ after: 0, limit: 2 })
        const second = await store.transitions({ after: first.last, limit: 2 })
        const end = await store.transitions({ after: second.last, limit: 2 })
        await store.enqueue([aJob()])
        const more = await store.transitions({ after: end.last, limit: 2 })

        const pages = [first, second, end, more].map(({ transitions }) => transitions.map(({ jobId }) => jobId))
        expect(pages).toEqual([[1, 2], [3], [], [4]])
      })

      test('end with the newest, whatever was asked for', async () => {
        const { store } = await open()
        const after = Number.MAX_SAFE_INTEGER

        const before = await store.transitions({ after, limit: 1 })
        await store.enqueue([aJob(), aJob()])
        const now = await store.transitions({ after, limit: 1 })

        expect(before).toEqual({ transitions: [], last: 0 })
        expect(now.transitions).toEqual([])
        await store.enqueue([aJob()])
        const { transitions } = await store.transitions({ after: now.last, limit: 10 })
        expect(transitions.map(({ jobId }) => jobId)).toEqual([3])
      })

      test('that retention removed are gone, and those after them are not', async () => {
        const opened = await open({ retentionMs: 1_000 })
        const { store, clock } = opened
        const gone = await bringTo(opened, 'succeeded', 1)
        const { last } = await store.transitions({ after: Number.MAX_SAFE_INTEGER, limit: 1 })
        const [kept] = ids(await store.enqueue([aJob()]))
        clock.advance(1_000)
        await store.sweep()

        const { transitions } = await store.transitions({ after: 1, limit: 10 })

        expect(await store.find(gone.id)).toBeUndefined()
        expect(transitions.map(({ jobId, id }) => [jobId, id > last])).toEqual([[kept, true]])
      })
    })

    describe('retention', () => {
      test('removes succeeded and cancelled jobs with their history, and no others', async () => {
        const opened = await open({ retentionMs: 1_000 })
        const kept: number[] = []
        const removed: number[] = []
        for (const state of queuedLast) {
          const { id } = await bringTo(opened, state, 2)
          if (state === 'succeeded' || state === 'cancelled') removed.push(id)
          else kept.push(id)
        }
        const [newest] = ids(await opened.store.enqueue([aJob()]))

        opened.clock.advance(1_000)
        await opened.store.sweep()

        const { jobs } = await opened.store.list({ limit: 100 })
        expect(jobs.map(({ id }) => id).sort((a, b) => a - b)).toEqual([...kept, newest])
        expect(await countIn(opened.store, 'succeeded')).toBe(0)
        for (const id of removed) expect(await opened.store.history(id, { after: 0, limit: 1 })).toBeUndefined()
        // No event is left behind that no job has.
        expect((await opened.store.verify()).violations).toEqual([])
      })

      test('keeps them until they have been ended for long enough', async () => {
        const opened = await open({ retentionMs: 1_000 })
        const job = await bringTo(opened, 'succeeded', 1)
        await opened.store.enqueue([aJob()])

        opened.clock.advance(999)
        await opened.store.sweep()

        expect((await opened.store.find(job.id))?.state).toBe('succeeded')
      })
    })

    describe('list', () => {
      test('pages down the ids, newest first, and ends', async () => {
        const { store } = await open()
        const all = ids(await store.enqueue(Array.from({ length: 5 }, () => aJob())))

        const first = await store.list({ limit: 3 })
        const second = await store.list({ limit: 3, before: first.next! })

        expect([...first.jobs, ...second.jobs].map(({ id }) => id)).toEqual([...all].reverse())
        expect(second.next).toBeNull()
      })

      test('filters by state, type and queue together', async () => {
        const { store } = await open()
        const [, , wanted] = ids(
          await store.enqueue([
            aJob(),
            aJob({ type: 'other' }),
            aJob({ type: 'other', queue: 'mail' }),
            aJob({ queue: 'mail' }),
          ]),
        )

        const { jobs } = await store.list({ limit: 10, state: 'queued', type: 'other', queue: 'mail' })

        expect(jobs.map(({ id }) => id)).toEqual([wanted])
      })

      test('filters by when a job was created: the first instant is in, the last is not', async () => {
        const { store, clock } = await open()
        const at = clock.now()
        const all: number[] = []
        for (let i = 0; i < 4; i++) {
          all.push(...ids(await store.enqueue([aJob()])))
          clock.advance(1)
        }

        const created = async (given: object) => (await store.list({ limit: 10, ...given })).jobs.map(({ id }) => id)

        expect(await created({ createdFrom: at + 1, createdTo: at + 3 })).toEqual([all[2], all[1]])
        expect(await created({ createdFrom: at + 3 })).toEqual([all[3]])
        expect(await created({ createdTo: at + 1 })).toEqual([all[0]])
        expect(await created({ createdFrom: at + 4 })).toEqual([])
      })

      test('finds what a person sees in a payload, and what stands in its JSON, literally', async () => {
        const { store } = await open()
        const all = ids(await store.enqueue(texts.map(([payload]) => aJob({ payload: JSON.stringify(payload) }))))

        const found = await Promise.all(
          texts.map(async ([payload, text], index) => {
            const { jobs } = await store.list({ limit: 100, text })
            return [payload, text, jobs.some(({ id }) => id === all[index])]
          }),
        )

        expect(found).toEqual(texts)
      })

      test('finds a job by its last error, and no longer by one before', async () => {
        const { store } = await open()
        await store.enqueue([aJob(), aJob()])
        const failing = async (message: string) => {
          const [job] = await store.lease({ room: 1, wait: false })
          await settle(store, job!, 'start')
          await store.apply([{ ...leaseOf(job!), event: 'fail', error: { name: 'Error', message } }])
          await store.sweep()
          return job!.id
        }

        const id = await failing('550 "no such user" at\nexample.com')
        const found = async (text: string) => (await store.list({ limit: 10, text })).jobs.map((job) => job.id)

        expect(await found('550 "No Such User"')).toEqual([id])
        expect(await found('at\nexample')).toEqual([id])
        expect(await found("550 'no")).toEqual([])
      })

      test('filters by text and all else together, page by page, none twice and none missed', async () => {
        const { store } = await open()
        const all = ids(
          await store.enqueue(
            Array.from({ length: 300 }, (_, n) =>
              aJob({
                payload: n % 3 ? '"needle"' : '"hay"',
                queue: n % 2 ? 'odd' : 'even',
                type: n % 5 ? 'work' : 'other',
              }),
            ),
          ),
        )
        const wanted = all.filter((_, n) => n % 3 !== 0 && n % 2 === 1 && n % 5 !== 0).reverse()

        const found: number[] = []
        for (let before: number | null | undefined; before !== null; ) {
          const filter = { text: 'needle', queue: 'odd', type: 'work', limit: 7 }
          const page = await store.list({ ...filter, ...(before === undefined ? {} : { before }) })
          found.push(...page.jobs.map(({ id }) => id))
          before = page.next
        }

        expect(found).toEqual(wanted)
      })
    })
  })
}

/** A payload, what is searched for, and whether it is found. */
const texts: [unknown, string, boolean][] = [
  [{ say: 'she said "hi"' }, 'said "hi"', true],
  [{ say: 'hi' }, '"say":"hi"', true],
  [{ say: 'hi' }, 'say: hi', false],
  ['a\nb', 'a\nb', true],
  ['a\nb', 'a b', false],
  ['c:\\new', 'c:\\new', true],
  ['c:\\new', 'C:\\NEW', true],
  ['c:/new', 'c:\\new', false],
  ['tab\there', '\t', true],
  ['nul\0byte', 'nul\0byte', true],
  ['100% of it', '100%', true],
  ['100 of it', '100%', false],
  ['100 of it', '1%it', false],
  ['a_b', 'a_b', true],
  ['axb', 'a_b', false],
  ['a!b', 'a!b', true],
  ['*?[a-z]', '*?[a-z]', true],
  ["it's '--", "'s '--", true],
  ['<script>alert(1)</script>', '<SCRIPT>', true],
  ['MiXeD', 'mIxEd', true],
  ['Straße É', 'straße', true],
  ['É', 'é', false],
  ['grüße 🎈🎈', '🎈🎈', true],
  ['🎈', '🎉', false],
  ['lone \ud83c here', '\ud83c', true],
  ['\u2028', '\u2028', true],
  [{ n: [1, 2.5, null, true] }, '[1,2.5,null,true]', true],
  ['x'.repeat(200), 'x'.repeat(200), true],
  ['x'.repeat(199), 'x'.repeat(200), false],
]

/** A job in `state`; where it has run, its attempts are as far as they can be. */
async function bringTo(opened: OpenedStore, state: JobState, maxAttempts: number): Promise<LeasedJob> {
  const { store, clock } = opened
  const delayed = state === 'scheduled'
  const [id] = ids(
    await store.enqueue([aJob({ maxAttempts, runAt: delayed ? clock.now() + 1e9 : null, priority: 100 })]),
  )
  const unleased = {
    id: id!,
    leaseToken: 0,
    type: 'work',
    payload: '{}',
    attempt: 0,
    maxAttempts,
    timeoutMs: null,
    runAt: 0,
  }
  if (delayed || state === 'queued') return unleased
  if (state === 'cancelled') {
    await store.cancel(id!)
    return unleased
  }
  const [job] = await store.lease({ room: 1, wait: false })
  if (state === 'leased') return job!
  await settle(store, job!, 'start')
  if (state === 'succeeded') await settle(store, job!, 'succeed')
  if (state === 'dead') await settle(store, job!, 'reject')
  if (state === 'retrying') await store.apply([{ ...leaseOf(job!), event: 'fail', delayMs: 1e9 }])
  return job!
}

/** So that a lease takes the job it is meant for. */
const queuedLast = [...jobStates.filter((state) => state !== 'queued'), 'queued' as const]

function attemptIn(state: JobState): number {
  return state === 'running' || state === 'succeeded' || state === 'dead' || state === 'retrying' ? 1 : 0
}

/** Makes `event` happen to the job by whatever way the store has for it. */
async function send({ store, clock }: OpenedStore, job: LeasedJob, event: EventType): Promise<void> {
  switch (event) {
    case 'cancel':
    case 'requeue':
      await store[event](job.id)
      return
    case 'due': {
      const dueAt = (await store.find(job.id))!.runAt
      clock.set(Math.max(clock.now(), dueAt))
      return store.sweep()
    }
    case 'lease':
      await store.lease({ room: 1, wait: false })
      return
    case 'expire':
      await store.abandon([job])
      clock.advance(leaseMs)
      return store.sweep()
    default:
      await store.apply([{ ...leaseOf(job), event: event as LeaseEvent['event'], delayMs: 1e9 }])
  }
}

async function settle(store: Store, job: LeasedJob, ...events: LeaseEvent['event'][]): Promise<void> {
  for (const event of events) expect(await store.apply([{ ...leaseOf(job), event }])).toEqual([])
}

function leaseOf({ id, leaseToken }: LeasedJob) {
  return { id, leaseToken }
}

function placeInLine(ahead: number, queues: number): Situation['line'] {
  return { ahead: { count: ahead, more: false }, queues: { count: queues, more: false } }
}

function rows(result: EnqueueResult) {
  if (result.outcome !== 'stored') throw new Error(`not stored: ${result.outcome}`)
  return result.jobs
}

function ids(result: EnqueueResult): number[] {
  return rows(result).map(({ id }) => id)
}

async function countIn(store: Store, state: JobState): Promise<number> {
  let count = 0
  for (const edge of await store.counts()) {
    if (edge.to === state) count += edge.count
    if (edge.from === state) count -= edge.count
  }
  return count
}
