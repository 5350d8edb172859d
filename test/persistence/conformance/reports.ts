import { describe, expect, test } from 'vitest'
import { type LeasedJob, type LogLine, logMax, type Store } from '../../../src/persistence/store.ts'
import { aJob } from '../../support/store.ts'
import { ids, leaseOf, type Open, settle } from './helpers.ts'

const newest = { after: 0, limit: 2_000 }

/** Lines of 100 bytes each, named from `first` on. */
function lines(count: number, first = 1): LogLine[] {
  return Array.from({ length: count }, (_, index) => ({
    at: index,
    level: 'info',
    message: `line ${first + index}`,
    fields: null,
    bytes: 100,
  }))
}

async function aRunningJob(store: Store): Promise<LeasedJob> {
  await store.enqueue([aJob({ maxAttempts: 9 })])
  const [job] = await store.lease({ limit: 1, wait: false, start: true })
  return job!
}

const messagesOf = async (store: Store, id: number) =>
  (await store.log(id, newest))?.lines.map(({ message }) => message)

/** What handlers report while they run. */
export function testReports(open: Open): void {
  describe('a report', () => {
    test('is read back: the progress with its job, the lines in their order', async () => {
      const { store, clock } = await open()
      const job = await aRunningJob(store)
      clock.advance(7)

      await store.report([
        {
          ...leaseOf(job),
          report: {
            progress: '{"done":1,"total":3}',
            lines: [
              { at: 5, level: 'warn', message: 'slow', fields: '{"ms":9,"nul":"\\u0000"}', bytes: 80 },
              { at: 6, level: 'error', message: "it's “odd” \u2028\n", fields: null, bytes: 80 },
            ],
          },
        },
      ])

      const at = clock.now()
      expect(await store.find(job.id)).toMatchObject({
        progress: '{"done":1,"total":3}',
        progressAt: at,
        progressAttempt: 1,
      })
      expect(await store.log(job.id, newest)).toEqual({
        lines: [
          { n: 1, attempt: 1, at: 5, level: 'warn', message: 'slow', fields: '{"ms":9,"nul":"\\u0000"}' },
          { n: 2, attempt: 1, at: 6, level: 'error', message: "it's “odd” \u2028\n", fields: null },
        ],
        first: 1,
        last: 2,
      })
      const { id, type, queue } = job
      expect(await store.progressSince(at)).toEqual([
        { job: { id, type, queue }, value: '{"done":1,"total":3}', attempt: 1, at },
      ])
      expect(await store.progressSince(at + 1)).toEqual([])
    })

    test('with an outcome is stored with it, also if that gives the attempt back', async () => {
      const { store } = await open()
      const job = await aRunningJob(store)

      expect(
        await store.apply([
          { ...leaseOf(job), event: 'snooze', delayMs: 1_000, report: { progress: '50', lines: lines(1) } },
        ]),
      ).toEqual([])

      expect(await store.find(job.id)).toMatchObject({ attempt: 0, progress: '50', progressAttempt: 1 })
      expect((await store.log(job.id, newest))?.lines).toMatchObject([{ attempt: 1, message: 'line 1' }])
    })

    test('that was sent before the outcome comes before it', async () => {
      const { store } = await open()
      const job = await aRunningJob(store)

      const reported = store.report([{ ...leaseOf(job), report: { progress: '1', lines: lines(1) } }])
      const applied = store.apply([
        { ...leaseOf(job), event: 'succeed', report: { progress: '2', lines: lines(1, 2) } },
      ])

      expect(await applied).toEqual([])
      await reported
      expect(await store.find(job.id)).toMatchObject({ progress: '2' })
      expect(await messagesOf(store, job.id)).toEqual(['line 1', 'line 2'])
    })

    test('of a worker that lost its lease writes nothing, alone or with its outcome', async () => {
      const { store } = await open()
      const job = await aRunningJob(store)
      await store.report([{ ...leaseOf(job), report: { progress: '1', lines: lines(1) } }])
      await store.send('cancel', job.id)
      await store.send('requeue', job.id)
      const [next] = await store.lease({ limit: 1, wait: false, start: true })
      expect(next!.id).toBe(job.id)

      const report = { progress: '2', lines: lines(1, 2) }
      await store.report([{ ...leaseOf(job), report }])
      const late = { ...leaseOf(job), event: 'succeed' as const, report }
      expect(await store.apply([late])).toEqual([late])

      expect(await store.find(job.id)).toMatchObject({ state: 'running', progress: '1' })
      expect(await messagesOf(store, job.id)).toEqual(['line 1'])
    })

    test('stays when a new attempt begins, until that reports, and the lines of all attempts are one log', async () => {
      const { store, clock } = await open()
      const job = await aRunningJob(store)
      await store.apply([{ ...leaseOf(job), event: 'fail', delayMs: 0, report: { progress: '80', lines: lines(1) } }])
      clock.advance(1)
      await store.sweep()
      const [next] = await store.lease({ limit: 1, wait: false, start: true })
      expect(await store.find(job.id)).toMatchObject({ attempt: 2, progress: '80', progressAttempt: 1 })

      await store.report([{ ...leaseOf(next!), report: { progress: '10', lines: lines(1, 2) } }])

      expect(await store.find(job.id)).toMatchObject({ progress: '10', progressAttempt: 2 })
      expect((await store.log(job.id, newest))?.lines).toMatchObject([
        { n: 1, attempt: 1 },
        { n: 2, attempt: 2 },
      ])
    })

    test('has no bound of its own, but a log keeps its newest 1,000 lines', async () => {
      const { store } = await open()
      const job = await aRunningJob(store)
      const report = (count: number, first: number) =>
        store.report([{ ...leaseOf(job), report: { lines: lines(count, first) } }])

      await report(700, 1)
      await report(700, 701)
      await report(1, 1_401)

      const log = (await store.log(job.id, newest))!
      expect(log).toMatchObject({ first: 402, last: 1_401 })
      expect(log.lines.map(({ message }) => message)).toEqual(lines(1_000, 402).map(({ message }) => message))
      expect((await store.log(job.id, { after: 1_399, limit: 9 }))?.lines.map(({ n }) => n)).toEqual([1_400, 1_401])
      expect((await store.log(job.id, { after: 0, limit: 2 }))?.lines.map(({ n }) => n)).toEqual([402, 403])
      expect((await store.log(job.id, { after: Number.MAX_SAFE_INTEGER, limit: 2 }))?.lines).toEqual([])
    })

    test('in long lines keeps the newest whose bytes are within the bound', async () => {
      const { store } = await open()
      const job = await aRunningJob(store)
      const bytes = logMax.bytes / 8
      const long = lines(10).map((line) => ({ ...line, bytes }))

      await store.report([{ ...leaseOf(job), report: { lines: long } }])

      expect(await store.log(job.id, newest)).toMatchObject({ first: 3, last: 10 })
      await store.report([{ ...leaseOf(job), report: { lines: [{ ...long[0]!, bytes: logMax.bytes }] } }])
      expect(await store.log(job.id, newest)).toMatchObject({ first: 11, last: 11 })
    })

    test('is of its own job, and of no other', async () => {
      const { store } = await open()
      const [one, other] = [await aRunningJob(store), await aRunningJob(store)]

      await store.report([
        { ...leaseOf(one), report: { lines: lines(2) } },
        { ...leaseOf(other), report: { progress: '"other"', lines: [] } },
      ])

      expect(await messagesOf(store, one.id)).toEqual(['line 1', 'line 2'])
      expect(await store.log(other.id, newest)).toEqual({ lines: [], first: null, last: null })
      expect(await store.find(one.id)).toMatchObject({ progress: null, progressAt: null, progressAttempt: null })
      expect(await store.log(other.id + 1_000_000, newest)).toBeUndefined()
    })

    test('is there after the node ended without a word, and goes with its job', async () => {
      const first = await open({ retentionMs: 1_000 })
      const job = await aRunningJob(first.store)
      await first.store.report([{ ...leaseOf(job), report: { progress: '30', lines: lines(3) } }])

      const { store, clock } = await first.endNode()

      expect(await store.find(job.id)).toMatchObject({ progress: '30' })
      expect(await messagesOf(store, job.id)).toEqual(['line 1', 'line 2', 'line 3'])
      await store.enqueue([aJob()])
      const leased = await store.lease({ limit: 2, wait: false, start: true })
      for (const each of leased) await settle(store, each, 'succeed')
      clock.advance(3_000)
      await store.sweep()
      await store.sweep()
      expect(await store.log(job.id, newest)).toBeUndefined()
      expect(await store.progressSince(0)).toEqual([])
      expect((await store.verify()).violations).toEqual([])
      const [again] = ids(await store.enqueue([aJob()]))
      expect(await store.log(again!, newest)).toEqual({ lines: [], first: null, last: null })
    })
  })
}
