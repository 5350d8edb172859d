import { expect, test } from 'vitest'
import type { JobSystem } from '../../../src/index.ts'
import { Prefetch } from '../../../src/machines/prefetch.ts'
import { Slots } from '../../../src/machines/slots.ts'
import { toWorkerActivity } from '../../../src/observe/telemetry/activity.ts'
import { deferred } from '../../support/deferred.ts'
import { openSystem, startAt, startSystem, until } from '../../support/system.ts'

/** Waits until so many handlers were called: their `running` is in the file before that. */
const untilCalled = (system: JobSystem, count: number) =>
  until(() => system.activity().workers.filter(({ since }) => since !== null).length === count)

test('a system reports what each worker runs, and since when', async () => {
  const blocker = deferred()
  const { system, clock } = await startSystem({ workers: 3, runs: { work: () => blocker.promise } })
  await system.enqueue({ type: 'work', payload: 'a secret' })
  await untilCalled(system, 1)
  clock.advance(500)
  await system.enqueue({ type: 'work', payload: 'a secret' })
  await untilCalled(system, 2)

  const activity = system.activity()

  expect(activity).toEqual({
    mode: 'dispatching',
    slots: 3,
    workers: [
      { worker: 1, jobId: 1, type: 'work', attempt: 1, phase: 'running', since: startAt },
      { worker: 2, jobId: 2, type: 'work', attempt: 1, phase: 'running', since: startAt + 500 },
    ],
  })
  blocker.resolve()
  await until(() => system.activity().workers.length === 0)
})

test('a stopped system runs nothing, and says so', async () => {
  const { system } = await startSystem({ runs: { work: () => undefined } })

  await system.stop()

  expect(system.activity()).toEqual({ mode: 'stopped', slots: 10, workers: [] })
})

test('a system that was not started runs nothing', async () => {
  const { system } = await openSystem({ runs: { work: () => undefined } })

  expect(system.activity().workers).toEqual([])
})

test('a producer has no mode and no slots', async () => {
  const { system } = await startSystem({ runs: null })

  expect(system.activity()).toEqual({ mode: null, slots: 0, workers: [] })
})

test('a handler that continues after its attempt was given up is shown as stuck, since its call', async () => {
  const blocker = deferred()
  const { system, clock } = await startSystem({ workers: 2, runs: { work: () => blocker.promise } })
  await system.enqueue({ type: 'work', payload: 1, timeoutMs: 1 })
  await untilCalled(system, 1)
  clock.advance(1_000)

  await until(() => system.activity().workers.some(({ phase }) => phase === 'stuck'))

  expect(system.activity().workers).toEqual([
    { worker: 1, jobId: 1, type: 'work', attempt: 1, phase: 'stuck', since: startAt },
  ])
  blocker.resolve()
  await until(() => system.activity().workers.length === 0)
})

test('a job whose handler is about to be called has no start yet', () => {
  const slots = new Slots([1])
  const prefetch = new Prefetch(slots, { withinMs: 10, mostAtLeast: 0 })
  const job = {
    id: 7,
    leaseToken: 3,
    type: 'work',
    queue: 'default',
    payload: '1',
    attempt: 2,
    maxAttempts: 4,
    timeoutMs: null,
    runAt: 0,
    trace: null,
  }

  prefetch.started(prefetch.ask()!.limit, [job])
  prefetch.assign()

  expect(toWorkerActivity(slots.assigned())).toEqual([
    { worker: 1, jobId: 7, type: 'work', attempt: 3, phase: 'running', since: null },
  ])
})
