import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { countStates, edges } from '../../../src/machines/edges.ts'
import { onPostgres } from '../../support/database.ts'
import { startAt, startSystem, until, untilFinished } from '../../support/system.ts'

const broken = () => {
  throw new Error('no')
}

test('a system reports all its measurements', async () => {
  const { system, clock } = await startSystem({ workers: 4, runs: { work: () => undefined, broken } })
  await system.enqueue([
    { type: 'work', payload: 1 },
    { type: 'broken', payload: 1, maxRetries: 0 },
  ])
  await untilFinished(system, 2)
  // Each of both: enqueue, lease, start and an end. The last is seen in the file before it is measured.
  await until(async () => (await system.telemetry()).commits.events.sum === 8)
  clock.advance(1_000)

  const { types, commits: _, files, transitions, ...rest } = await system.telemetry()

  expect(rest).toEqual({
    at: startAt + 1_000,
    version: JSON.parse(readFileSync('package.json', 'utf8')).version,
    ready: true,
    states: { ...countStates([]), succeeded: 1, dead: 1 },
    census: {
      at: expect.any(Number),
      tookMs: expect.any(Number),
      jobs: expect.arrayContaining([{ type: 'work', queue: 'default', state: 'succeeded', count: 1 }]),
    },
    refusals: 0,
    slots: 4,
    phases: { running: 0, stuck: 0 },
  })
  expect(types.map(({ type, timeInQueue, execution }) => [type, timeInQueue.count, execution.count])).toEqual([
    ['work', 1, 1],
    ['broken', 1, 1],
  ])
  expect(files.wal).toBeGreaterThanOrEqual(onPostgres ? 0 : 1)
  expect(transitions.find(({ from, event }) => from === 'running' && event === 'succeed')?.count).toBe(1)
})

test('every edge of the machine is reported, even if it was never taken, and those of retention', async () => {
  const { system } = await startSystem()

  const { transitions } = await system.telemetry()

  const name = ({ from, event, to }: { from: string; event: string; to: string | null }) => `${from} ${event} ${to}`
  expect(transitions.map(name).sort()).toEqual(
    [...new Set(edges.map(name)), 'succeeded retention null', 'cancelled retention null'].sort(),
  )
  expect(transitions.every(({ count }) => count === 0)).toBe(true)
})

test('a producer reports what is in the file', async () => {
  const { system } = await startSystem({ runs: null })
  await system.enqueue({ type: 'work', payload: 1 })

  const telemetry = await system.telemetry()

  expect(telemetry).toMatchObject({ ready: true, slots: 0, types: [], states: { queued: 1 } })
  expect(telemetry.commits.events.sum).toBe(1)
})

test('a stopped system reports nothing', async () => {
  const { system } = await startSystem()
  await system.stop()

  await expect(system.telemetry()).rejects.toMatchObject({ code: 'unavailable' })
})
