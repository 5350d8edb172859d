import { EventEmitter } from 'node:events'
import { setImmediate } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { DatabaseLostError } from '../../../src/errors.ts'
import { openSqliteStore } from '../../../src/persistence/sqlite/client.ts'
import type { Reply, Requests } from '../../../src/persistence/sqlite/thread/protocol.ts'
import { quiet } from '../../../src/persistence/sqlite/thread/store-thread.ts'
import type { storeThreads } from '../../../src/persistence/sqlite/thread/store-threads.ts'
import type { StoreEvent } from '../../../src/persistence/store.ts'
import { aJob, openStore } from '../../support/store.ts'

/** A store whose thread is this test, and a call that it has sent. */
async function aCall() {
  // Its thread makes the file, which the store reads.
  const { path, store: other, clock } = await openStore()
  await other.close()
  const link = new EventEmitter()
  const asked: Requests[] = []
  const notices: StoreEvent[] = []
  const start = (): ReturnType<typeof storeThreads.start> => {
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
  return {
    store,
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

test('when the store ends by itself, requests under way have an unknown outcome, and later ones are not stored', async () => {
  const { store, lose, answer, notices, asked } = await aCall()
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
  expect(notices).toEqual([expect.objectContaining({ type: 'fatal' })])
  expect(told).toEqual(told.map(() => expect.objectContaining({ code: 'unavailable' })))
  expect(asked).toHaveLength(1)
})
