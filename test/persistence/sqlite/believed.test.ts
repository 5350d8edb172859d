import { EventEmitter } from 'node:events'
import { setImmediate } from 'node:timers/promises'
import { expect, test } from 'vitest'
import type { ThreadLink } from '../../../src/persistence/sqlite/client.ts'
import { openSqliteStore } from '../../../src/persistence/sqlite/client.ts'
import type { Ask, Tell, ThreadOptions } from '../../../src/persistence/sqlite/protocol.ts'
import { quiet } from '../../../src/persistence/sqlite/store-thread.ts'
import type { StoreNotice } from '../../../src/persistence/store.ts'
import { aJob, openStore } from '../../support/store.ts'

/** A store whose thread is this test, and a call that it has sent. */
async function aCall() {
  // Its thread makes the file, which the store reads.
  const { path, store: other, clock } = await openStore()
  await other.close()
  const link = new EventEmitter()
  const asked: Ask[] = []
  let believed!: Int32Array
  const notices: StoreNotice[] = []
  const start = (options: ThreadOptions): ThreadLink => {
    believed = options.believed
    queueMicrotask(() => link.emit('message', { ...quiet, opened: { epochs: [] } } satisfies Tell))
    return Object.assign(link, { postMessage: (ask: Ask) => asked.push(ask) }) as never
  }
  const store = await openSqliteStore(
    {
      path,
      clock,
      types: [],
      leaseMs: 1_000,
      maxQueueDepth: 10,
      retentionMs: 0,
      owner: null,
      newDatabaseId: 'id',
      notify: (notice) => notices.push(notice),
      longestTimeoutMs: () => 0,
    },
    start,
  )
  let answer: unknown
  void store.enqueue([aJob()]).then((answered) => {
    answer = answered
  })
  await setImmediate()
  const callId = asked[0]![0]![0]
  return {
    tell: () => link.emit('message', { ...quiet, settled: [[callId, { firstId: 7, states: ['queued'] }]] } as Tell),
    believe: () => Atomics.store(believed, 0, 1),
    lose: () => link.emit('message', { ...quiet, fatal: { message: 'it is gone', lost: true } } satisfies Tell),
    answer: () => answer,
    notices,
  }
}

/** Some turns of the loop. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await setImmediate()
}

test('an answer is held back until the files were looked at after its commit', async () => {
  const { tell, believe, answer } = await aCall()

  tell()
  await turns()
  expect(answer()).toBe(undefined)
  believe()
  await turns()

  expect(answer()).toMatchObject({ outcome: 'stored' })
})

test('an answer that comes after the look is passed on at once', async () => {
  const { tell, believe, answer } = await aCall()

  believe()
  tell()
  await Promise.resolve().then(() => {})

  expect(answer()).toMatchObject({ outcome: 'stored' })
})

test('an answer whose commit may be lost is never passed on', async () => {
  const { tell, believe, lose, answer, notices } = await aCall()

  tell()
  lose()
  believe()
  await turns()

  expect(answer()).toBe(undefined)
  expect(notices).toEqual([expect.objectContaining({ type: 'fatal' })])
})
