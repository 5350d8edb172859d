import { describe, expect, test } from 'vitest'
import type { JobRow } from '../../../src/persistence/store.ts'
import { aJob } from '../../support/store.ts'
import { ids, leaseOf, type Open, rising, rows, settle } from './helpers.ts'

/** What is stored, and what is refused. */
export function testEnqueue(open: Open): void {
  describe('the key of a dead job', () => {
    const keyed = (more: object = {}, content = 'c') => aJob({ idempotency: { key: 'k', content, ...more } })

    test('answers the same request with that job, and a request that replaces it with a new one', async () => {
      const opened = await open()
      const { store, clock } = opened
      const [dead] = ids(await store.enqueue([keyed()]))
      const [leased] = await store.lease({ limit: 1, wait: false })
      await settle(store, leased!, 'start', 'reject')

      const again = rows(await store.enqueue([keyed()]))
      const other = await store.enqueue([keyed({}, 'other')])
      const replaced = rows(
        await store.enqueue([
          aJob({ cause: '{"cause":"http","actor":"ada"}' }),
          { ...keyed({ replaceDead: true }, 'other'), cause: '{"cause":"http","actor":"ada"}' },
        ]),
      )

      expect(again).toEqual([{ id: dead, state: 'dead', created: false }])
      expect(other).toEqual({ outcome: 'conflict', index: 0, id: dead })
      expect(replaced[1]).toEqual({ id: expect.any(Number), state: 'queued', created: true, replaced: dead })
      const { id } = replaced[1]!
      expect(await store.find(dead!)).toMatchObject({
        state: 'cancelled',
        idempotencyKey: null,
        finishedAt: clock.now(),
      })
      expect((await store.history(dead!, { after: 4, limit: 9 }))?.[0]).toMatchObject({
        event: 'cancel',
        from: 'dead',
        cause: 'http',
        actor: 'ada',
        note: `job ${id} has its idempotency key now`,
      })
      expect(rows(await store.enqueue([keyed({}, 'other')]))).toEqual([{ id, state: 'queued', created: false }])
      expect((await store.verify()).violations).toEqual([])
    })

    test('goes to a new job only if it is dead', async () => {
      const { store } = await open()
      const [id] = ids(await store.enqueue([keyed()]))

      expect(rows(await store.enqueue([keyed({ replaceDead: true })]))).toEqual([
        { id, state: 'queued', created: false },
      ])
      expect(await store.enqueue([keyed({ replaceDead: true }, 'other')])).toEqual({
        outcome: 'conflict',
        index: 0,
        id,
      })
    })

    test('goes to no other while the dead job holds its unique key for a time, and the request is refused', async () => {
      const { store, clock } = await open()
      for (const onConflict of ['return', 'refuse', 'replace', 'after'] as const) {
        const terms = { key: onConflict, until: 60_000, onConflict } as const
        const idempotency = { key: onConflict, content: 'c' }
        const [dead] = ids(await store.enqueue([aJob({ unique: terms, idempotency })]))
        const [leased] = await store.lease({ limit: 1, wait: false })
        await settle(store, leased!, 'start', 'reject')
        const replacing = aJob({ unique: terms, idempotency: { ...idempotency, replaceDead: true } })

        expect(await store.enqueue([replacing])).toEqual({ outcome: 'held', index: 0, id: dead })
        expect(await store.find(dead!)).toMatchObject({ state: 'dead', idempotencyKey: onConflict })
        clock.advance(60_000)
        expect(rows(await store.enqueue([replacing]))).toMatchObject([
          { created: true, unique: 'stored', replaced: dead },
        ])
        await store.lease({ limit: 1, wait: false })
      }
      expect((await store.verify()).violations).toEqual([])
    })

    test('goes to one of several that ask at once', async () => {
      const { store } = await open()
      const [dead] = ids(await store.enqueue([keyed()]))
      const [leased] = await store.lease({ limit: 1, wait: false })
      await settle(store, leased!, 'start', 'reject')

      const answers = await Promise.all(
        Array.from({ length: 20 }, async (_, index) => {
          for (let turns = index % 5; turns > 0; turns--) await new Promise(setImmediate)
          return rows(await store.enqueue([keyed({ replaceDead: true })]))[0]!
        }),
      )

      expect(new Set(answers.map(({ id }) => id)).size).toBe(1)
      expect(answers.filter(({ created }) => created)).toMatchObject([{ replaced: dead }])
      expect((await store.verify()).violations).toEqual([])
    })

    test('is free when retention has removed the cancelled job', async () => {
      const { store, clock } = await open({ retentionMs: 1_000 })
      const [dead] = ids(await store.enqueue([keyed(), aJob({ delayMs: 1e9 })]))
      const [leased] = await store.lease({ limit: 1, wait: false })
      await settle(store, leased!, 'start', 'reject')
      await store.send('cancel', dead!)
      await store.enqueue([aJob({ delayMs: 1e9 })])
      clock.advance(2_000)
      await store.sweep()

      expect(await store.find(dead!)).toBeUndefined()
      expect(rows(await store.enqueue([keyed({}, 'other')]))).toMatchObject([{ created: true }])
    })
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
        crashes: 0,
        idempotencyKey: 'k',
        timeoutMs: 50,
        runAt: clock.now(),
        createdAt: clock.now(),
        startedAt: null,
        finishedAt: null,
        error: null,
        traceId: null,
        progress: null,
        progressAt: null,
        progressAttempt: null,
        uniqueKey: null,
      } satisfies Record<keyof JobRow, unknown>)
    })

    test.each([
      [
        'alike',
        [
          { priority: 3, timeoutMs: 50 },
          { priority: 3, timeoutMs: 50 },
          { priority: 3, timeoutMs: 50 },
        ],
      ],
      ['of the first alone', [{ priority: 3, timeoutMs: 50 }, {}, {}]],
      ['of the last alone', [{}, {}, { priority: 3, timeoutMs: 50 }]],
      ['different', [{ priority: 1 }, { timeoutMs: 50 }, { priority: 1, timeoutMs: 60 }]],
    ] as const)('stores what the jobs of a call have: %s', async (_, given) => {
      const { store } = await open()

      const stored = ids(await store.enqueue(given.map((each) => aJob(each))))

      const found = await Promise.all(stored.map((id) => store.find(id)))
      expect(found.map((job) => ({ priority: job!.priority, timeoutMs: job!.timeoutMs }))).toEqual(
        given.map((each) => ({ priority: 0, timeoutMs: null, ...each })),
      )
    })

    test('gives rising ids in the order of the array', async () => {
      const { store } = await open()

      const first = ids(await store.enqueue([aJob({ payload: '0' }), aJob({ payload: '1' }), aJob({ payload: '2' })]))
      const second = ids(await store.enqueue([aJob()]))

      expect([...first, ...second]).toEqual(rising([...first, ...second]))
      expect((await store.find(first[1]!))?.payload).toBe('1')
    })

    test('schedules jobs whose run_at or delay is ahead, and queues those whose is not', async () => {
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
      const [job] = await opened.store.lease({ limit: 1, wait: false })
      await settle(opened.store, job!, 'start', 'succeed')

      const again = await opened.store.enqueue([keyed])

      expect(rows(again)).toEqual([{ id: first, state: 'succeeded', created: false }])
    })

    test('makes one job of a hundred simultaneous calls with one key', async () => {
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

    test('refuses a whole array if a key belongs to other content, and names its job', async () => {
      const { store } = await open()
      const [first] = ids(await store.enqueue([aJob({ idempotency: { key: 'k', content: 'one' } })]))

      const refused = await store.enqueue([aJob(), aJob({ idempotency: { key: 'k', content: 'two' } })])

      expect(refused).toEqual({ outcome: 'conflict', index: 1, id: first })
      expect((await store.list({ limit: 10 })).jobs).toHaveLength(1)
    })

    test('refuses a key that a call in the same commit used with other content', async () => {
      const { store } = await open()

      const [one, two] = await Promise.all([
        store.enqueue([aJob({ idempotency: { key: 'k', content: 'one' } })]),
        store.enqueue([aJob({ idempotency: { key: 'k', content: 'two' } })]),
      ])

      expect(two).toEqual({ outcome: 'conflict', index: 0, id: ids(one)[0] })
    })

    test('refuses a whole call that would exceed the limit on waiting jobs', async () => {
      const { store } = await open({ maxQueueDepth: 3 })
      await store.enqueue([aJob(), aJob({ delayMs: 1_000 })])

      const refused = await store.enqueue([aJob(), aJob()])
      const accepted = await store.enqueue([aJob()])

      expect(refused).toEqual({ outcome: 'full', queue: null, depth: 2 })
      expect(accepted.outcome).toBe('stored')
    })

    test('applies the limit to calls that share a commit together', async () => {
      const { store } = await open({ maxQueueDepth: 3 })

      const all = await Promise.all(Array.from({ length: 5 }, () => store.enqueue([aJob()])))

      expect(all.map(({ outcome }) => outcome)).toEqual(['stored', 'stored', 'stored', 'full', 'full'])
    })

    test('refuses, of the calls that share a commit, exactly those that do not fit', async () => {
      const { store } = await open({ maxQueueDepth: 3 })
      const call = (count: number) => store.enqueue(Array.from({ length: count }, () => aJob()))

      const all = await Promise.all([call(2), call(2), call(0), call(1), call(1)])

      expect(all).toMatchObject([
        { outcome: 'stored' },
        { outcome: 'full', depth: 2 },
        { outcome: 'stored' },
        { outcome: 'stored' },
        { outcome: 'full', depth: 3 },
      ])
      const [first, , none, last] = all
      const stored = [first, none, last].map((result) => ids(result!))
      expect(stored.map(({ length }) => length)).toEqual([2, 0, 1])
      expect(stored.flat()).toEqual(rising(stored.flat()))
      expect((await store.list({ limit: 9 })).jobs.map(({ id }) => id)).toEqual(stored.flat().reverse())
    })

    test('refuses a whole call that would exceed the limit on one queue, and accepts others', async () => {
      const { store } = await open({ maxQueueDepth: 10, maxDepthPerQueue: 4 })
      const call = (queue: string, count: number) => store.enqueue(Array.from({ length: count }, () => aJob({ queue })))
      await call('greedy', 4)

      expect(await call('greedy', 1)).toEqual({ outcome: 'full', queue: 'greedy', depth: 4 })
      expect((await call('other', 4)).outcome).toBe('stored')
      expect(await store.enqueue([aJob({ queue: 'third' }), aJob({ queue: 'greedy' })])).toMatchObject({
        queue: 'greedy',
      })
      expect((await call('third', 2)).outcome).toBe('stored')
      expect(await call('fourth', 1)).toEqual({ outcome: 'full', queue: null, depth: 10 })
    })

    test('counts everything that waits in a queue in its limit: delayed, to be retried, and with a key', async () => {
      const { store, clock } = await open({ maxQueueDepth: 10, maxDepthPerQueue: 3 })
      await store.enqueue([aJob()])
      const [job] = await store.lease({ limit: 1, wait: false, start: true })
      await store.apply([{ ...leaseOf(job!), event: 'fail', error: { name: 'Error', message: '' } }])
      await store.enqueue([aJob({ delayMs: 1_000 }), aJob({ idempotency: { key: 'k', content: 'c' } })])

      expect(await store.enqueue([aJob({ runAt: clock.now() + 1 })])).toMatchObject({ queue: 'default', depth: 3 })
      // A key that is known stores nothing.
      expect(await store.enqueue([aJob({ idempotency: { key: 'k', content: 'c' } })])).toMatchObject({
        outcome: 'stored',
      })
    })

    test('applies the limit on a queue to calls that share a commit together', async () => {
      const { store } = await open({ maxQueueDepth: 10, maxDepthPerQueue: 3 })

      const all = await Promise.all(Array.from({ length: 5 }, () => store.enqueue([aJob()])))

      expect(all.map(({ outcome }) => outcome)).toEqual(['stored', 'stored', 'stored', 'full', 'full'])
    })

    test('accepts jobs of a queue again when some of its jobs are gone', async () => {
      const { store } = await open({ maxQueueDepth: 10, maxDepthPerQueue: 3 })
      const [first] = ids(await store.enqueue([aJob(), aJob(), aJob()]))
      await store.enqueue([aJob({ queue: 'other' })])
      expect((await store.enqueue([aJob()])).outcome).toBe('full')

      await store.send('cancel', first!)

      expect((await store.enqueue([aJob()])).outcome).toBe('stored')
      expect((await store.enqueue([aJob()])).outcome).toBe('full')
    })

    test('gives rising ids in the order of the calls, whether or not they have keys', async () => {
      const { store } = await open()
      const keyed = (key: string) => aJob({ idempotency: { key, content: key } })

      const all = await Promise.all([
        store.enqueue([aJob()]),
        store.enqueue([keyed('a')]),
        store.enqueue([aJob(), keyed('b')]),
        store.enqueue([keyed('c')]),
        store.enqueue([aJob(), aJob()]),
      ])

      expect(all.map((stored) => ids(stored).length)).toEqual([1, 1, 2, 1, 2])
      expect(all.flatMap(ids)).toEqual(rising(all.flatMap(ids)))
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
}
