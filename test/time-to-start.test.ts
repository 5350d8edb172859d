import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { createJobSystem as create, JobSystem } from '../src/index.ts'
import { systemClock } from '../src/runtime/clock.ts'
import { deferred } from './support/deferred.ts'
import { neverTicks, patchedBuild } from './support/patched-build.ts'
import { aHandler, type Run } from './support/system.ts'
import { cleanUp, tempFolder, whenDone } from './support/temp.ts'

let createJobSystem: typeof create
// No start may wait for a tick of the store, so in this copy of the built code none comes.
beforeAll(async () => {
  const build = patchedBuild(tempFolder(), neverTicks)
  ;({ createJobSystem } = await import(/* @vite-ignore */ pathToFileURL(join(build, 'index.js')).href))
})
afterAll(cleanUp)

async function startWithoutTicks(run: Run): Promise<JobSystem> {
  const system = await createJobSystem({ database: join(tempFolder(), 'jobs.db'), handlers: [aHandler('work', run)] })
  whenDone(() => system.stop({ graceMs: 0 }))
  await system.start()
  return system
}

/** The quickest of many runs: other processes may use the processors meanwhile. */
const quickest = (times: readonly number[]) => Math.min(...times)

/** How long this machine needs at least to store a job, in ms: what a start takes is compared with it, for disks and processors differ. */
async function storingMs(system: JobSystem): Promise<number> {
  const times: number[] = []
  for (let i = 0; i < 20; i++) {
    const before = performance.now()
    await system.enqueue({ type: 'work', payload: null, delayMs: 86_400_000 })
    times.push(performance.now() - before)
  }
  return quickest(times)
}

test('a job that is enqueued on an idle system starts within milliseconds: nothing waits for a poll', async () => {
  let tell = (_: number) => {}
  const system = await startWithoutTicks(() => tell(performance.now()))
  const allowedMs = 8 + 2 * (await storingMs(system))

  const times: number[] = []
  for (let i = 0; i < 50; i++) {
    // Not a multiple of any tick.
    await setTimeout((i * 7) % 30)
    const started = deferred<number>()
    tell = started.resolve
    const before = performance.now()
    await system.enqueue({ type: 'work', payload: null })
    times.push((await started.promise) - before)
  }

  expect(quickest(times)).toBeLessThan(allowedMs)
})

test('a delayed job starts within milliseconds of its instant', async () => {
  let tell = (_: number) => {}
  const system = await startWithoutTicks(() => tell(systemClock.now()))
  const allowedMs = 15 + 5 * (await storingMs(system))
  const late: number[] = []
  for (let i = 0; i < 20; i++) {
    const started = deferred<number>()
    tell = started.resolve
    const runAt = Date.now() + 15 + (i % 7)
    await system.enqueue({ type: 'work', payload: null, runAt })
    late.push((await started.promise) - runAt)
  }

  expect(quickest(late)).toBeGreaterThanOrEqual(0)
  expect(quickest(late)).toBeLessThan(allowedMs)
})
