import { join } from 'node:path'
import type Database from 'better-sqlite3'
import { openBare } from './limit.ts'
import type { MixedJob } from './mixed.ts'

const leaseMs = 30_000

/**
 * The limit of jobs that differ: the rows of `BareSqlite`, with type, queue, priority and key of each, read from JSON, and moved by their
 * ids. It claims in the order of priority and id over all queues, by an index for that: nobody takes turns.
 */
export class BareMixed {
  readonly #db: Database.Database
  readonly #enqueue: (jobs: readonly MixedJob[]) => void
  readonly #drain: (count: number) => number

  /** Opens its file in `folder`, which is created if it is missing. */
  constructor(folder: string, name: string) {
    const db = openBare(join(folder, `bare-${name}.db`))
    db.exec(`
      ALTER TABLE jobs ADD COLUMN idempotency_key TEXT;
      DROP INDEX jobs_ready;
      CREATE INDEX jobs_ready ON jobs (priority DESC, id) WHERE state = 'queued';
      CREATE UNIQUE INDEX jobs_key ON jobs (idempotency_key) WHERE idempotency_key IS NOT NULL;`)
    this.#db = db
    const sql = prepare(db)
    this.#enqueue = db.transaction((jobs: readonly MixedJob[]) => {
      const now = Date.now()
      const rows = jobs.map(({ type, queue, priority, idempotencyKey }) => [type, queue, priority, idempotencyKey])
      const { lastInsertRowid, changes } = sql.insert.run({ rows: JSON.stringify(rows), now })
      const last = Number(lastInsertRowid)
      const first = last - changes + 1
      sql.insertPayloads.run({ first, payloads: JSON.stringify(jobs.map(({ payload }) => JSON.stringify(payload))) })
      sql.logEnqueue.run({ first, last, now })
    }).immediate
    this.#drain = db.transaction((count: number) => {
      const ids = sql.ready.all(count) as number[]
      const values = { ids: JSON.stringify(ids), now: Date.now() }
      for (const { log, move } of sql.steps) {
        log.run(values)
        move.run(values)
      }
      return ids.length
    }).immediate
  }

  /** Enqueues jobs in one transaction; returns their number. */
  enqueue(jobs: readonly MixedJob[]): number {
    this.#enqueue(jobs)
    return jobs.length
  }

  /** Leases, starts and succeeds up to `count` queued jobs in one transaction; returns their number. */
  drain(count: number): number {
    return this.#drain(count)
  }

  close(): void {
    this.#db.close()
  }
}

function prepare(db: Database.Database) {
  const step = (event: string, from: string, to: string, attempt: string, set: string) => ({
    log: db.prepare(`
      INSERT INTO job_events (job_id, seq, event, from_state, to_state, attempt, at)
      SELECT jobs.id, seq + 1, '${event}', '${from}', '${to}', ${attempt}, :now
      FROM json_each(:ids) AS item CROSS JOIN jobs ON jobs.id = item.value`),
    move: db.prepare(`
      UPDATE jobs SET state = '${to}', seq = seq + 1, ${set} WHERE id IN (SELECT value FROM json_each(:ids))`),
  })
  return {
    insert: db.prepare(`
      INSERT INTO jobs (type, queue, state, seq, priority, attempt, max_attempts, run_at, created_at, idempotency_key)
      SELECT value ->> 0, coalesce(value ->> 1, 'default'), 'queued', 1, coalesce(value ->> 2, 0), 0, 4, :now, :now, value ->> 3
      FROM json_each(:rows)`),
    insertPayloads: db.prepare(
      'INSERT INTO job_payloads (job_id, payload) SELECT :first + key, value FROM json_each(:payloads)',
    ),
    logEnqueue: db.prepare(`
      INSERT INTO job_events (job_id, seq, event, from_state, to_state, attempt, at)
      SELECT id, 1, 'enqueue', NULL, state, 0, :now FROM jobs WHERE id BETWEEN :first AND :last`),
    ready: db.prepare(`SELECT id FROM jobs WHERE state = 'queued' ORDER BY priority DESC, id LIMIT 0 + ?`).pluck(),
    steps: [
      step('lease', 'queued', 'leased', 'attempt', `lease_token = seq + 1, lease_expires_at = :now + ${leaseMs}`),
      step('start', 'leased', 'running', 'attempt + 1', 'attempt = attempt + 1, started_at = :now'),
      step(
        'succeed',
        'running',
        'succeeded',
        'attempt',
        'lease_token = NULL, lease_expires_at = NULL, finished_at = :now',
      ),
    ],
  }
}
