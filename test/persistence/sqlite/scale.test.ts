import { expect, test } from 'vitest'
import type { Writer } from '../../../src/persistence/sqlite/write/writer.ts'
import type { NewJobRow } from '../../../src/persistence/store.ts'
import { isWhole } from '../../support/share.ts'
import { aJob } from '../../support/store.ts'
import { newCalls, openWriter } from '../../support/writer.ts'

/** The plans show that nothing is scanned; this shows that no step gets slower either. The limit is generous, because what it guards against is a hundred times slower. */
const factor = 5
const few = 1_000
const many = 100_000
const limit = 20
const asked = [{ limit, start: false }]
const rounds = 31

/** How long each step of a server takes in a file with `count` waiting jobs of every kind. */
function timesWith(count: number) {
  const { commit, rehearse } = openWriter({ maxQueueDepth: 1_000_000 })
  const store = (job: NewJobRow) =>
    commit((writer) => writer.enqueue(newCalls(Array.from({ length: count }, () => job)), 0))
  /** The median of some runs, in ms. */
  const timed = (step: (writer: Writer) => unknown) => {
    const times = Array.from({ length: rounds }, () => {
      const before = performance.now()
      rehearse(step)
      return performance.now() - before
    })
    return times.sort((a, b) => a - b)[Math.floor(rounds / 2)]!
  }
  store(aJob({ type: 'nobody' }))
  while (commit((writer) => writer.lease(asked, 0)).aside.unhandled.size > 0);
  store(aJob())
  store(aJob({ delayMs: 60_000 }))
  commit((writer) => writer.lease(asked, 0))
  const some = Array.from({ length: limit }, (_, index) => index + 1)
  return {
    claim: timed((writer) => writer.lease(asked, 0)),
    enqueue: timed((writer) => writer.enqueue(newCalls([aJob({ idempotency: { key: 'k', content: 'c' } })]), 0)),
    promoteDue: timed((writer) => writer.promoteDue(59_999)),
    nextDueAt: timed((writer) => writer.nextDueAt()),
    expireLeases: timed((writer) => writer.expireLeases(0)),
    recoverOrphans: timed((writer) => writer.recoverOrphans(0, 0)),
    command: timed((writer) => writer.command('cancel', some, 'queued', 0)),
  }
}

test.runIf(isWhole)(
  'no step takes longer with a hundred times as many jobs waiting, delayed and without a handler',
  () => {
    const small = timesWith(few)
    const large = timesWith(many)

    // A step may be too short for the ratio to mean anything.
    const leastMs = 1
    const slower = Object.entries(large).filter(
      ([step, ms]) => ms > Math.max(small[step as keyof typeof small] * factor, leastMs),
    )
    expect(slower).toEqual([])
  },
)
