import { expect, test } from 'vitest'
import { shareOf } from './support/share.ts'
import { onThreads } from './support/store-here.ts'
import { assertWhole, startSystem, until } from './support/system.ts'

onThreads()

test('each of thousands of jobs runs exactly once on a hundred workers, never more than a hundred at once, with a complete history', async () => {
  const jobs = shareOf({ share: 2_500, whole: 20_000 })
  const workers = 100
  const calls = new Map<number, number>()
  let active = 0
  let mostActive = 0
  const { system } = await startSystem({
    workers,
    runs: {
      work: async (_, { jobId }) => {
        calls.set(jobId, (calls.get(jobId) ?? 0) + 1)
        mostActive = Math.max(mostActive, ++active)
        await new Promise(setImmediate)
        active--
      },
    },
  })

  const enqueued = await Promise.all(
    Array.from({ length: jobs / 500 }, (_, batch) =>
      system.enqueue(Array.from({ length: 500 }, (_, n) => ({ type: 'work', payload: batch * 500 + n }))),
    ),
  )
  await until(async () => (await system.counts()).succeeded === jobs)

  const ids = enqueued.flat().map(({ id }) => id)
  expect(new Set(ids).size).toBe(jobs)
  expect(calls.size).toBe(jobs)
  expect(Math.max(...calls.values())).toBe(1)
  expect(mostActive).toBeLessThanOrEqual(workers)
  expect(mostActive).toBeGreaterThan(workers / 4)
  expect(await system.metrics()).toMatchObject({ activeWorkers: 0, queueDepth: 0, successCount: jobs, failureCount: 0 })
  for (const id of ids) {
    const history = await system.history(id)
    const path = history.map(({ event }) => event).join(' ')
    if (path !== 'enqueue lease start succeed') assertWhole(history)
    // On a machine that is slow for a moment, prefetched jobs are given back.
    expect(path, `job ${id}`).toMatch(/^enqueue( lease start release)* lease start succeed$/)
  }
})
