import { EventEmitter } from 'node:events'
import { setImmediate } from 'node:timers/promises'
import { expect, test, vi } from 'vitest'
import { DatabaseLostError, OutcomeUnknownError } from '../../../src/errors.ts'
import { openSqliteStore, type storeThreads } from '../../../src/persistence/sqlite/client.ts'
import type { Reply, Requests, ThreadOptions } from '../../../src/persistence/sqlite/thread/protocol.ts'
import { quiet } from '../../../src/persistence/sqlite/thread/store-thread.ts'
import type { StoreEvent } from '../../../src/persistence/store.ts'
import { aJob, openStore } from '../../support/store.ts'

/** A store whose thread is this test, and a call that it has sent. */
async function aCall() {
  // Its thread makes the file, which the store reads.
  const { path, store: other, clock } = await openStore()
  await other.close()
  const link = new EventEmitter()
  const asked: Requests[] = []
  let believed!: Int32Array
  const notices: StoreEvent[] = []
  const start = (options: ThreadOptions): ReturnType<typeof storeThreads.start> => {
    believed = options.believed
    queueMicrotask(() => link.emit('message', { ...quiet, opened: { epochs: [] } } satisfies Reply))
    return Object.assign(link, { postMessage: (ask: Requests) => asked.push(ask) }) as never
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
  void store.enqueue([aJob()]).then(
    (answered) => {
      answer = answered
    },
    (error) => {
      answer = error
    },
  )
  await setImmediate()
  const callId = asked[0]![0]![0]
  return {
    store,
    tell: () =>
      link.emit('message', { ...quiet, settled: [[callId, { firstId: 7, states: ['queued'], counts: [1] }]] } as Reply),
    /** As the thread does it. */
    believe: () => {
      Atomics.store(believed, 0, 1)
      if (Atomics.exchange(believed, 1, 0) === 1) link.emit('message', null)
    },
    lose: () => link.emit('message', { ...quiet, fatal: { message: 'it is gone', lost: true } } satisfies Reply),
    answer: () => answer,
    notices,
    asked,
  }
}

/** Some turns of the loop. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await setImmediate()
}

test('an answer is held back until the files were checked after its commit', async () => {
  const { tell, believe, answer } = await aCall()

  tell()
  await turns()
  expect(answer()).toBe(undefined)
  believe()
  await turns()

  expect(answer()).toMatchObject({ outcome: 'stored' })
})

test('an answer that is confirmed while the loop asks to be told is passed on at once', async () => {
  const { tell, believe, answer } = await aCall()
  const { store } = Atomics
  const believeFirst = (cells: Int32Array, index: number, value: number) => {
    believe()
    return store(cells, index, value)
  }
  vi.spyOn(Atomics, 'store').mockImplementationOnce(believeFirst as never)

  tell()
  await Promise.resolve().then(() => {})

  expect(answer()).toMatchObject({ outcome: 'stored' })
})

test('an answer that arrives after the check is passed on at once', async () => {
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

  expect(answer()).toBeInstanceOf(OutcomeUnknownError)
  expect(notices).toEqual([expect.objectContaining({ type: 'fatal' })])
})

test('when the store ends by itself, requests under way have an unknown outcome, and later ones are not stored', async () => {
  const { store, lose, answer, asked } = await aCall()
  const unsent = [
    store.enqueue([aJob()]),
    store.enqueue([aJob({ idempotency: { key: 'a', content: 'b' } })]),
    store.send('cancel', 1),
  ].map((call) => call.catch((error) => error))

  lose()
  const told = await Promise.all(unsent)
  await turns()

  expect(answer()).toMatchObject({
    code: 'outcome_unknown',
    message: expect.stringMatching(/may not have been stored: it is gone\. .*the same idempotency key/),
    cause: expect.any(DatabaseLostError),
  })
  expect(told).toEqual(told.map(() => expect.objectContaining({ code: 'unavailable' })))
  expect(asked).toHaveLength(1)
})
