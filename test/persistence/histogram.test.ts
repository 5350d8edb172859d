import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { difference, Histogram, merge, quantile } from '../../src/persistence/histogram.ts'

const bounds = [1, 2, 5, 10]

function holding(...values: number[]): Histogram {
  const histogram = new Histogram(bounds)
  for (const value of values) histogram.observe(value)
  return histogram
}

describe('a histogram', () => {
  test('counts each value in the lowest bucket whose bound it does not exceed', () => {
    const { counts } = holding(0, 1, 1.5, 2, 5, 5.1, 10, 11, 1e9).snapshot()

    expect(counts).toEqual([2, 2, 1, 2, 2])
  })

  test('has the number of values and their sum', () => {
    expect(holding(1, 3, 100).snapshot()).toEqual({ bounds, counts: [1, 0, 1, 0, 1], count: 3, sum: 104 })
  })

  test('is empty at first', () => {
    expect(holding().snapshot()).toEqual({ bounds, counts: [0, 0, 0, 0, 0], count: 0, sum: 0 })
  })

  test('gives snapshots that do not change afterwards', () => {
    const histogram = holding(1)
    const before = histogram.snapshot()

    histogram.observe(1)

    expect([before.count, histogram.snapshot().count]).toEqual([1, 2])
  })

  test('on shared cells shows what the other one recorded', () => {
    const cells = Histogram.sharedMemory(bounds)
    const writing = new Histogram(bounds, cells)
    const reading = new Histogram(bounds, structuredClone(cells))

    writing.observe(3)

    expect(reading.snapshot()).toMatchObject({ counts: [0, 0, 1, 0, 0], sum: 3 })
  })

  test('finds the bucket that a search from below finds, whatever the bounds', () => {
    const rising = fc.uniqueArray(fc.integer({ min: 0, max: 1_000 }), { minLength: 1, maxLength: 30 })
    fc.assert(
      fc.property(rising, fc.nat(1_100), (unsorted, value) => {
        const sorted = unsorted.sort((a, b) => a - b)
        const histogram = new Histogram(sorted)

        histogram.observe(value)

        const found = sorted.findIndex((bound) => value <= bound)
        expect(histogram.snapshot().counts.indexOf(1)).toBe(found < 0 ? sorted.length : found)
      }),
    )
  })
})

describe('a quantile', () => {
  test('lies between the bounds of its bucket, as far in as its rank', () => {
    // Ten values from 2 to 5.
    const snapshot = holding(...Array(10).fill(3)).snapshot()

    expect([0.5, 0.9, 1].map((q) => quantile(snapshot, q))).toEqual([3.5, 4.7, 5])
  })

  test('in the lowest bucket starts at 0', () => {
    expect(quantile(holding(1, 1).snapshot(), 0.5)).toBe(0.5)
  })

  test('above all bounds is the last bound', () => {
    expect(quantile(holding(11, 1e9).snapshot(), 0.99)).toBe(10)
  })

  test('is null if there is no value', () => {
    expect(quantile(holding().snapshot(), 0.5)).toBeNull()
  })

  test('skips buckets without values', () => {
    expect(quantile(holding(1, 1, 7).snapshot(), 0.67)).toBeGreaterThan(5)
  })

  test('is never further from the true one than its bucket is wide', () => {
    const values = fc.array(fc.double({ min: 0, max: 10, noNaN: true }), { minLength: 1, maxLength: 200 })
    fc.assert(
      fc.property(values, fc.double({ min: 0.01, max: 1, noNaN: true }), (given, q) => {
        const sorted = given.sort((a, b) => a - b)
        const exact = sorted[Math.ceil(q * sorted.length) - 1]!
        const [low, high] = [[...bounds].reverse().find((bound) => bound < exact) ?? 0, bounds.find((b) => exact <= b)!]

        const estimate = quantile(holding(...given).snapshot(), q)!

        expect(estimate).toBeGreaterThanOrEqual(low)
        expect(estimate).toBeLessThanOrEqual(high)
      }),
    )
  })

  test('of a difference is that of the values in between', () => {
    const histogram = holding(1, 1, 1, 1)
    const before = histogram.snapshot()
    for (const value of [7, 7]) histogram.observe(value)

    const came = difference(histogram.snapshot(), before)

    expect(came).toEqual({ bounds, counts: [0, 0, 0, 2, 0], count: 2, sum: 14 })
    expect(quantile(came, 0.5)).toBe(7.5)
    expect(quantile(difference(before, before), 0.5)).toBeNull()
  })
})

test('histograms with the same bounds add up', () => {
  const snapshots = [holding(1, 3), holding(3, 11)].map((histogram) => histogram.snapshot())

  expect(merge(bounds, snapshots)).toEqual(holding(1, 3, 3, 11).snapshot())
  expect(merge(bounds, [])).toEqual(holding().snapshot())
})
