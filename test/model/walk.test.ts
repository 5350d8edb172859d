import { describe, expect, test } from 'vitest'
import { edges } from '../../src/machines/edges.ts'
import { memoryFolder } from '../support/temp.ts'
import { report } from '../torture/report.ts'
import { walk } from './walk.ts'

const named = edges.map(({ from, event, to }) => `${from} ${event} ${to}`)

describe('a store under random commands, restarts, torn transactions, a second owner and jumps of the clock', () => {
  test('is where the machine is after each of them, and takes every edge there is', { timeout: 120_000 }, async () => {
    const { steps, edges: taken } = await walk(memoryFolder(), { runs: 120, seed: 1 })

    console.log(report(named, taken))
    expect(steps).toBeGreaterThan(3_000)
    expect(named.filter((edge) => !taken.has(edge))).toEqual([])
  })
})
