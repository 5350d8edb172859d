import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, expect, test, vi } from 'vitest'
import { createJobSystem } from '../src/index.ts'
import { aHandler } from './support/system.ts'
import { tempFolder, whenDone } from './support/temp.ts'

afterEach(() => void vi.useRealTimers())

/** Waits in real time, whatever timers are installed: each read of a file takes some. */
async function reallyUntil(holds: () => unknown): Promise<void> {
  for (const before = process.hrtime.bigint(); process.hrtime.bigint() - before < 10_000_000_000n; ) {
    if (await holds()) return
    await readFile('package.json')
  }
  throw new Error('it has not come about in 10 s')
}

test.each([
  ['all that vitest fakes unless told otherwise', undefined],
  ['microtasks as well', ['setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask', 'performance', 'Date']],
] as const)('a system works while a test has faked its timers: %s', async (_, toFake) => {
  const ran: number[] = []
  const handlers = [
    aHandler('work', (_payload, { jobId }) => ran.push(jobId)),
    aHandler('fails', () => Promise.reject(new Error('once'))),
  ]
  const system = await createJobSystem({ database: join(tempFolder(), 'jobs.db'), handlers })
  whenDone(() => system.stop({ graceMs: 0 }))
  await system.start()
  vi.useFakeTimers(toFake ? { toFake: [...toFake] } : undefined)

  for (const _ of [1, 2, 3]) await system.enqueue({ type: 'work', payload: null })
  await system.enqueue({ type: 'fails', payload: null, maxRetries: 0 })
  await reallyUntil(async () => ran.length === 3 && (await system.counts()).dead === 1)
  const { ready } = system.health()
  await system.stop()

  expect([ran, ready]).toEqual([[1, 2, 3], true])
})
