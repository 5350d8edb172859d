import { describe, expect, test } from 'vitest'
import { edges } from '../../src/machines/edges.ts'
import { isWhole, shareOf } from '../support/share.ts'
import { memoryFolder } from '../support/temp.ts'
import { report } from '../torture/report.ts'
import { walk } from './walk.ts'

const upTo = (last: number) => Array.from({ length: last }, (_, index) => index + 1)
/** How often each of these seeds walks. The share takes most edges, not all. */
const { seeds, runs } = shareOf({
  share: { seeds: [2], runs: 4 },
  whole: { seeds: upTo(6), runs: 20 },
})
const named = edges.map(({ from, event, to }) => `${from} ${event} ${to}`)

describe('a store under random commands, restarts, torn transactions, a second owner and jumps of the clock', () => {
  test('is in the machine’s state after each of them, and takes every possible edge', {
    timeout: 3_600_000,
  }, async () => {
    const folder = memoryFolder()
    const taken = new Map<string, number>()
    const untaken = () => named.filter((edge) => !taken.has(edge))
    let steps = 0
    for (const seed of seeds) {
      const walked = await walk(folder, { seed, runs })
      steps += walked.steps
      for (const [edge, times] of walked.edges) taken.set(edge, (taken.get(edge) ?? 0) + times)
    }

    expect(steps).toBeGreaterThan(shareOf({ share: 100, whole: 3_000 }))
    if (!isWhole) return
    console.log(report(named, taken))
    expect(untaken()).toEqual([])
  })
})
