import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openForWriting } from '../../../src/persistence/sqlite/connection.ts'
import { Writer } from '../../../src/persistence/sqlite/writer.ts'
import type { NewJobRow } from '../../../src/persistence/store.ts'
import { aJob } from '../../support/store.ts'
import { tempFolder, whenDone } from '../../support/temp.ts'

/** The plans say that nothing is scanned; this says that no step grows either. Generous: what it guards against grows a hundredfold. */
const factor = 5
const few = 1_000
const many = 100_000
const room = 20
const asked = [{ room, start: false }]
const rounds = 31

/** A writer in a file of its own, and a way to run parts of it in a transaction that is rolled back. */
function aWriter() {
  const db = openForWriting(join(tempFolder(), 'jobs.db'), () => 'id', 0)
  whenDone(() => db.close())
  const writer = new Writer(db, {
    types: ['work'],
    leaseMs: 1,
    maxQueueDepth: 1_000_000,
    retentionMs: 0,
    retryBaseMs: 1,
    retryMaxMs: 1,
  })
  const inTransaction = <T>(run: () => T, end: 'COMMIT' | 'ROLLBACK'): T => {
    db.exec('BEGIN IMMEDIATE')
    writer.begin()
    const result = run()
    writer.finish()
    db.exec(end)
    return result
  }
  return {
    writer,
    store(count: number, job: NewJobRow): void {
      inTransaction(() => writer.enqueue([Array.from({ length: count }, () => job)], 0), 'COMMIT')
    },
    commit: <T>(run: () => T) => inTransaction(run, 'COMMIT'),
    /** The median of some runs, in ms. */
    timed(run: () => unknown): number {
      const times = Array.from({ length: rounds }, () => {
        const before = performance.now()
        inTransaction(run, 'ROLLBACK')
        return performance.now() - before
      })
      return times.sort((a, b) => a - b)[Math.floor(rounds / 2)]!
    },
  }
}

/** What each step of a server's life takes in a file with `count` jobs of every kind that waits. */
function timesWith(count: number) {
  const { writer, store, commit, timed } = aWriter()
  store(count, aJob({ type: 'nobody' }))
  while (commit(() => writer.lease(asked, 0)).unhandled.size > 0);
  store(count, aJob())
  store(count, aJob({ delayMs: 60_000 }))
  commit(() => writer.lease(asked, 0))
  const some = Array.from({ length: room }, (_, index) => index + 1)
  return {
    claim: timed(() => writer.lease(asked, 0)),
    enqueue: timed(() => writer.enqueue([[aJob({ idempotency: { key: 'k', content: 'c' } })]], 0)),
    promoteDue: timed(() => writer.promoteDue(59_999)),
    nextDueAt: timed(() => writer.nextDueAt()),
    expireLeases: timed(() => writer.expireLeases(0)),
    recoverOrphans: timed(() => writer.recoverOrphans(0, 0, 0)),
    command: timed(() => writer.command('cancel', some, 'queued', 0)),
  }
}

test('no step takes longer with a hundred times as many jobs waiting, delayed and without a handler', () => {
  const small = timesWith(few)
  const large = timesWith(many)

  // A step may be too short for the ratio to mean anything.
  const leastMs = 1
  const slower = Object.entries(large).filter(
    ([step, ms]) => ms > Math.max(small[step as keyof typeof small] * factor, leastMs),
  )
  expect(slower).toEqual([])
})
