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
}
