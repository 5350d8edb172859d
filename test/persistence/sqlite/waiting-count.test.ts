import { expect, test } from 'vitest'
import type { Writer } from '../../../src/persistence/sqlite/write/writer.ts'
import { aJob } from '../../support/store.ts'
import { newCalls, openWriter } from '../../support/writer.ts'

const enqueue = (jobs: number) => (writer: Writer) =>
  writer.enqueue(newCalls(Array.from({ length: jobs }, () => aJob())), 1)
const cancel = (id: number) => (writer: Writer) => writer.command('cancel', [id], undefined, 1)
const stored = expect.objectContaining({ firstId: expect.any(Number) })
const full = (depth: number) => [{ outcome: 'full', queue: null, depth }]

test('the limit on waiting jobs counts what another process has stored and cancelled since the last transaction', () => {
  const own = openWriter({ maxQueueDepth: 3 })
  const other = openWriter({ maxQueueDepth: 3 }, own.path)

  expect(own.commit(enqueue(1))).toEqual(stored)
  expect(other.commit(enqueue(2))).toEqual(stored)

  expect(own.commit(enqueue(1))).toEqual(full(3))
  other.commit(cancel(1))
  expect(own.commit(enqueue(1))).toEqual(stored)
  expect(own.commit(enqueue(1))).toEqual(full(3))
})

test('what was rolled back does not count, even if another process has then stored as many jobs', () => {
  const own = openWriter({ maxQueueDepth: 3 })
  const other = openWriter({ maxQueueDepth: 3 }, own.path)

  own.commit(enqueue(1))
  own.rehearse(enqueue(2))
  expect(own.commit(enqueue(1))).toEqual(stored)
  own.rehearse(cancel(1))
  other.commit(enqueue(1))

  expect(own.commit(enqueue(1))).toEqual(full(3))
})
