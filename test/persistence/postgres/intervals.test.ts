import { setTimeout } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { restAfter } from '../../../src/persistence/postgres/intervals.ts'
import { openPostgres } from '../../support/postgres.ts'
import { postgresMissing } from '../../support/postgres-server.ts'
import { aJob } from '../../support/store.ts'

const busy = { tookMs: 1, dueInMs: null, quietMs: 0 }
const quiet = { ...busy, quietMs: 2_000 }

test.each([
  ['was quick', busy, 50],
  ['met many rows that lay in the way', { ...busy, tookMs: 20 }, 200],
  ['waited for a server that was away', { ...busy, tookMs: 12_000 }, 1_000],
  ['has had nothing to do for long', quiet, 250],
  ['has nothing to do until a job is due', { ...quiet, dueInMs: 120 }, 120],
  ['has nothing to do for long, and no job is due soon', { ...quiet, dueInMs: 60_000 }, 250],
  ['found a job due that it could not queue', { ...quiet, dueInMs: -5 }, 50],
])('a node that looked for due jobs, and %s, looks again after a pause', (_, seen, pauseMs) => {
  expect(restAfter(seen, 50)).toBe(pauseMs)
})

test.skipIf(postgresMissing)('a node with nothing to do looks rarely, and at once when it stores a job', async () => {
  const { store, line } = await openPostgres()
  const { prototype } = line.driver.Client
  const query = prototype.query as (...given: unknown[]) => unknown
  let looks = 0
  prototype.query = function (this: unknown, ...given: [{ text?: string }]) {
    if (String(given[0]?.text).includes('"dueInMs"')) looks++
    return query.apply(this, given)
  } as never
  await setTimeout(1_500)
  looks = 0
  await setTimeout(1_000)
  const whileQuiet = looks

  await store.enqueue([aJob({ delayMs: 1_000 })])

  expect(whileQuiet).toBeLessThan(8)
  await expect.poll(() => looks).toBeGreaterThan(whileQuiet)
})
