import { expect, test } from 'vitest'
import { UnavailableError } from '../src/errors.ts'
import { openKept } from '../src/persistence/sqlite/file/kept.ts'
import { onPostgres } from './support/database.ts'
import { onThreads } from './support/store-here.ts'
import { openSystem, startSystem, untilState } from './support/system.ts'

onThreads()

test('a system checks its file while it runs, without blocking the loop', async () => {
  const { system } = await startSystem({ runs: { work: () => {} } })
  await system.enqueue(Array.from({ length: 1_000 }, () => ({ type: 'work', payload: null, delayMs: 60_000 })))
  const { id } = await system.enqueue({ type: 'work', payload: null })
  await untilState(system, id, 'succeeded')
  let turns = 0
  let turning = setImmediate(function turn() {
    turns++
    turning = setImmediate(turn)
  })
  const told: number[] = []

  const report = await system.verify({ onProgress: (at) => told.push(at) })

  clearImmediate(turning)
  expect(report).toEqual({ jobs: 1_001, events: 1_004, violations: [], violationCount: 0 })
  expect(told.length).toBeGreaterThan(0)
  expect(turns).toBeGreaterThan(3)
})

test.skipIf(onPostgres)('a producer checks too, and reports violations', async () => {
  const { system, path } = await openSystem({ runs: null })
  const { id } = await system.enqueue({ type: 'work', payload: null })
  const db = openKept(path)
  db.exec('DROP TRIGGER event_runs_are_final; UPDATE event_runs SET at = 0; UPDATE jobs SET started_at = 1')
  db.close()

  const { violations } = await system.verify()

  expect(violations.map(({ invariant, jobId }) => [invariant, jobId])).toEqual([
    ['I4', id],
    ['I14', null],
  ])
})

// On PostgreSQL this check is over before the stop.
test.skipIf(onPostgres)('a stopped system refuses to check, and a stop ends a check in progress', async () => {
  const { system } = await startSystem()
  const underWay = system.verify()
  const ended = expect(underWay).rejects.toThrow(UnavailableError)

  await system.stop()

  await ended
  await expect(system.verify()).rejects.toThrow(UnavailableError)
})
