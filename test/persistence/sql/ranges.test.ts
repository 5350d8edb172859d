import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { countJobs, type EventSet, intoRanges, intoSets, type JobRange } from '../../../src/persistence/sql/ranges.ts'
import type { LeaseEvent } from '../../../src/persistence/store.ts'

type ItemOf<Items> = Items extends Iterable<infer Item> ? Item : never

/** The items that ranges stand for, with the defaults that were filled in. */
function itemsOf(ranges: readonly JobRange[]) {
  return ranges.flatMap(([first, last, leaseToken, delayMs, error]) =>
    Array.from({ length: last - first + 1 }, (_, index) => ({ id: first + index, leaseToken, delayMs, error })),
  )
}

const item = fc.record(
  {
    id: fc.integer({ min: 1, max: 12 }),
    leaseToken: fc.constantFrom(2, 5),
    delayMs: fc.constantFrom(0, 7),
    error: fc.constantFrom({ name: 'a', message: '' }, { name: 'b', message: '' }),
  },
  { requiredKeys: ['id'] },
) satisfies fc.Arbitrary<ItemOf<Parameters<typeof intoRanges>[0]>>

describe('ranges', () => {
  test('stand for exactly the items that they were made from, in order', () => {
    fc.assert(
      fc.property(fc.array(item), (items) => {
        const ranges = intoRanges(items)

        expect(itemsOf(ranges)).toEqual(
          items.map(({ id, leaseToken = null, delayMs = 0, error }) => {
            return { id, leaseToken, delayMs, error: error ? JSON.stringify(error) : null }
          }),
        )
        expect(countJobs(ranges)).toBe(items.length)
      }),
    )
  })

  test('are as few as the gaps and differences allow', () => {
    const alike = [1, 2, 3].map((id) => ({ id, leaseToken: 2 }))

    expect(intoRanges([])).toEqual([])
    expect(intoRanges(alike)).toEqual([[1, 3, 2, 0, null, null]])
    expect(
      intoRanges([...alike, { id: 4, leaseToken: 9 }, { id: 6, leaseToken: 9 }, { id: 5, leaseToken: 9 }]),
    ).toEqual([
      [1, 3, 2, 0, null, null],
      [4, 4, 9, 0, null, null],
      [6, 6, 9, 0, null, null],
      [5, 5, 9, 0, null, null],
    ])
  })
})

/** Each job's events, in the order given. */
function perJob(events: readonly { readonly id: number; readonly event: string }[]): Map<number, string[]> {
  const jobs = new Map<number, string[]>()
  for (const { id, event } of events) jobs.set(id, [...(jobs.get(id) ?? []), event])
  return jobs
}

/** Events in the order in which sets have them taken. */
function taken(sets: readonly EventSet[]) {
  return sets.flatMap(({ event, ranges }) => itemsOf(ranges).map(({ id }) => ({ id, event })))
}

describe('sets of events', () => {
  test('lose and duplicate none, and apply those of one job in order', () => {
    const event = fc.record({
      id: fc.integer({ min: 1, max: 5 }),
      leaseToken: fc.constantFrom(2, 5),
      event: fc.constantFrom('start', 'succeed', 'fail', 'release'),
    }) satisfies fc.Arbitrary<LeaseEvent>
    fc.assert(
      fc.property(fc.array(event), (events) => {
        const sets = intoSets(events)

        expect(perJob(taken(sets))).toEqual(perJob(events))
      }),
    )
  })

  test('name a job at most once', () => {
    const twice = { id: 1, leaseToken: 2, event: 'succeed' } as const

    const sets = intoSets([twice, { ...twice, id: 2 }, twice])

    expect(sets.map(({ ranges }) => ranges)).toEqual([[[1, 2, 2, 0, null, null]], [[1, 1, 2, 0, null, null]]])
  })

  test('combine similar events, whatever comes between', () => {
    const of = (event: LeaseEvent['event'], id: number): LeaseEvent => ({ id, leaseToken: 2, event })

    const sets = intoSets([of('start', 1), of('succeed', 7), of('start', 2), of('succeed', 8), of('start', 3)])

    expect(sets).toEqual([
      { event: 'start', ranges: [[1, 3, 2, 0, null, null]] },
      { event: 'succeed', ranges: [[7, 8, 2, 0, null, null]] },
    ])
  })

  test('separate failures by error and delay', () => {
    const failed = (id: number, message: string, delayMs: number): LeaseEvent => ({
      id,
      leaseToken: 3,
      event: 'fail',
      delayMs,
      error: { name: 'Error', message },
    })

    const [set] = intoSets([failed(1, 'a', 5), failed(2, 'a', 5), failed(3, 'b', 5), failed(4, 'b', 6)])

    expect(set?.ranges).toEqual([
      [1, 2, 3, 5, '{"name":"Error","message":"a"}', null],
      [3, 3, 3, 5, '{"name":"Error","message":"b"}', null],
      [4, 4, 3, 6, '{"name":"Error","message":"b"}', null],
    ])
  })
})
