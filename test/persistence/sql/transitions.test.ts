import { expect, test } from 'vitest'
import { countAfter, eventTypes, findEdge, jobStates } from '../../../src/machines/edges.ts'
import type { JobEvent, JobFacts, JobNode } from '../../../src/machines/job.ts'
import { after, stored, takes } from '../../../src/persistence/sql/transitions.ts'
import { openKept } from '../../../src/persistence/sqlite/file/kept.ts'
import { whenDone } from '../../support/temp.ts'

const now = 1_000

interface Row extends JobFacts {
  readonly state: JobNode
  readonly runAt: number
}

/** Every node with every count of attempts up to the limit, at, before and after its `run_at`, before and after its last crash. */
const rows: Row[] = (['new', ...jobStates] as JobNode[]).flatMap((state) =>
  [1, 2, 5].flatMap((maxAttempts) =>
    Array.from({ length: maxAttempts + 1 }, (_, attempt) => attempt).flatMap((attempt) =>
      [now - 1, now, now + 1].flatMap((runAt) =>
        [0, 2, 3, 4].map((crashes) => ({ state, attempt, maxAttempts, crashes, runAt })),
      ),
    ),
  ),
)

/** What SQL makes of each of the rows. */
function ask(columns: readonly string[], crashed = false, blocked = false): unknown[][] {
  const db = openKept(':memory:')
  whenDone(() => db.close())
  db.exec(
    'CREATE TABLE jobs (state TEXT, seq INTEGER DEFAULT 7, attempt INTEGER, max_attempts INTEGER, crashes INTEGER, run_at INTEGER)',
  )
  const insert = db.prepare(
    'INSERT INTO jobs (state, attempt, max_attempts, crashes, run_at) VALUES (:state, :attempt, :maxAttempts, :crashes, :runAt)',
  )
  for (const row of rows) insert.run(row)
  // A named parameter must be used to be bound.
  const asked = db.prepare(`SELECT ${columns.join(', ')}, :now + 0 * (:crashed + :blocked) FROM jobs ORDER BY rowid`)
  return asked.raw().all({ now, crashed: Number(crashed), blocked: Number(blocked) }) as unknown[][]
}

test.each(eventTypes)(
  '%s in SQL leads where the machine leads, whatever the attempts, the crashes and the instant',
  (type) => {
    for (const [crashed, blocked] of [
      [false, false],
      [true, false],
      [false, true],
    ] as const) {
      const { state, attempt, crashes } = after(type, stored, '0')

      const found = ask([takes(type), state, attempt, crashes], crashed, blocked)

      const told = found.map(([taken, ...columns]) => (taken === 1 ? columns.slice(0, -1) : null))
      const wanted = rows.map(({ state, runAt, ...facts }) => {
        const edge = findEdge(state, { type, delayed: runAt > now, crashed, blocked } as JobEvent, facts)
        return edge ? [edge.to, countAfter(edge.attempt, facts.attempt), countAfter(edge.crashes, facts.crashes)] : null
      })
      expect(told).toEqual(wanted)
    }
  },
)

test('a claim in SQL is the machine’s lease and start, one after the other', () => {
  const leased = after('lease', stored, '0')
  const { state, seq, attempt, lease_token } = after('start', leased, '0')

  const found = ask([`${takes('lease')} AND ${takes('start', leased)}`, state, seq, attempt, lease_token])

  const told = found.map(([taken, ...columns]) => (taken === 1 ? columns.slice(0, -1) : null))
  const wanted = rows.map(({ state, ...facts }) => {
    const lease = findEdge(state, { type: 'lease' }, facts)
    const start = lease && findEdge(lease.to, { type: 'start' }, facts)
    return start ? [start.to, 9, countAfter(start.attempt, facts.attempt), 8] : null
  })
  expect(told).toEqual(wanted)
})
