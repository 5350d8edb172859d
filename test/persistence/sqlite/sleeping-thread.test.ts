import { chmodSync } from 'node:fs'
import { join } from 'node:path'
import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads'
import { afterEach, expect, test, vi } from 'vitest'
import { CommitMeter } from '../../../src/persistence/commit-meter.ts'
import { makeFile } from '../../../src/persistence/sqlite/file/connection.ts'
import type { Reply, Requests, ThreadOptions } from '../../../src/persistence/sqlite/thread/protocol.ts'
import { runStore } from '../../../src/persistence/sqlite/thread/thread.ts'
import { ManualClock } from '../../../src/runtime/clock.ts'
import { aJob, leaseMs, startAt } from '../../support/store.ts'
import { until } from '../../support/system.ts'
import { tempFolder } from '../../support/temp.ts'
import { newCalls } from '../../support/writer.ts'

afterEach(() => void vi.restoreAllMocks())

function optionsOf(path: string, bell: Int32Array): ThreadOptions {
  return {
    path,
    server: null,
    writer: { types: [], leaseMs, maxQueueDepth: 10, retentionMs: 0 },
    newDatabaseId: 'id',
    acceptLoss: undefined,
    clock: new ManualClock(startAt).cell,
    heartbeat: null,
    commits: new CommitMeter().memory,
    bell,
  }
}

test('the thread does not sleep through a request that comes after its last look, and its event loop turns', async () => {
  const { port1: here, port2: there } = new MessageChannel()
  const bell = new Int32Array(new SharedArrayBuffer(4))
  const path = join(tempFolder(), 'jobs.db')
  makeFile(path)
  const enqueue: Requests = [[1, { op: 'enqueue', ...newCalls([aJob()]), firstCallId: 1 }]]
  const woken: string[] = []
  const { wait } = Atomics
  vi.spyOn(Atomics, 'wait').mockImplementation(((cells: Int32Array, index: number, heard: number, ms: number) => {
    if (woken.length === 0) {
      here.postMessage(enqueue)
      Atomics.add(bell, 0, 1)
    }
    woken.push(wait(cells, index, heard, ms))
    return woken.at(-1)
  }) as typeof Atomics.wait)

  runStore(there, optionsOf(path, bell), true)
  const replies: Reply[] = []
  for (let next = receiveMessageOnPort(here); next; next = receiveMessageOnPort(here)) replies.push(next.message)
  const closed = new Promise((resolve) => here.once('close', resolve))
  here.on('message', () => {})
  here.postMessage([[2, { op: 'close' }]] satisfies Requests)
  await closed

  expect(woken[0]).toBe('not-equal')
  expect(replies.flatMap(({ settled }) => settled)).toMatchObject([[1, { firstId: 1 }]])
})

test.runIf(process.platform === 'linux')(
  'once it is idle it sleeps for a second, unless somebody does something to the files',
  async () => {
    const { port1: here, port2: there } = new MessageChannel()
    const path = join(tempFolder(), 'jobs.db')
    makeFile(path)
    const wait = vi.spyOn(globalThis, 'setTimeout')
    const sleeps = () => wait.mock.calls.filter(([, ms]) => ms! > 500 && ms! <= 1_000).length

    runStore(there, optionsOf(path, new Int32Array(new SharedArrayBuffer(4))), true)
    await until(() => sleeps() > 0)
    const before = wait.mock.calls.length
    const blocked = vi.spyOn(Atomics, 'wait')
    chmodSync(path, 0o600)
    await until(() => wait.mock.calls.length > before)
    const closed = new Promise((resolve) => here.once('close', resolve))
    here.on('message', () => {})
    here.postMessage([[1, { op: 'close' }]] satisfies Requests)
    await closed

    expect(wait.mock.calls[before]![1]).toBeLessThanOrEqual(100)
    // The report comes before the commit that it is about can be seen.
    expect(blocked.mock.calls[0]![3]).toBeLessThanOrEqual(10)
  },
)
