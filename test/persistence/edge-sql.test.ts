import { expect, test } from 'vitest'
import { attemptAfter, eventTypes, findEdge, jobStates } from '../../src/machines/edges.ts'
import type { JobEvent, JobFacts, JobNode } from '../../src/machines/job.ts'
import { nextAttempt, nextState, takes } from '../../src/persistence/edge-sql.ts'
import { openKept } from '../../src/persistence/sqlite/kept.ts'
import { whenDone } from '../support/temp.ts'

const now = 1_000

interface Row extends JobFacts {
  readonly state: JobNode
  readonly runAt: number
}

/** Every node with every count of attempts up to the limit, at, before and after its `run_at`. */
const rows: Row[] = (['new', ...jobStates] as JobNode[]).flatMap((state) =>
  [1, 2, 5].flatMap((maxAttempts) =>
    Array.from({ length: maxAttempts + 1 }, (_, attempt) => attempt).flatMap((attempt) =>
      [now - 1, now, now + 1].map((runAt) => ({ state, attempt, maxAttempts, runAt })),
    ),
  ),
)

test.each(eventTypes)('%s in SQL goes where the machine goes, whatever the attempts and the instant', (type) => {
  const db = openKept(':memory:')
  whenDone(() => db.close())
  db.exec('CREATE TABLE jobs (state TEXT, attempt INTEGER, max_attempts INTEGER, run_at INTEGER)')
  const insert = db.prepare('INSERT INTO jobs VALUES (:state, :attempt, :maxAttempts, :runAt)')
  for (const row of rows) insert.run(row)
  // A named parameter must be used to be bound.
  const asked = `SELECT ${takes(type)}, ${nextState(type)}, ${nextAttempt(type)}, :now FROM jobs ORDER BY rowid`

  const found = db.prepare(asked).raw().all({ now }) as [number, string, number, number][]

  const told = found.map(([taken, state, attempt]) => (taken === 1 ? [state, attempt] : null))
  const wanted = rows.map(({ state, attempt, maxAttempts, runAt }) => {
    const event = { type, delayed: runAt > now } as JobEvent
    const edge = findEdge(state, event, { attempt, maxAttempts })
    return edge ? [edge.to, attemptAfter(edge.attempt, attempt)] : null
  })
  expect(told).toEqual(wanted)
})
