import Database from 'better-sqlite3'
import pg from 'pg'
import { resultOf } from '../../src/persistence/sqlite/read/rows.ts'

type Row = Readonly<Record<string, string | number | null>>

const jobs = `id, state, seq, attempt, max_attempts, crashes, lease_token, run_at, created_at, started_at, finished_at, idempotency_key, content,
  error, type, queue, priority, timeout_ms, (SELECT payload FROM job_payloads WHERE job_id = jobs.id) AS payload`

/** For either side: all that is stored of jobs, by statements of its own. */
const statements: Readonly<Record<string, string>> = {
  jobs: `SELECT ${jobs} FROM jobs ORDER BY id`,
  transitions:
    'SELECT id, job_id, seq, event, from_state, to_state, attempt, at, error, cause FROM job_events ORDER BY id',
  versions: 'SELECT job_id, seq, priority, max_attempts, payload FROM job_versions ORDER BY job_id, seq',
  traces: 'SELECT job_id, traceparent, tracestate, last_attempt FROM job_traces ORDER BY job_id',
  progress: 'SELECT job_id, value, attempt, at FROM job_progress ORDER BY job_id',
  logs: 'SELECT job_id, n, attempt, at, bytes, level, message, fields FROM job_logs ORDER BY job_id, n',
  replays: 'SELECT job_id, n, last_at FROM key_replays ORDER BY job_id',
  schedules: `SELECT id, name, state, seq, source, spec, overlap, since, last_tick, next_tick, tz_version, problem, created_at, updated_at
    FROM schedules ORDER BY id`,
  ticks: `SELECT schedule_id, seq, event, from_state, to_state, at, tick, job_id, details
    FROM schedule_events ORDER BY schedule_id, seq`,
  kinds: 'SELECT state, queue, type, count(*) AS n FROM jobs GROUP BY 1, 2, 3 ORDER BY 1, 2, 3',
  edges:
    'SELECT from_state, event, to_state, sum(n) AS n FROM edge_counts GROUP BY 1, 2, 3 HAVING sum(n) > 0 ORDER BY 1, 2, 3',
}

/** A row on a file may have the results of several jobs. */
const results = {
  sqlite: `SELECT jobs.id AS job_id, ${resultOf('jobs.id')} AS result FROM jobs WHERE result IS NOT NULL ORDER BY 1`,
  postgres: 'SELECT job_id, result FROM job_results ORDER BY job_id',
}

export type Stored = Readonly<Record<string, readonly Row[]>>

/** What a file has; nobody may write it meanwhile. */
export function storedIn(path: string): Stored {
  const db = new Database(path, { readonly: true })
  try {
    return Object.fromEntries(
      Object.entries({ ...statements, results: results.sqlite }).map(([name, sql]) => [
        name,
        db.prepare(sql).all() as readonly Row[],
      ]),
    )
  } finally {
    db.close()
  }
}

/** What a schema has. */
export async function storedAt(connectionString: string, schema: string): Promise<Stored> {
  const client = new pg.Client({
    connectionString,
    types: { getTypeParser: (oid: number) => (oid === 20 || oid === 23 || oid === 1700 ? Number : String) } as never,
  })
  await client.connect()
  try {
    await client.query(`SET search_path TO "${schema}"`)
    const found: [string, readonly Row[]][] = []
    for (const [name, sql] of Object.entries({ ...statements, results: results.postgres }))
      found.push([name, (await client.query(sql)).rows])
    return Object.fromEntries(found)
  } finally {
    await client.end()
  }
}
