import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { edges } from '../../src/machines/edges.ts'
import { isWhole, shareOf } from '../support/share.ts'
import { cleanUp, memoryFolder } from '../support/temp.ts'
import { simulate } from './simulation.ts'

/** `npm run test:torture` runs as many as requested. */
const seeds = shareOf({ share: 4, whole: 60 })

/** Each seed runs once for all tests. */
const simulated = new Map<number, ReturnType<typeof simulate>>()
function outcomeOf(seed: number) {
  const outcome = simulated.get(seed) ?? simulate(seed, folder)
  simulated.set(seed, outcome)
  return outcome
}

let folder: string
beforeAll(() => {
  folder = memoryFolder()
})
afterAll(cleanUp)

describe('the whole engine under a seed', () => {
  test('breaks no invariant while things fail, and finishes everything when they recover', {
    timeout: 3_600_000,
  }, async () => {
    const taken = new Set<string>()
    let [crashes, acknowledged, calls] = [0, 0, 0]
    for (let seed = 1; seed <= seeds; seed++) {
      const outcome = await outcomeOf(seed)
      expect(outcome.violations, `npm run test:torture -- --seed ${seed}`).toEqual([])
      crashes += outcome.crashes
      acknowledged += outcome.acknowledged
      calls += outcome.handlerCalls
      for (const edge of outcome.edges.keys()) taken.add(edge)
    }

    // The simulation has really crashed.
    expect(crashes).toBeGreaterThan(3 * seeds)
    expect(acknowledged).toBeGreaterThan(30 * seeds)
    expect(calls).toBeGreaterThan(30 * seeds)
    // A few seeds do not take every edge; the walks of the model do.
    if (!isWhole) return
    // Nothing here amends jobs or lets one wait for another; those edges, and those from a job that is leased but not started, which the
    // dispatcher never leaves, are walked by the model.
    const untaken = edges.filter(
      ({ from, event, to }) =>
        event !== 'amend' && from !== 'blocked' && to !== 'blocked' && !taken.has(`${from} ${event} ${to}`),
    )
    const leftLeased = edges.filter(({ from, event }) => from === 'leased' && event !== 'start')
    expect(untaken).toEqual(leftLeased)
  })

  test('repeats event by event under the same seed', async () => {
    const [first, again, other] = [await outcomeOf(1), await simulate(1, folder), await outcomeOf(2)]

    expect(again.trace).toEqual(first.trace)
    expect(again.steps).toBe(first.steps)
    expect(other.trace).not.toEqual(first.trace)
  })
})
