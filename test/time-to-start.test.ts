import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { createJobSystem as create, JobSystem } from '../src/index.ts'
import { systemClock } from '../src/runtime/clock.ts'
import { deferred } from './support/deferred.ts'
import { patchedBuild } from './support/patched-build.ts'
import { aHandler, type Run } from './support/system.ts'
import { cleanUp, tempFolder, whenDone } from './support/temp.ts'

let createJobSystem: typeof create
// No start may wait for a tick of the store, so in this copy of the built code none comes.
beforeAll(async () => {
  const build = patchedBuild(tempFolder(), [
    {
      file: 'persistence/sqlite/thread/store-thread.js',
      find: 'const tickMs = beatMs',
      replace: 'const tickMs = 600_000',
    },
    {
      file: 'persistence/sqlite/thread/store-thread.js',
      find: 'const fallbackTicks = 10',
      replace: 'const fallbackTicks = 1e9',
    },
  ])
  ;({ createJobSystem } = await import(/* @vite-ignore */ pathToFileURL(join(build, 'index.js')).href))
})
afterAll(cleanUp)

async function startWithoutTicks(run: Run): Promise<JobSystem> {
  const system = await createJobSystem({ database: join(tempFolder(), 'jobs.db'), handlers: [aHandler('work', run)] })
  whenDone(() => system.stop({ graceMs: 0 }))
  await system.start()
  return system
}

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

test('a job that is enqueued on an idle system is started within milliseconds: nothing waits for a poll', async () => {
  let tell = (_: number) => {}
  const system = await startWithoutTicks(() => tell(performance.now()))

  const times = await timesToStart(50, (started) => {
    tell = started
    return system.enqueue({ type: 'work', payload: null })
  })

  // The quickest: neighbours may have the processors meanwhile.
  expect(times[0]).toBeLessThan(10)
})

test('a delayed job is started within milliseconds of its instant', async () => {
  let tell = (_: number) => {}
  const system = await startWithoutTicks(() => tell(systemClock.now()))
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
  expect(late[0]).toBeLessThan(20)
})
