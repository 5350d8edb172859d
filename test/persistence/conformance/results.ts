import { describe, expect, test } from 'vitest'
import { jobStates } from '../../../src/machines/edges.ts'
import type { LeasedJob } from '../../../src/persistence/store.ts'
import { aJob } from '../../support/store.ts'
import { bringTo, leaseOf, type Open } from './helpers.ts'

/** What jobs keep of what their handlers returned. */
export function testResults(open: Open): void {
  describe('a result', () => {
    const startAll = async ({ store }: Awaited<ReturnType<Open>>, count: number) => {
      await store.enqueue(Array.from({ length: count }, () => aJob()))
      return store.lease({ limit: count, wait: false, start: true })
    }
    const succeed = (job: LeasedJob, result?: string) => ({
      ...leaseOf(job),
      event: 'succeed' as const,
      ...(result === undefined ? {} : { result }),
    })

    test('is kept with the success of its job, also after the node ended, and a job without one has none', async () => {
      const opened = await open()
      const [first, bare, last] = (await startAll(opened, 3)) as [LeasedJob, LeasedJob, LeasedJob]
      await opened.store.apply([succeed(first, '{"n":1}'), succeed(bare), succeed(last, '"\\u0000 ünï \\ud800"')])

      const { store } = await opened.endNode()

      const success = { state: 'succeeded', type: 'work' }
      expect([...(await store.ended([last.id, first.id, bare.id]))]).toEqual([
        [last.id, { ...success, result: '"\\u0000 ünï \\ud800"' }],
        [first.id, { ...success, result: '{"n":1}' }],
        [bare.id, { ...success, result: null }],
      ])
      expect((await store.verify()).violations).toEqual([])
    })

    test('is kept character by character, of any kind of value, and beside many others', async () => {
      const opened = await open()
      const large = JSON.stringify({ text: 'x'.repeat(300_000) })
      const texts = [
        '12',
        '1e+21',
        '0.30000000000000004',
        'true',
        'null',
        '""',
        '"{}"',
        '[]',
        '[1.5e-7,"\\u0000",null,[{}]]',
        '{}',
        '{"2":1,"":{"__proto__":5e-324},"a\\"b":"\\ud800 \u2028 ünï","toJSON":"a\\nb"}',
        ...Array<string>(8).fill(large),
      ]
      const jobs = await startAll(opened, texts.length)
      await opened.store.apply(jobs.map((job, index) => succeed(job, texts[index])))

      const kept: (string | null)[] = []
      for (const { id } of jobs) kept.push((await opened.store.ended([id])).get(id)!.result)

      expect(kept).toEqual(texts)
    })

    test.each(jobStates)('is told of a job that is %s only if it has ended', async (state) => {
      const opened = await open()
      const { id } = await bringTo(opened, state, 2)

      const ended = await opened.store.ended([id])

      const { finishedAt } = (await opened.store.find(id))!
      expect([...ended]).toEqual(finishedAt === null ? [] : [[id, { state, type: 'work', result: null }]])
    })

    test('is told to be of no job where there is none', async () => {
      const { store } = await open()
      expect([...(await store.ended([]))]).toEqual([])
      expect([...(await store.ended([987_654_321]))]).toEqual([
        [987_654_321, { state: null, type: null, result: null }],
      ])
    })

    test('is not kept of an attempt whose lease was lost', async () => {
      const opened = await open()
      const { store } = opened
      const [job] = (await startAll(opened, 1)) as [LeasedJob]
      await store.send('cancel', job.id)

      const [other] = (await startAll(opened, 1)) as [LeasedJob]

      const late = succeed(job, '1')
      expect(await store.apply([late, succeed(other, '{"2":"b","1":"a"}')])).toEqual([late])

      expect((await store.ended([job.id])).get(job.id)).toMatchObject({ state: 'cancelled', result: null })
      expect((await store.ended([other.id])).get(other.id)).toMatchObject({ result: '{"2":"b","1":"a"}' })
    })

    test('is that of the lease that succeeded, if one call has two of the same job', async () => {
      const opened = await open()
      const { store } = opened
      const [job] = (await startAll(opened, 1)) as [LeasedJob]
      await store.send('cancel', job.id)
      await store.send('requeue', job.id)
      const [again] = (await store.lease({ limit: 1, wait: false, start: true })) as [LeasedJob]

      const late = succeed(job, '"late"')
      expect(await store.apply([late, succeed(again, '"right"')])).toEqual([late])

      expect((await store.ended([job.id])).get(job.id)).toMatchObject({ result: '"right"' })
    })

    test('goes with its job', async () => {
      const opened = await open({ retentionMs: 1_000 })
      const { store, clock } = opened
      const jobs = (await startAll(opened, 2)) as [LeasedJob, LeasedJob]
      await store.apply(jobs.map((job) => succeed(job, '1')))
      // Its events are the newest, which stay.
      await store.enqueue([aJob()])
      clock.advance(7_200_000)
      for (let rounds = 0; rounds < 5; rounds++) await store.sweep()

      expect([...(await store.ended(jobs.map(({ id }) => id))).values()]).toMatchObject([
        { state: null },
        { state: null },
      ])
      expect((await store.verify()).violations).toEqual([])
    })

    test('goes with its job alone, whatever jobs ended together with it', async () => {
      const opened = await open({ retention: { types: { other: { succeeded: { ms: 1_000 } } } } })
      const { store, clock } = opened
      await store.enqueue(Array.from({ length: 9 }, (_, n) => aJob({ type: n % 3 === 1 || n > 6 ? 'other' : 'work' })))
      const jobs = await store.lease({ limit: 9, wait: false, start: true })
      await store.apply(jobs.map((job) => succeed(job, `[null,{"of":${job.id}}]`)))
      await store.enqueue([aJob()])
      clock.advance(7_200_000)
      for (let rounds = 0; rounds < 5; rounds++) await store.sweep()

      const found = await store.ended(jobs.map(({ id }) => id))

      for (const { id, type } of jobs)
        expect(found.get(id)).toMatchObject(
          type === 'other' ? { state: null, result: null } : { result: `[null,{"of":${id}}]` },
        )
      expect((await store.verify()).violations).toEqual([])
    })

    test('comes with others up to some megabytes, and the rest with the next call', async () => {
      const opened = await open()
      const { store } = opened
      const jobs = await startAll(opened, 5)
      for (const job of jobs) await store.apply([succeed(job, JSON.stringify('x'.repeat(2_000_000)))])
      const all = jobs.map(({ id }) => id)

      const first = [...(await store.ended(all)).keys()]
      const rest = [...(await store.ended(all.slice(first.length))).keys()]

      expect([...first, ...rest]).toEqual(all)
      expect(first.length).toBe(3)
    })
  })
}
