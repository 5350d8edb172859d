import { describe, expect, test } from 'vitest'
import type { LeasedJob } from '../../../src/persistence/store.ts'
import { aJob } from '../../support/store.ts'
import { ids, leaseOf, type Open } from './helpers.ts'

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const traceparent = `00-${traceId}-00f067aa0ba902b7-01`
const attempt = (n: number) => `00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333${n}-01`

/** What jobs keep of the traces that they belong to. */
export function testTraces(open: Open): void {
  describe('a trace', () => {
    test('comes back with each lease of the jobs that have one, and its id with the job', async () => {
      const { store } = await open()
      const trace = { traceparent, tracestate: 'a=1,b=2' }
      const [traced, other, bare] = ids(
        await store.enqueue([
          aJob({ trace }),
          aJob(),
          aJob({ priority: -1, trace: { traceparent: attempt(1), tracestate: null } }),
        ]),
      )

      const jobs = await store.lease({ limit: 9, wait: false })

      expect(jobs.map(({ id, trace }) => [id, trace])).toEqual([
        [traced, { ...trace, lastAttempt: null }],
        [other, null],
        [bare, { traceparent: attempt(1), tracestate: null, lastAttempt: null }],
      ])
      expect(await store.find(traced!)).toMatchObject({ traceId })
      expect(await store.find(other!)).toMatchObject({ traceId: null })
      expect(await store.jobFacts(traced!)).toMatchObject({ job: { traceId } })
    })

    test('is that of the first call with a key', async () => {
      const { store } = await open()
      const keyed = (trace: string) =>
        aJob({ idempotency: { key: 'k', content: 'same' }, trace: { traceparent: trace, tracestate: null } })
      const [id] = ids(await store.enqueue([keyed(traceparent)]))

      await Promise.all([store.enqueue([keyed(attempt(1))]), store.enqueue([aJob(), keyed(attempt(2))])])

      expect((await store.find(id!))?.traceId).toBe(traceId)
      expect((await store.lease({ limit: 9, wait: false })).map(({ trace }) => trace?.traceparent)).toEqual([
        traceparent,
        undefined,
      ])
    })

    test('has the last attempt that ended, also after the node ended', async () => {
      const opened = await open()
      const { store, clock } = opened
      await store.enqueue([
        aJob({ maxAttempts: 9, trace: { traceparent, tracestate: null } }),
        aJob({ maxAttempts: 9 }),
      ])
      const failAll = async (jobs: readonly LeasedJob[], n: number) =>
        store.apply(jobs.map((job) => ({ ...leaseOf(job), event: 'fail' as const, traceparent: attempt(n) })))
      await failAll(await store.lease({ limit: 2, wait: false, start: true }), 1)
      clock.advance(1)
      await store.sweep()
      await failAll(await store.lease({ limit: 2, wait: false, start: true }), 2)
      const next = await opened.endNode()
      next.clock.advance(1)
      await next.store.sweep()

      const jobs = await next.store.lease({ limit: 2, wait: false })

      expect(jobs.map(({ trace }) => trace)).toEqual([
        { traceparent, tracestate: null, lastAttempt: attempt(2) },
        { traceparent: null, tracestate: null, lastAttempt: attempt(2) },
      ])
    })

    test('is not changed by an attempt whose lease was lost', async () => {
      const { store } = await open()
      await store.enqueue([aJob()])
      const [job] = (await store.lease({ limit: 1, wait: false, start: true })) as [LeasedJob]
      await store.send('cancel', job.id)

      const late = { ...leaseOf(job), event: 'fail' as const, traceparent: attempt(1) }
      expect(await store.apply([late])).toEqual([late])

      await store.send('requeue', job.id)
      expect((await store.lease({ limit: 1, wait: false }))[0]?.trace).toBeNull()
    })
  })
}
