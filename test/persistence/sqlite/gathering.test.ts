import { Worker } from 'node:worker_threads'
import { expect, test, vi } from 'vitest'
import { countBatched } from '../../../src/persistence/sqlite/batches.ts'
import type { Requests } from '../../../src/persistence/sqlite/thread/protocol.ts'
import { aJob, openStore } from '../../support/store.ts'
import { onThreads } from '../../support/store-here.ts'
import { whenDone } from '../../support/temp.ts'

onThreads()

/** A store, and how many calls each message to its thread had. */
async function aStore() {
  const posted = vi.spyOn(Worker.prototype, 'postMessage')
  whenDone(() => posted.mockRestore())
  const { store } = await openStore()
  const callCounts = () =>
    posted.mock.calls.flatMap(([ask]) =>
      (ask as Requests).flatMap(([, request]) =>
        request.op === 'enqueue' ? [request.counts?.length ?? countBatched(request.batches)] : [],
      ),
    )
  /** This many callers, each with two jobs, the second once the first is stored. */
  const twice = (callers: number) =>
    Promise.all(
      Array.from({ length: callers }, async () => {
        await store.enqueue([aJob()])
        await store.enqueue([aJob()])
      }),
    )
  return { store, callCounts, twice }
}

test('requests of one turn go to the thread in one message', async () => {
  const { callCounts, twice } = await aStore()

  await twice(20)

  expect(callCounts()).toEqual([20, 20])
})

test('if many callers ask again when they are answered, the first half is sent before the others have asked', async () => {
  const { callCounts, twice } = await aStore()

  await twice(100)

  expect(callCounts()).toEqual([100, 50, 50])
})

test('five hundred jobs are sent at once', async () => {
  const { store, callCounts } = await aStore()

  await Promise.all([300, 200, 1].map((length) => store.enqueue(Array.from({ length }, () => aJob()))))

  expect(callCounts()).toEqual([2, 1])
})

test('jobs with a million characters of payloads are sent at once, and those of one call together', async () => {
  const { store, callCounts } = await aStore()
  const payload = JSON.stringify('x'.repeat(300_000))
  const enqueue = (count: number) => store.enqueue(Array.from({ length: count }, () => aJob({ payload })))

  await Promise.all([enqueue(1), enqueue(1), enqueue(1), enqueue(1), enqueue(1), enqueue(9), enqueue(1)])

  expect(callCounts()).toEqual([4, 2, 1])
})
