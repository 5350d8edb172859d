import { setTimeout } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { systemClock } from '../src/clock.ts'
import { createJobSystem } from '../src/index.ts'
import { deferred } from './support/deferred.ts'
import { aHandler, startSystem } from './support/system.ts'
import { tempFolder, whenDone } from './support/temp.ts'

/** What the fallback tick of the store is, and what the system in the brief polled at: no start may wait for one. */
const pollMs = 100

/** How long after `enqueue` was called the handler was, job by job, each on an idle system. */
async function timesToStart(
  count: number,
  enqueue: (started: (at: number) => void) => Promise<unknown>,
): Promise<number[]> {
  const times: number[] = []
  for (let i = 0; i < count; i++) {
    // Off the beat of any tick there is.
    await setTimeout((i * 7) % 30)
    const started = deferred<number>()
    const before = performance.now()
    await enqueue(started.resolve)
    times.push((await started.promise) - before)
  }
  return times.sort((a, b) => a - b)
}

// Again where neighbours had the processors meanwhile.
test('a job that is enqueued on an idle system is started within milliseconds: nothing waits for a poll', {
  retry: 3,
}, async () => {
  let tell = (_: number) => {}
  const { system } = await startSystem({ runs: { work: () => tell(performance.now()) } })

  const times = await timesToStart(50, (started) => {
    tell = started
    return system.enqueue({ type: 'work', payload: null })
  })

  expect(times[25]).toBeLessThan(10)
  // Polling would spread them evenly up to its interval.
  expect(times[45]).toBeLessThan(pollMs / 2)
})

test('a delayed job is started within milliseconds of its instant', async () => {
  let tell = (_: number) => {}
  const system = await createJobSystem({
    database: `${tempFolder()}/jobs.db`,
    handlers: [aHandler('work', () => tell(systemClock.now()))],
  })
  whenDone(() => system.stop())
  await system.start()
  const late: number[] = []
  for (let i = 0; i < 20; i++) {
    const started = deferred<number>()
    tell = started.resolve
    const runAt = Date.now() + 15 + (i % 7)
    await system.enqueue({ type: 'work', payload: null, runAt })
    late.push((await started.promise) - runAt)
  }

  late.sort((a, b) => a - b)
  expect(late[0]).toBeGreaterThanOrEqual(0)
  expect(late[10]).toBeLessThan(20)
})
