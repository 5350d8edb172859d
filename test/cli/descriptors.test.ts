import { expect, test } from 'vitest'
import { connectionsWithin, limitIn } from '../../src/cli/descriptors.ts'

const limits = `Limit                     Soft Limit           Hard Limit           Units
Max open files            1024                 524288               files
Max locked memory         8388608              8388608              bytes
`

test('the soft limit is found among those of the process', () => {
  expect(limitIn(limits)).toBe(1_024)
  expect(limitIn(limits.replace('1024  ', 'unlimited'))).toBeNull()
  expect(limitIn('')).toBeNull()
})

test.each([
  [null, 10, Number.POSITIVE_INFINITY],
  [1_024, 10, 908],
  [256, 10, 140],
  [256, 1_000, 64],
  [64, 10, 16],
])('of %s descriptors and %d workers connections get %d', (descriptors, workers, connections) => {
  expect(connectionsWithin(descriptors, workers)).toBe(connections)
})
