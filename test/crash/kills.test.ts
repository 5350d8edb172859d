import { afterAll, expect, test } from 'vitest'
import { shareOf } from '../support/share.ts'
import { cleanUp, tempFolder } from '../support/temp.ts'
import { emptyTally } from '../torture/ordeal.ts'
import { kills } from './kills.ts'

afterAll(cleanUp)

/** `npm run test:torture` continues as long as requested. */
const killsMin = shareOf({ share: 1, whole: 40 })

test('a server that is repeatedly killed under load loses nothing it acknowledged', {
  timeout: 3_600_000,
}, async () => {
  const tally = emptyTally()

  await kills({ seed: 1, folder: tempFolder(), isOver: () => tally.kills >= killsMin, tally })

  expect(tally.violations).toEqual([])
  expect(tally.kills).toBeGreaterThanOrEqual(killsMin)
  expect(tally.edges.get('running succeed succeeded')).toBeGreaterThan(0)
})
