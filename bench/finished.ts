import { join } from 'node:path'
import Database from 'better-sqlite3'
import { Engine } from './engine.ts'
import { noop, payloadText } from './load.ts'

/** Jobs that were claimed and ended together: a row of `event_runs` for each of their events. */
const together = 100
/** Jobs that one statement writes. */
const atOnce = 100_000

/**
 * Makes a file in `folder` as if this many jobs, in hundreds, had come and gone: 100 each ms, the last of them now. SQL writes it, at
 * 100,000 jobs a second and more, without the triggers, which are there again afterwards.
 */
export async function makeFinished(folder: string, count: number): Promise<void> {
  const engine = await Engine.open(folder, { workers: 1 })
  await engine.close()
  const db = new Database(join(folder, 'jobs.db'))
  db.pragma('synchronous = OFF')
  db.pragma('cache_size = -200000')
  const now = Date.now()
  db.function('ended_at', { deterministic: true }, (hundred) => now - Math.floor(count / together) + Number(hundred))
  const triggers = db.prepare(`SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'`).all() as Trigger[]
  db.transaction(() => {
    for (const { name } of triggers) db.exec(`DROP TRIGGER ${name}`)
    for (let first = 1; first <= count; first += atOnce) write(db, first, Math.min(first + atOnce - 1, count))
    for (const { sql } of triggers) db.exec(sql)
  })()
  db.pragma('journal_mode = DELETE')
  db.close()
}

interface Trigger {
  readonly name: string
  readonly sql: string
}

/** The events of a job, in order: states and attempt. */
const events = [
  ['enqueue', null, 'queued', 0],
  ['lease', 'queued', 'leased', 0],
  ['start', 'leased', 'running', 1],
  ['succeed', 'running', 'succeeded', 1],
] as const

function write(db: Database.Database, first: number, last: number): void {
  // As integers, which divide as such.
  const numbers =
    'WITH RECURSIVE numbers (n) AS (SELECT CAST(:from AS INTEGER) UNION ALL SELECT n + 1 FROM numbers WHERE n < :to)'
  // The events of a hundred jobs have consecutive ids: all that are enqueued, then all that are leased, and so on.
  const ofHundred = `n * ${together * events.length} + 1`
  const values = events.map(([event, from, to, attempt], index) => {
    const previous = index === 0 ? 'NULL' : index - 1
    return `(${index}, '${event}', ${from === null ? 'NULL' : `'${from}'`}, '${to}', ${attempt}, ${previous})`
  })
  const jobs = { from: first, to: last }
  db.prepare(`${numbers}
    INSERT INTO jobs (id, type, queue, state, seq, priority, attempt, max_attempts, run_at, created_at, started_at, finished_at, last_event_id)
    SELECT n, '${noop.type}', 'default', 'succeeded', ${events.length}, 0, 1, 4, at, at, at, at,
      (n - 1) / ${together} * ${together * events.length} + ${together * (events.length - 1)} + (n - 1) % ${together} + 1
    FROM (SELECT n, ended_at((n - 1) / ${together}) AS at FROM numbers)`).run(jobs)
  db.prepare(`${numbers} INSERT INTO job_payloads (job_id, payload) SELECT n, '${payloadText}' FROM numbers`).run(jobs)
  db.prepare(`${numbers}, events (place, event, from_state, to_state, attempt, previous) AS (VALUES ${values.join(', ')})
    INSERT INTO event_runs (id, first_job_id, length, seq, event, from_state, to_state, attempt, at, previous_id)
    SELECT ${ofHundred} + place * ${together}, n * ${together} + 1, ${together}, place + 1, event, from_state, to_state, attempt,
      ended_at(n), ${ofHundred} + previous * ${together}
    FROM numbers CROSS JOIN events ORDER BY 1`).run({ from: (first - 1) / together, to: last / together - 1 })
  const count = db.prepare(`
    INSERT INTO edge_counts (from_state, event, to_state, n) VALUES (?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET n = n + excluded.n`)
  for (const [event, from, to] of events) count.run(from ?? 'new', event, to, last - first + 1)
}
