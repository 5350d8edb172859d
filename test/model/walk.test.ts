import { describe, expect, test } from 'vitest'
import { edges } from '../../src/machines/edges.ts'
import { isWhole } from '../support/share.ts'
import { memoryFolder } from '../support/temp.ts'
import { report } from '../torture/report.ts'
import { walk } from './walk.ts'

/** The walks of so many seeds; the share ends as soon as every edge was taken. */
const seeds = 6
const named = edges.map(({ from, event, to }) => `${from} ${event} ${to}`)

describe('a store under random commands, restarts, torn transactions, a second owner and jumps of the clock', () => {
  test('is where the machine is after each of them, and takes every edge there is', { timeout: 600_000 }, async () => {
    const folder = memoryFolder()
    const taken = new Map<string, number>()
    const untaken = () => named.filter((edge) => !taken.has(edge))
    let [seed, steps] = [0, 0]
    while (seed < seeds && (isWhole || untaken().length > 0)) {
      const walked = await walk(folder, { seed: ++seed })
      steps += walked.steps
      for (const [edge, times] of walked.edges) taken.set(edge, (taken.get(edge) ?? 0) + times)
    }

    if (isWhole) console.log(report(named, taken))
    expect(steps).toBeGreaterThan(500 * seed)
    expect(untaken()).toEqual([])
  })
})
