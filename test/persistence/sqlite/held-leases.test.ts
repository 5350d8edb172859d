import { describe, expect, test } from 'vitest'
import type { LeasedFacts } from '../../../src/persistence/leased-facts.ts'
import { intoSets } from '../../../src/persistence/sql/ranges.ts'
import { HeldLeases } from '../../../src/persistence/sqlite/thread/held-leases.ts'
import type { LeaseEvent } from '../../../src/persistence/store.ts'

const leaseToken = 2

/** Holds leases of these jobs; the handlers of `started` run. */
function holding(ids: readonly number[], started: readonly number[] = []): HeldLeases {
  const held = new HeldLeases()
  const facts = (id: number): LeasedFacts => [id, leaseToken, 'work', 'default', 0, 1, null, 0]
  for (const id of ids) held.add([facts(id)], started.includes(id))
  return held
}

function setsOf(event: LeaseEvent['event'], ...ids: number[]) {
  return intoSets(ids.map((id) => ({ id, leaseToken, event })))
}

describe('a held lease', () => {
  test('counts as running, for the watchdog’s report, from its start on, even if it was started with its lease', () => {
    const held = holding([1, 2, 3], [2])

    held.follow(setsOf('start', 3), [])

    expect(held.runningIds()).toEqual([2, 3])
  })

  test('is renewed until its outcome, whatever that is', () => {
    const held = holding([1, 2, 3, 4], [1, 2, 3])

    held.follow([...setsOf('succeed', 1), ...setsOf('fail', 3)], [])

    expect(held.all().map(({ id }) => id)).toEqual([2, 4])
  })

  test('is no longer held if its start was refused', () => {
    const held = holding([1, 2])

    held.follow(setsOf('start', 1, 2), [{ event: 'start', id: 1, leaseToken }])

    expect(held.all()).toEqual([{ id: 2, leaseToken }])
    expect(held.runningIds()).toEqual([2])
  })

  test('is found among as many as possible, and removed alone', () => {
    const ids = Array.from({ length: 5_000 }, (_, index) => 7 * index + 1)
    const held = holding(ids)

    held.follow(setsOf('succeed', ...ids.filter((id) => id % 2 === 0)), [])
    held.drop([{ id: 1, leaseToken }])

    expect(new Set(held.all().map(({ id }) => id))).toEqual(new Set(ids.filter((id) => id % 2 === 1 && id > 1)))
    expect(held.of(15)).toEqual({ id: 15, leaseToken })
    expect(held.of(8)).toBeUndefined()
  })

  test('is the latest one, if its job was leased again', () => {
    const held = holding([1])

    held.add([[1, leaseToken + 1, 'work', 'default', 0, 1, null, 0]], true)

    expect(held.all()).toEqual([{ id: 1, leaseToken: leaseToken + 1 }])
  })

  test('survives the outcome of an earlier lease of its job', () => {
    const held = holding([1], [1])

    held.follow([{ event: 'succeed', ranges: [[1, 1, leaseToken - 1, 0, null, null]] }], [])

    expect(held.all()).toEqual([{ id: 1, leaseToken }])
  })
})
