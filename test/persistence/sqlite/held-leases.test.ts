import { describe, expect, test } from 'vitest'
import { intoSets } from '../../../src/persistence/sql/ranges.ts'
import { HeldLeases } from '../../../src/persistence/sqlite/thread/held-leases.ts'
import type { LeasedFacts } from '../../../src/persistence/sqlite/thread/protocol.ts'
import type { LeaseEvent } from '../../../src/persistence/store.ts'

const leaseToken = 2

/** Holds leases of these jobs; of `started` the handlers run. */
function holding(ids: readonly number[], started: readonly number[] = []): HeldLeases {
  const held = new HeldLeases()
  const facts = ids.map((id): LeasedFacts => [id, leaseToken, 'work', 0, 1, null, 0])
  held.add(facts, new Set(started))
  return held
}

function setsOf(event: LeaseEvent['event'], ...ids: number[]) {
  return intoSets(ids.map((id) => ({ id, leaseToken, event })))
}

describe('a held lease', () => {
  test('counts as running, for the watchdog to name, from its start on: also where it was started with its lease', () => {
    const held = holding([1, 2, 3], [2])

    held.follow(setsOf('start', 3), [])

    expect(held.runningIds()).toEqual([2, 3])
  })

  test('is renewed until its outcome, whatever that is', () => {
    const held = holding([1, 2, 3, 4], [1, 2, 3])

    held.follow([...setsOf('succeed', 1), ...setsOf('fail', 3)], [])

    expect(held.all().map(({ id }) => id)).toEqual([2, 4])
  })

  test('is no longer ours where its start was refused', () => {
    const held = holding([1, 2])

    held.follow(setsOf('start', 1, 2), [{ event: 'start', id: 1, leaseToken }])

    expect(held.all()).toEqual([{ id: 2, leaseToken }])
    expect(held.runningIds()).toEqual([2])
  })

  test('outlives the outcome of an earlier lease of its job', () => {
    const held = holding([1], [1])

    held.follow([{ event: 'succeed', ranges: [[1, 1, leaseToken - 1, 0, null]] }], [])

    expect(held.all()).toEqual([{ id: 1, leaseToken }])
  })
})
