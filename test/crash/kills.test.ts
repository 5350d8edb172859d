import { afterAll, expect, test } from 'vitest'
import { cleanUp, tempFolder } from '../support/temp.ts'
import { emptyTally } from '../torture/ordeal.ts'
import { kills } from './kills.ts'

afterAll(cleanUp)

// A small share of `npm run test:torture`.
test('a server killed again and again under load has lost nothing that it acknowledged', {
  timeout: 120_000,
}, async () => {
  const tally = emptyTally()
  const seed = Date.now() % 2 ** 31

  await kills({ seed, folder: tempFolder(), isOver: () => tally.kills >= 6, tally })

  expect(tally.violations).toEqual([])
  expect(tally.kills).toBeGreaterThanOrEqual(6)
  expect(tally.edges.get('running succeed succeeded')).toBeGreaterThan(0)
})
