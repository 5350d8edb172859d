import { expect, test } from 'vitest'
import { restAfter } from '../../../src/persistence/postgres/intervals.ts'

test.each([
  ['was quick', 1, 50],
  ['met many rows that lay in the way', 20, 200],
  ['waited for a server that was away', 12_000, 1_000],
])('a node that looked for due jobs, and %s, looks again after %i ms of looking in %i ms', (_, tookMs, pauseMs) => {
  expect(restAfter(tookMs, 50)).toBe(pauseMs)
})
