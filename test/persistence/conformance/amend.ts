import { describe, expect, test } from 'vitest'
import type { JobState } from '../../../src/machines/job.ts'
import { earlierMax } from '../../../src/persistence/versions.ts'
import { aJob } from '../../support/store.ts'
import { amend, bringTo, ids, leaseOf, type Open, queuedLast, settle } from './helpers.ts'

const byAda = '{"cause":"http","actor":"ada","reason":"typo"}'

/** Changes of jobs that wait. */
export function testAmend(open: Open): void {
  describe('an amend', () => {
    test('changes what it names and nothing else, and keeps what was there with who changed it', async () => {
      const { store, clock } = await open()
      const [id] = ids(await store.enqueue([aJob({ payload: '{"n":1}', priority: 3, maxAttempts: 4 })]))
      const before = await store.find(id!)

      const first = await amend(store, id!, { payload: '{"n":2}', maxAttempts: 9 }, byAda)
      const second = await amend(store, id!, { payload: '{"n":3}', priority: -5, delayMs: 60_000 })

      const runAt = clock.now() + 60_000
      const after = { ...before, payload: '{"n":3}', priority: -5, maxAttempts: 9, runAt, state: 'scheduled' }
      expect(first).toMatchObject({ outcome: 'done', job: { ...before, payload: '{"n":2}', maxAttempts: 9 } })
      expect(second).toEqual({ outcome: 'done', job: after })
      expect(await store.find(id!)).toEqual(after)
      expect((await store.history(id!, { after: 1, limit: 9 }))?.map(({ at: _, ...event }) => event)).toEqual([
        {
          ...{ seq: 2, event: 'amend', from: 'queued', to: 'queued', attempt: 0, error: null },
          ...{ cause: 'http', actor: 'ada', reason: 'typo' },
          changes: { payload: true, maxRetries: { from: 3, to: 8 } },
        },
        {
          ...{ seq: 3, event: 'amend', from: 'queued', to: 'scheduled', attempt: 0, error: null, cause: 'person' },
          changes: { payload: true, runAt: { from: before!.runAt, to: runAt }, priority: { from: 3, to: -5 } },
        },
      ])
      expect(await Promise.all([1, 2, 3, 9].map((at) => store.payloadAt(id!, at)))).toEqual([
        '{"n":1}',
        '{"n":2}',
        '{"n":3}',
        '{"n":3}',
      ])
      expect(await store.payloadAt(999_999, 1)).toBeUndefined()
      expect((await store.verify()).violations).toEqual([])
    })

    test('keeps the first payload and the newest hundred before the present one, and says of the others that they are gone', async () => {
      const { store, clock } = await open({ retentionMs: 1_000 })
      const [id, last] = ids(await store.enqueue([aJob({ payload: '0' }), aJob({ delayMs: 1e9 })]))

      for (let n = 1; n <= 110; n++) await amend(store, id!, { payload: `${n}` })
      await amend(store, id!, { priority: 7 })

      const { payloads } = earlierMax
      const kept = await Promise.all(Array.from({ length: 112 }, (_, index) => store.payloadAt(id!, index + 1)))
      const texts = Array.from({ length: 111 }, (_, n) => (n === 0 || n >= 110 - payloads ? `${n}` : ''))
      expect(kept).toEqual([...texts, '110'])
      const changes = (await store.history(id!, { after: 1, limit: 999 }))!.map((event) => event.changes!)
      expect(changes.map(({ payloadGone }) => payloadGone ?? false)).toEqual([
        ...kept.slice(0, -1).map((text) => text === ''),
      ])
      expect(changes.slice(0, 2)).toEqual([{ payload: true }, { payload: true, payloadGone: true }])
      expect((await store.verify()).violations).toEqual([])
      await store.send('cancel', id!)
      await amend(store, last!, { priority: 1 })
      clock.advance(2_000)
      await store.sweep()
      expect(await store.payloadAt(id!, 1)).toBeUndefined()
      expect((await store.verify()).violations).toEqual([])
    })

    test('keeps the newest payloads up to a mebibyte, and the first besides', async () => {
      const { store } = await open()
      const text = (n: number, length: number) => `"${`${n}`.padEnd(length - 2, 'é').slice(0, length / 2)}"`
      const payloads = [20, 10, 200_000, 10, 250_000, 250_000, 250_000, 250_000, 10].map((length, n) => text(n, length))
      const [id] = ids(await store.enqueue([aJob({ payload: payloads[0]! })]))

      for (const payload of payloads.slice(1)) await amend(store, id!, { payload })

      const kept = await Promise.all(payloads.map((_, index) => store.payloadAt(id!, index + 1)))
      const bytes = Buffer.byteLength(kept.slice(1, -1).join(''))
      expect(kept.map((payload) => payload !== '')).toEqual([true, false, false, true, true, true, true, true, true])
      expect(bytes).toBeLessThanOrEqual(earlierMax.bytes)
      expect(bytes + Buffer.byteLength(payloads[2]!)).toBeGreaterThan(earlierMax.bytes)
      expect((await store.verify()).violations).toEqual([])
    })

    test('that is one of many keeps the key of its first payload', async () => {
      const { store } = await open()
      const job = aJob({ payload: '0', idempotency: { key: 'k', content: 'c' } })
      const [id] = ids(await store.enqueue([job]))
      for (let n = 1; n <= 110; n++) await amend(store, id!, { payload: `${n}` })

      expect(ids(await store.enqueue([job]))).toEqual([id])
    })

    test('of its time makes a job wait for it, or may let it run now', async () => {
      const opened = await open()
      const { store } = opened
      const jobs = new Map<JobState, number>()
      for (const state of queuedLast) jobs.set(state, (await bringTo(opened, state, 3)).id)
      const states = ['scheduled', 'queued', 'retrying'] as const
      const putOff = async (state: JobState, delayMs: number) => {
        const result = await amend(store, jobs.get(state)!, { delayMs })
        return result.outcome === 'done' ? result.job.state : result
      }

      const later = [await putOff('scheduled', 5_000), await putOff('queued', 5_000), await putOff('retrying', 5_000)]
      const now = [await putOff('scheduled', 0), await putOff('queued', 0), await putOff('retrying', 0)]

      expect(later).toEqual(['scheduled', 'scheduled', 'retrying'])
      expect(now).toEqual(states.map(() => 'queued'))
      const leased = await store.lease({ limit: 9, wait: false })
      expect(leased.map(({ id }) => id).sort()).toEqual(states.map((state) => jobs.get(state)!).sort())
    })

    test('is refused in every other state, and of a job that does not exist', async () => {
      const opened = await open()
      const jobs = new Map<JobState, number>()
      for (const state of queuedLast) jobs.set(state, (await bringTo(opened, state, 3)).id)

      for (const state of ['leased', 'running', 'succeeded', 'dead', 'cancelled'] as const) {
        const id = jobs.get(state)!
        const before = await opened.store.find(id)
        expect(await amend(opened.store, id, { payload: '9', priority: 9 })).toEqual({ outcome: 'refused', state })
        expect(await opened.store.find(id)).toEqual(before)
        expect(await opened.store.payloadAt(id, 1)).toBe('{}')
      }
      expect(await amend(opened.store, 999_999, { priority: 1 })).toEqual({ outcome: 'unknown' })
      expect(await amend(opened.store, 0.5, { priority: 1 })).toEqual({ outcome: 'unknown' })
    })

    test('leaves a job at least one attempt', async () => {
      const opened = await open()
      const { id } = await bringTo(opened, 'retrying', 5)

      expect(await amend(opened.store, id, { maxAttempts: 1, priority: 7 })).toEqual({ outcome: 'spent', attempt: 1 })
      expect(await opened.store.find(id)).toMatchObject({ maxAttempts: 5, priority: 100 })
      expect(await amend(opened.store, id, { maxAttempts: 2 })).toMatchObject({ outcome: 'done' })
    })

    test('that changes nothing writes no event', async () => {
      const { store } = await open()
      const [id] = ids(await store.enqueue([aJob({ payload: '{"n":1}' })]))

      expect(await amend(store, id!, { payload: '{"n":1}', priority: 0 })).toMatchObject({ outcome: 'done' })
      expect(await store.history(id!, { after: 1, limit: 9 })).toEqual([])
    })

    test('and a requeue are one commit, or nothing', async () => {
      const opened = await open()
      const { store, clock } = opened
      const dead = await bringTo(opened, 'dead', 1)
      const { id: queued } = await bringTo(opened, 'queued', 1)

      const result = await amend(store, dead.id, { payload: '2', maxAttempts: 1, delayMs: 1_000 }, byAda, true)

      expect(result).toMatchObject({ outcome: 'done', job: { state: 'scheduled', attempt: 0, payload: '2' } })
      expect((await store.history(dead.id, { after: 4, limit: 9 }))?.map(({ event, actor }) => [event, actor])).toEqual(
        [
          ['requeue', 'ada'],
          ['amend', 'ada'],
        ],
      )
      expect(await store.payloadAt(dead.id, 5)).toBe('{}')
      expect(await amend(store, queued, { payload: '2' }, null, true)).toEqual({ outcome: 'refused', state: 'queued' })
      expect(await store.find(queued)).toMatchObject({ payload: '{}' })
      expect(await amend(store, 999_999, {}, null, true)).toEqual({ outcome: 'unknown' })
      clock.advance(1_000)
      await store.sweep()
      await store.lease({ limit: 1, wait: false })
      expect((await store.verify()).violations).toEqual([])
    })

    test('that lets a job run now hands it to a waiting lease', async () => {
      const opened = await open()
      const { id } = await bringTo(opened, 'scheduled', 1)
      const waiting = opened.store.lease({ limit: 5, wait: true })

      await amend(opened.store, id, { delayMs: 0, payload: '"new"' })

      expect(await waiting).toMatchObject([{ id, payload: '"new"' }])
    })

    test('decides the order of the line', async () => {
      const { store } = await open()
      const [first, second, third] = ids(await store.enqueue([aJob(), aJob(), aJob()]))

      await amend(store, third!, { priority: 5 })
      await amend(store, first!, { priority: -5 })

      const leased = await store.lease({ limit: 3, wait: false })
      expect(leased.map(({ id }) => id)).toEqual([third, second, first])
    })

    test('and a claim of the same job never mix: a worker has all of the new job, or the amend is refused', async () => {
      const { store } = await open()
      const all = ids(await store.enqueue(Array.from({ length: 300 }, () => aJob({ payload: '"old"' }))))

      const changes = { payload: '"new"', maxAttempts: 7 }
      // One of each, whatever becomes of the others.
      expect(await amend(store, all.at(-1)!, changes)).toMatchObject({ outcome: 'done' })
      const leased = [...(await store.lease({ limit: 1, wait: false, start: true }))]
      const asked = all.map(async (id, index) => {
        // So that some come in the same commit, some before a claim and some after it.
        for (let turns = index % 7; turns > 0; turns--) await new Promise(setImmediate)
        return [id, (await amend(store, id, changes)).outcome] as const
      })
      while (leased.length < all.length) leased.push(...(await store.lease({ limit: 20, wait: true, start: true })))
      const outcomes = new Map(await Promise.all(asked))

      const found = leased.map(({ id, payload, maxAttempts }) => [id, payload, maxAttempts])
      const wanted = leased.map(({ id }) => (outcomes.get(id) === 'done' ? [id, '"new"', 7] : [id, '"old"', 2]))
      expect(found).toEqual(wanted)
      expect(new Set(outcomes.values())).toEqual(new Set(['done', 'refused']))
      expect((await store.verify()).violations).toEqual([])
    })

    test('and its old payload go with the job', async () => {
      const { store, clock } = await open({ retentionMs: 1_000 })
      const [id, last] = ids(await store.enqueue([aJob(), aJob({ delayMs: 1e9 })]))
      await amend(store, id!, { payload: '2' })
      await store.send('cancel', id!)
      await amend(store, last!, { payload: '2' })
      clock.advance(2_000)

      await store.sweep()

      expect(await store.payloadAt(id!, 1)).toBeUndefined()
      expect(await store.payloadAt(last!, 1)).toBe('{}')
      expect((await store.verify()).violations).toEqual([])
    })

    test('of a dead job needs a requeue, and its cancel is an edge', async () => {
      const opened = await open()
      const { id } = await bringTo(opened, 'dead', 1)
      opened.clock.advance(5)

      expect(await opened.store.send('cancel', id)).toMatchObject({ outcome: 'done', job: { state: 'cancelled' } })
      expect(await opened.store.find(id)).toMatchObject({ finishedAt: opened.clock.now() })
    })

    test('that puts a suspect off leaves it one: it runs alone when its time comes', async () => {
      let node = await open()
      const [suspect] = ids(await node.store.enqueue([aJob({ maxAttempts: 9 })]))
      for (const _ of [1, 2]) {
        await node.store.lease({ limit: 1, wait: false, start: true })
        node = await node.endNode()
      }
      const { store, clock } = node
      expect(await amend(store, suspect!, { delayMs: 100 })).toMatchObject({ job: { state: 'scheduled', crashes: 2 } })
      await store.enqueue([aJob({ priority: 9 })])
      expect(await store.lease({ limit: 9, wait: false, start: true })).toHaveLength(1)
      await store.enqueue([aJob({ priority: 9 })])
      clock.advance(100)
      await store.sweep()

      const leased = await store.lease({ limit: 9, wait: false, start: true })

      expect(leased.map(({ id }) => id)).toEqual([suspect])
    })

    test('that puts a job off lets it run when its time comes', async () => {
      const opened = await open()
      const { store, clock } = opened
      const job = await bringTo(opened, 'queued', 2)
      await amend(store, job.id, { delayMs: 50 })
      expect(await store.lease({ limit: 1, wait: false })).toEqual([])
      clock.advance(50)
      await store.sweep()

      const [leased] = await store.lease({ limit: 1, wait: false })

      await settle(store, leased!, 'start')
      expect(await store.apply([{ ...leaseOf(leased!), event: 'succeed' }])).toEqual([])
    })
  })
}
