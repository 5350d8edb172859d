import { describe, expect, test } from 'vitest'
import type { NewJobRow, Store } from '../../../src/persistence/store.ts'
import { aJob, leaseMs } from '../../support/store.ts'
import { bringTo, ids, leaseOf, type Open, rows, settle } from './helpers.ts'

type Terms = NonNullable<NewJobRow['unique']>

/** A job with the unique key k. */
function aUnique(terms: Partial<Terms> = {}, given: Partial<NewJobRow> = {}): NewJobRow {
  return aJob({ unique: { key: 'k', until: 'ended', onConflict: 'return', ...terms }, ...given })
}

async function enqueueOne(store: Store, ...given: Parameters<typeof aUnique>) {
  return rows(await store.enqueue([aUnique(...given)]))[0]!
}

async function leaseOne(store: Store, start = true) {
  return (await store.lease({ limit: 1, wait: false, start }))[0]!
}

async function assertWhole(store: Store) {
  expect((await store.verify()).violations).toEqual([])
}

/** A unique key has one holder, whoever asks, and it has it neither longer nor shorter than was said. */
export function testUnique(open: Open): void {
  describe('a unique key', () => {
    test('is that of its own type, whatever is stored beside it', async () => {
      const { store } = await open()

      await Promise.all([
        store.enqueue([aJob({ type: 'other' }), aUnique({ key: 'a' })]),
        store.enqueue([aUnique({ key: 'b' }), aUnique({ key: 'b' }, { type: 'other' }), aUnique({ key: 'c' })]),
      ])

      for (const [key, type, outcome] of [
        ['a', 'work', 'returned'],
        ['b', 'work', 'returned'],
        ['b', 'other', 'returned'],
        ['c', 'work', 'returned'],
        ['a', 'other', 'stored'],
        ['c', 'other', 'stored'],
      ])
        expect([key, type, (await enqueueOne(store, { key: key! }, { type: type! })).unique]).toEqual([
          key,
          type,
          outcome,
        ])
    })

    test('that is held answers with its holder, in the state that this has', async () => {
      const { store } = await open()

      const first = await enqueueOne(store)
      const second = await enqueueOne(store, {}, { payload: '{"other":1}' })
      await leaseOne(store)
      const third = await enqueueOne(store)

      expect(first).toMatchObject({ created: true, unique: 'stored' })
      expect(second).toEqual({ id: first.id, state: 'queued', created: false, unique: 'returned' })
      expect(third).toEqual({ ...second, state: 'running' })
      expect(await store.find(first.id)).toMatchObject({ uniqueKey: 'k', payload: '{}' })
      expect((await store.list({ limit: 9 })).jobs).toHaveLength(1)
      await assertWhole(store)
    })

    test('that is held refuses a request that says so, with all of its call', async () => {
      const { store } = await open()
      const { id } = await enqueueOne(store)

      const refused = await store.enqueue([aJob(), aUnique({ onConflict: 'refuse' })])

      expect(refused).toEqual({ outcome: 'held', index: 1, id })
      expect((await store.list({ limit: 9 })).jobs).toHaveLength(1)
    })

    test('belongs to a type, whatever the queue', async () => {
      const { store } = await open()
      const { id } = await enqueueOne(store)

      expect(await enqueueOne(store, {}, { type: 'other' })).toMatchObject({ unique: 'stored' })
      expect(await enqueueOne(store, {}, { queue: 'mail' })).toMatchObject({ id, unique: 'returned' })
      expect(await enqueueOne(store, { key: 'K' })).toMatchObject({ unique: 'stored' })
      await assertWhole(store)
    })

    test('is held once by the jobs of one call', async () => {
      const { store } = await open()

      const stored = rows(
        await store.enqueue([aUnique(), aJob(), aUnique({}, { payload: '2' }), aUnique({ key: 'x' })]),
      )
      const refused = await store.enqueue([aUnique({ key: 'y' }), aUnique({ key: 'y', onConflict: 'refuse' })])

      expect(stored.map(({ unique }) => unique)).toEqual(['stored', undefined, 'returned', 'stored'])
      expect(stored[2]!.id).toBe(stored[0]!.id)
      expect(refused).toEqual({ outcome: 'held', index: 1, id: null })
      expect((await store.list({ limit: 9 })).jobs).toHaveLength(3)
      await assertWhole(store)
    })

    test('is held once, however many ask at once', async () => {
      const { store } = await open()

      const answers = await Promise.all(
        Array.from({ length: 200 }, (_, n) => store.enqueue([aUnique({ key: `${n % 5}` }), aJob()])),
      )

      const jobs = answers.map((answer) => rows(answer)[0]!)
      expect(jobs.filter(({ created }) => created)).toHaveLength(5)
      expect(new Set(jobs.map(({ id }) => id)).size).toBe(5)
      await assertWhole(store)
    })

    test.each(['succeed', 'reject', 'fail', 'cancel'] as const)('is free again after %s', async (event) => {
      const { store } = await open()
      const { id } = await enqueueOne(store, {}, { maxAttempts: 1 })
      const job = await leaseOne(store)

      if (event === 'cancel') await store.send('cancel', id)
      else await settle(store, job, event)

      expect(await enqueueOne(store)).toMatchObject({ created: true, unique: 'stored' })
      await assertWhole(store)
    })

    test('is held between attempts, after a crash too', async () => {
      const opened = await open()
      const { store, clock } = opened
      const { id } = await enqueueOne(store, {}, { maxAttempts: 9 })
      const held = async (in_: Store) => expect(await enqueueOne(in_)).toMatchObject({ id, unique: 'returned' })

      await store.apply([{ ...leaseOf(await leaseOne(store)), event: 'fail', delayMs: 1_000 }])
      await held(store)
      clock.advance(1_000)
      await store.sweep()
      await settle(store, await leaseOne(store, false), 'release')
      await held(store)
      await leaseOne(store)
      const next = await opened.endNode()
      await held(next.store)
      await assertWhole(next.store)
    })

    test('that is held until the job has started is free from there on, and stays so between attempts', async () => {
      const { store } = await open()
      const first = await enqueueOne(store, { until: 'started' }, { maxAttempts: 9 })

      const leased = await leaseOne(store, false)
      expect(await enqueueOne(store)).toMatchObject({ id: first.id, unique: 'returned' })
      await settle(store, leased, 'start')
      const second = await enqueueOne(store, { until: 'started' })
      await settle(store, leased, 'release')

      expect(second).toMatchObject({ unique: 'stored' })
      expect(await enqueueOne(store)).toMatchObject({ id: second.id })
      await assertWhole(store)
    })

    test('that is held for a time is so after the end of its job, and not longer', async () => {
      const { store, clock } = await open()
      const first = await enqueueOne(store, { until: 1_000 })
      await settle(store, await leaseOne(store), 'succeed')

      clock.advance(999)
      expect(await enqueueOne(store)).toMatchObject({ id: first.id, state: 'succeeded', unique: 'returned' })
      clock.advance(1)
      const second = await enqueueOne(store, { until: 1_000 })
      clock.advance(1_000)
      const third = await enqueueOne(store)

      expect([second.unique, third.unique]).toEqual(['stored', 'stored'])
      await assertWhole(store)
    })

    test('goes with its job', async () => {
      const { store, clock } = await open({ retentionMs: 1_000 })
      await enqueueOne(store, { until: 1e9 })
      await settle(store, await leaseOne(store), 'succeed')
      await store.enqueue([aJob()])

      clock.advance(leaseMs)
      await store.sweep()

      expect(await enqueueOne(store)).toMatchObject({ unique: 'stored' })
      await assertWhole(store)
    })

    test('is not asked for by a request whose idempotency key was used', async () => {
      const { store } = await open()
      const idempotency = { key: 'i', content: 'c' }
      const first = await enqueueOne(store, { onConflict: 'refuse' }, { idempotency })

      const again = await enqueueOne(store, { onConflict: 'refuse' }, { idempotency })
      await store.enqueue([aUnique({}, { idempotency: { key: 'other', content: 'c' } })])

      expect(again).toEqual({ id: first.id, state: 'queued', created: false })
      expect((await store.jobFacts(first.id))?.replays).toMatchObject({ count: 1 })
    })

    test('is taken back by a requeued job if it is free, else the job stays and the holder is named', async () => {
      const { store } = await open()
      const first = await enqueueOne(store)
      await settle(store, await leaseOne(store), 'reject')
      const second = await enqueueOne(store)

      const refused = await store.send('requeue', first.id)
      await store.send('cancel', second.id)
      const done = await store.send('requeue', first.id)
      const third = await enqueueOne(store)

      expect(refused).toEqual({ outcome: 'refused', state: 'dead', holder: second.id })
      expect(done).toMatchObject({ outcome: 'done' })
      expect(third).toMatchObject({ id: first.id, unique: 'returned' })
      expect(await store.send('requeue', second.id)).toMatchObject({ outcome: 'refused', holder: first.id })
      await assertWhole(store)
    })

    test('is taken back by one of many jobs that are requeued at once', async () => {
      const { store } = await open()
      const ended: number[] = []
      for (const key of ['a', 'a', 'b', 'a']) {
        ended.push((await enqueueOne(store, { key })).id)
        await store.send('cancel', ended.at(-1)!)
      }
      const [plain] = ids(await store.enqueue([aJob()]))
      await store.send('cancel', plain!)
      const { id: holder } = await enqueueOne(store, { key: 'b' })

      const moved = await store.command('requeue', [...ended, plain!])

      expect(moved).toEqual([ended[0], plain])
      expect(await enqueueOne(store, { key: 'b' })).toMatchObject({ id: holder })
      await assertWhole(store)
    })

    test('costs a full queue no room if it is held', async () => {
      const { store } = await open({ maxQueueDepth: 1 })
      const { id } = await enqueueOne(store)

      expect(await enqueueOne(store)).toMatchObject({ id })
      expect(await store.enqueue([aUnique({ key: 'x' })])).toMatchObject({ outcome: 'full' })
    })

    test('ends with the last crash that its job may cause', async () => {
      let opened = await open()
      await bringTo(opened, 'succeeded', 1)
      await enqueueOne(opened.store)
      for (let crash = 0; crash < 4; crash++) {
        await leaseOne(opened.store)
        opened = await opened.endNode()
      }

      expect(await enqueueOne(opened.store)).toMatchObject({ unique: 'stored' })
      await assertWhole(opened.store)
    })
  })

  describe('a job that is to run after the one that holds its unique key', () => {
    const after = { onConflict: 'after' } as const

    test.each(['succeed', 'reject', 'fail', 'cancel'] as const)(
      'waits for the end of that, and goes on with it: %s',
      async (event) => {
        const { store } = await open()
        const first = await enqueueOne(store, {}, { maxAttempts: 1 })
        const running = await leaseOne(store)
        const second = await enqueueOne(store, after, { payload: '2' })
        const waited = await store.find(second.id)
        const idle = await store.lease({ limit: 9, wait: false })

        if (event === 'cancel') await store.send('cancel', first.id)
        else await settle(store, running, event)

        expect(second).toMatchObject({ created: true, unique: 'blocked', state: 'blocked' })
        expect([waited?.state, idle]).toEqual(['blocked', []])
        expect(await leaseOne(store)).toMatchObject({ id: second.id, payload: '2' })
        expect(await enqueueOne(store)).toMatchObject({ id: second.id, unique: 'returned' })
        await assertWhole(store)
      },
    )

    test('is the only one that waits, and the one that holds the key answers who does not say so', async () => {
      const { store } = await open()
      const first = await enqueueOne(store)
      await leaseOne(store)

      const second = await enqueueOne(store, after)
      const third = rows(await store.enqueue([aUnique(after), aUnique(after)]))
      const fourth = await enqueueOne(store)
      const refused = await store.enqueue([aUnique({ onConflict: 'refuse' })])

      expect(third.map(({ id, unique }) => [id, unique])).toEqual([
        [second.id, 'replaced'],
        [second.id, 'replaced'],
      ])
      expect(fourth).toMatchObject({ id: first.id, unique: 'returned' })
      expect(refused).toMatchObject({ outcome: 'held', id: first.id })
      await assertWhole(store)
    })

    test('is that one itself, as long as it has not begun', async () => {
      const { store } = await open()
      const first = await enqueueOne(store, after)

      expect(await enqueueOne(store, after)).toMatchObject({ id: first.id, unique: 'replaced' })
      expect(
        rows(await store.enqueue([aUnique({ key: 'x', ...after }), aUnique({ key: 'x', ...after })])),
      ).toMatchObject([{ unique: 'stored' }, { unique: 'replaced' }])
      await assertWhole(store)
    })

    test('waits as long as that is retried, also after a crash, and then for its own time', async () => {
      const opened = await open()
      const { store, clock } = opened
      const first = await enqueueOne(store, {}, { maxAttempts: 9 })
      await store.apply([{ ...leaseOf(await leaseOne(store)), event: 'fail', delayMs: 1_000 }])
      const second = await enqueueOne(store, after, { delayMs: 60_000 })
      clock.advance(1_000)
      await store.sweep()
      await leaseOne(store)
      const next = await opened.endNode()
      const again = await leaseOne(next.store)

      expect(again.id).toBe(first.id)
      expect(await next.store.find(second.id)).toMatchObject({ state: 'blocked' })
      await settle(next.store, again, 'succeed')
      const freed = await next.store.find(second.id)

      expect(freed).toMatchObject({ state: 'scheduled', runAt: freed!.createdAt + 60_000 })
      expect(
        (await next.store.history(second.id, { after: 0, limit: 9 }))?.map(({ event, cause }) => [event, cause]),
      ).toEqual([
        ['enqueue', 'client'],
        ['unblock', 'store'],
      ])
      await assertWhole(next.store)
    })

    test('can be cancelled, and its key is then the next one’s', async () => {
      const { store } = await open()
      const first = await enqueueOne(store)
      const running = await leaseOne(store)
      const second = await enqueueOne(store, after)

      expect(await store.send('cancel', second.id)).toMatchObject({ outcome: 'done' })
      expect(await store.send('requeue', second.id)).toMatchObject({ outcome: 'refused', holder: first.id })
      const third = await enqueueOne(store, after)
      await settle(store, running, 'succeed')

      expect(third).toMatchObject({ unique: 'blocked' })
      expect((await leaseOne(store)).id).toBe(third.id)
      await assertWhole(store)
    })

    test('can be cancelled also if it was to hold the key for a time, and what comes after it is stored', async () => {
      const { store } = await open()
      const timed = { ...after, until: 60_000 }
      const first = await enqueueOne(store, { until: 60_000 })
      const running = await leaseOne(store)
      const second = await enqueueOne(store, timed)
      await store.send('cancel', second.id)
      await assertWhole(store)
      const third = await enqueueOne(store, timed)

      expect(third).toMatchObject({ unique: 'blocked' })
      expect(await store.command('cancel', [third.id])).toEqual([third.id])
      await settle(store, running, 'succeed')

      expect(await enqueueOne(store)).toMatchObject({ id: first.id, state: 'succeeded', unique: 'returned' })
      await assertWhole(store)
    })

    test('says in its facts which job it waits for', async () => {
      const { store } = await open()
      const first = await enqueueOne(store)
      await leaseOne(store)
      const second = await enqueueOne(store, after)

      const facts = await store.jobFacts(second.id)

      expect(facts?.uniqueKey).toEqual({ key: 'k', holder: { id: first.id, state: 'running' } })
      expect((await store.jobFacts(first.id))?.uniqueKey).toEqual({ key: 'k', holder: null })
    })

    test('goes on when both are cancelled at once, in no case: neither is left', async () => {
      const { store } = await open()
      const first = await enqueueOne(store)
      await leaseOne(store)
      const second = await enqueueOne(store, after)

      expect(await store.command('cancel', [first.id, second.id])).toEqual([first.id, second.id])

      expect(await enqueueOne(store)).toMatchObject({ unique: 'stored' })
      await assertWhole(store)
    })

    test('takes over a key that was to be held for a time when that job ends', async () => {
      const { store, clock } = await open()
      await enqueueOne(store, { until: 1_000 })
      const running = await leaseOne(store)
      const second = await enqueueOne(store, after)
      clock.advance(2_000)
      expect(await enqueueOne(store, after)).toMatchObject({ id: second.id, unique: 'replaced' })

      await settle(store, running, 'succeed')

      expect((await leaseOne(store)).id).toBe(second.id)
      await assertWhole(store)
    })

    test('counts as waiting', async () => {
      const { store } = await open({ maxQueueDepth: 1 })
      await enqueueOne(store)
      await leaseOne(store)
      await enqueueOne(store, after)

      expect(await store.enqueue([aJob()])).toMatchObject({ outcome: 'full' })
    })

    test('is never lost and never doubled, however it races with the end of that', async () => {
      const { store } = await open()
      const ran: number[] = []
      for (let round = 0; round < 40; round++) {
        const key = `${round}`
        await enqueueOne(store, { key })
        const running = await leaseOne(store)
        const [, ...answers] = await Promise.all([
          store.apply([{ ...leaseOf(running), event: 'succeed' }]),
          ...Array.from({ length: 3 }, () => enqueueOne(store, { key, ...after })),
        ])
        expect(answers.filter(({ created }) => created)).toHaveLength(1)
        const left = await store.lease({ limit: 9, wait: false, start: true })
        expect(left.map(({ id }) => id)).toEqual([answers.find(({ created }) => created)!.id])
        ran.push(...left.map(({ id }) => id))
        await store.apply(left.map((job) => ({ ...leaseOf(job), event: 'succeed' as const })))
      }
      expect(ran).toHaveLength(40)
      await assertWhole(store)
    })
  })

  describe('a request that changes the job with its unique key', () => {
    test.each(['replace', 'debounce', 'after'] as const)('may come with the end of that: %s', async (onConflict) => {
      const { store } = await open()
      const first = await enqueueOne(store, {}, { delayMs: 60_000 })

      const [cancelled, answer] = await Promise.all([
        store.send('cancel', first.id),
        enqueueOne(store, { onConflict }, { payload: '2' }),
      ])

      expect(cancelled).toMatchObject({ outcome: 'done' })
      const { id } = answer.unique === 'stored' ? answer : first
      expect(await store.payloadAt(id, 9)).toBe('2')
      expect((await enqueueOne(store)).unique).toBe(answer.unique === 'stored' ? 'returned' : 'stored')
      await assertWhole(store)
    })

    const replace = { onConflict: 'replace' } as const
    const eventsOf = async (store: Store, id: number) =>
      (await store.history(id, { after: 0, limit: 99 }))!.map(({ event }) => event)

    test('gives it the payload, the priority, the retries and the time; the payload before is kept', async () => {
      const { store, clock } = await open()
      const first = await enqueueOne(store, {}, { payload: '1', delayMs: 60_000 })

      const second = await enqueueOne(store, replace, { payload: '2', priority: 7, maxAttempts: 9 })
      const third = await enqueueOne(store, replace, { payload: '3', delayMs: 5_000 })

      expect(second).toEqual({ id: first.id, state: 'queued', created: false, unique: 'replaced' })
      expect(third).toMatchObject({ id: first.id, state: 'scheduled' })
      const runAt = clock.now() + 5_000
      expect(await store.find(first.id)).toMatchObject({ payload: '3', priority: 0, maxAttempts: 2, runAt })
      expect(await store.payloadAt(first.id, 1)).toBe('1')
      expect(await store.payloadAt(first.id, 2)).toBe('2')
      expect(await eventsOf(store, first.id)).toEqual(['enqueue', 'amend', 'amend'])
      await assertWhole(store)
    })

    test('goes behind one that runs, and changes one that waits for its next attempt, which keeps its time', async () => {
      const { store } = await open()
      const first = await enqueueOne(store, {}, { payload: '1', maxAttempts: 9 })
      const running = await leaseOne(store)
      const behind = await enqueueOne(store, replace, { payload: '2' })
      await store.send('cancel', behind.id)
      await store.apply([{ ...leaseOf(running), event: 'fail', delayMs: 1_000 }])
      const { runAt } = (await store.find(first.id))!

      const changed = await enqueueOne(store, replace, { payload: '3', maxAttempts: 1 })

      expect(behind).toMatchObject({ unique: 'blocked' })
      expect(changed).toMatchObject({ id: first.id, state: 'retrying', unique: 'replaced' })
      expect(await store.find(first.id)).toMatchObject({ payload: '3', maxAttempts: 9, runAt })
      await assertWhole(store)
    })

    test('changes the one that waits for the end of another, and none of it is lost', async () => {
      const { store } = await open()
      await enqueueOne(store)
      const running = await leaseOne(store)
      const second = await enqueueOne(store, { onConflict: 'after' }, { payload: '1' })

      const answers = await Promise.all(
        ['2', '3', '4'].map((payload) => enqueueOne(store, { onConflict: 'after' }, { payload })),
      )
      await settle(store, running, 'succeed')

      expect(answers.map(({ id, unique }) => [id, unique])).toEqual(answers.map(() => [second.id, 'replaced']))
      const next = await leaseOne(store)
      expect([next.id, next.payload]).toEqual([second.id, '4'])
      expect(await eventsOf(store, second.id)).toEqual([
        'enqueue',
        'amend',
        'amend',
        'amend',
        'unblock',
        'lease',
        'start',
      ])
      await assertWhole(store)
    })

    test('puts a debounced job off once more each time, but not for longer than it may wait in all', async () => {
      const { store, clock } = await open()
      const debounce = { onConflict: 'debounce', maxWaitMs: 2_500 } as const
      const storedAt = clock.now()
      const ask = (payload: string) => enqueueOne(store, debounce, { payload, delayMs: 1_000 })
      const first = await ask('1')
      const due: number[] = []
      for (const payload of ['2', '3', '4']) {
        clock.advance(900)
        expect(await ask(payload)).toMatchObject({ id: first.id, unique: 'debounced' })
        due.push((await store.find(first.id))!.runAt - storedAt)
      }

      expect(due).toEqual([1_900, 2_500, 2_700])
      await store.sweep()
      expect(await leaseOne(store)).toMatchObject({ id: first.id, payload: '4' })
      await assertWhole(store)
    })

    test('is the same as a request for the job of an earlier item of its call', async () => {
      const { store } = await open()

      const answers = rows(
        await store.enqueue([aUnique({}, { payload: '1' }), aUnique(replace, { payload: '2', delayMs: 1_000 })]),
      )

      expect(answers.map(({ unique, state }) => [unique, state])).toEqual([
        ['stored', 'queued'],
        ['replaced', 'scheduled'],
      ])
      expect(await store.find(answers[0]!.id)).toMatchObject({ payload: '2' })
      await assertWhole(store)
    })

    test('of whose time nothing is said leaves it', async () => {
      const { store, clock } = await open()
      const first = await enqueueOne(store, {}, { delayMs: 60_000 })
      const { runAt } = (await store.find(first.id))!
      clock.advance(10)

      const changed = await enqueueOne(store, { onConflict: 'after' }, { payload: '2' })
      await store.amend(first.id, JSON.stringify({ priority: 5 }))

      expect(changed).toMatchObject({ state: 'scheduled', unique: 'replaced' })
      expect(await store.find(first.id)).toMatchObject({ payload: '2', priority: 5, runAt, state: 'scheduled' })
    })

    test('does not reach a job that has ended and holds its key for a time', async () => {
      const { store } = await open()
      const first = await enqueueOne(store, { until: 1e6 })
      await settle(store, await leaseOne(store), 'succeed')

      expect(await enqueueOne(store, replace)).toMatchObject({ id: first.id, unique: 'returned' })
      await assertWhole(store)
    })
  })
}
