import { expect, test } from 'vitest'
import { connectionsMax } from '../../src/cli/descriptors.ts'

const limitsOf = (descriptors: string) => `Limit                     Soft Limit           Hard Limit           Units
Max open files            ${descriptors.padEnd(20)} 524288               files
Max locked memory         8388608              8388608              bytes
`

test.each([
  ['1024', 10, 908],
  ['256', 10, 140],
  ['256', 1_000, 64],
  ['64', 10, 16],
  ['unlimited', 10, Number.POSITIVE_INFINITY],
])('with %s descriptors and %d workers there may be %d connections', (descriptors, workers, connections) => {
  expect(connectionsMax(workers, limitsOf(descriptors))).toBe(connections)
})

test('connections are not limited if the system reports no limit', () => {
  expect(connectionsMax(10, '')).toBe(Number.POSITIVE_INFINITY)
})
