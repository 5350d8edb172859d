import { describe, expect, test } from 'vitest'
import { InvalidInputError, JobNotFoundError } from '../src/errors.ts'
import { openSystem, startSystem, until, untilState } from './support/system.ts'

describe('the path of a job', () => {
  test('is the sum of its history, now and at an earlier moment', async () => {
    const { system } = await startSystem({ runs: { work: () => undefined } })
    const { id } = await system.enqueue({ type: 'work', payload: 1 })
    await untilState(system, id, 'succeeded')

    const now = await system.path(id)
    const before = await system.path(id, { at: 2 })

    expect(now.steps.map(({ from, event, to, count }) => [from, event, to, count])).toEqual([
      [null, 'enqueue', 'queued', 1],
      ['queued', 'lease', 'leased', 1],
      ['leased', 'start', 'running', 1],
      ['running', 'succeed', 'succeeded', 1],
    ])
    expect([now.seq, now.since]).toEqual([4, 1])
    expect([before.seq, before.steps.at(-1)?.to]).toEqual([2, 'leased'])
  })

  test('is empty before its first transition and after its last', async () => {
    const { system } = await openSystem({ runs: { work: () => undefined } })
    const { id } = await system.enqueue({ type: 'work', payload: 1 })

    for (const at of [0, 2, -1, 1.5, Number.NaN]) {
      await expect(system.path(id, { at })).rejects.toThrow(InvalidInputError)
    }
    await expect(system.path(id, { at: 2 })).rejects.toThrow('at: must be a whole number from 1 to 1')
    await expect(system.path(99)).rejects.toThrow(JobNotFoundError)
    await expect(system.path(99, { at: 2 })).rejects.toThrow(JobNotFoundError)
  })
})

test('the counts of edges are those of the file, including those of other processes', async () => {
  const { system, path } = await startSystem({ runs: { work: () => undefined } })
  const producer = await openSystem({ runs: null, database: path })
  await producer.system.enqueue([1, 2, 3].map((payload) => ({ type: 'work', payload })))
  await until(async () => (await system.counts()).succeeded === 3)

  const counts = await system.edgeCounts()

  expect(counts).toContainEqual({ from: 'new', event: 'enqueue', to: 'queued', count: 3 })
  expect(counts).toContainEqual({ from: 'running', event: 'succeed', to: 'succeeded', count: 3 })
})
