import assert from 'node:assert/strict'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { noop } from './load.ts'

/** What the engine stores of a job and no more: no CHECK, no trigger, and only the index that a claim needs. */
const schema = `
  CREATE TABLE IF NOT EXISTS jobs (
    id INTEGER PRIMARY KEY,
    type TEXT NOT NULL,
    queue TEXT NOT NULL,
    state TEXT NOT NULL,
    seq INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    max_attempts INTEGER NOT NULL,
    run_at INTEGER NOT NULL,
    lease_token INTEGER,
    lease_expires_at INTEGER,
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    finished_at INTEGER
  );
  CREATE INDEX IF NOT EXISTS jobs_ready ON jobs (queue, priority DESC, run_at, id) WHERE state = 'queued';
  CREATE TABLE IF NOT EXISTS job_payloads (job_id INTEGER PRIMARY KEY, payload TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS job_events (
    id INTEGER PRIMARY KEY,
    job_id INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    event TEXT NOT NULL,
    from_state TEXT,
    to_state TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    at INTEGER NOT NULL,
    error TEXT,
    UNIQUE (job_id, seq)
  );`

const leaseMs = 30_000

/**
 * The limit beside every figure: the same rows in the same file format with the same durability as the engine (WAL, `synchronous=FULL`, one
 * row, one payload and an event row for each transition), written by hand in one thread, without loop, handlers, lease tokens or callers.
 * It is the fastest of the simple ways that were tried: `json_each` if rows come from outside, and otherwise ranges of ids, which only a
 * database without other jobs can use.
 */
export class BareSqlite {
  readonly #db: Database.Database
  readonly #sql: ReturnType<typeof prepare>
  readonly #insertAll: (payloads: readonly string[]) => unknown
  readonly #drain: (count: number) => number
  readonly #schedule: (payloads: readonly string[], runAt: number) => void
  readonly #startOne: (payload: string) => void
  readonly #remove: (first: number, count: number) => number

  /** Opens its file in `folder`, which is created if it is missing. */
  constructor(folder: string) {
    const db = openBare(join(folder, 'bare.db'))
    this.#db = db
    this.#sql = prepare(db)
    this.#insertAll = db.transaction((payloads: readonly string[]) => this.#insert(payloads)).immediate
    this.#drain = db.transaction((count: number) => this.#runToEnd(count)).immediate
    this.#schedule = db.transaction((payloads: readonly string[], runAt: number) => {
      this.#insert(payloads, runAt)
    }).immediate
    this.#remove = db.transaction((first: number, count: number) => {
      for (const removal of this.#sql.removals) removal.run(first, first + count - 1)
      return count
    }).immediate
    this.#startOne = db.transaction((payload: string) => {
      const range = this.#insert([payload])
      this.#take(this.#sql.lease, range)
      this.#take(this.#sql.start, range)
    }).immediate
  }

  /** Enqueues jobs in one transaction; returns their number. */
  enqueue(payloads: readonly string[]): number {
    this.#insertAll(payloads)
    return payloads.length
  }

  /** The same for jobs that wait until `runAt`, epoch ms; nothing here ever queues them. */
  schedule(payloads: readonly string[], runAt: number): void {
    this.#schedule(payloads, runAt)
  }

  /** Leases, starts and succeeds up to `count` queued jobs in one transaction; returns their number. */
  drain(count: number): number {
    return this.#drain(count)
  }

  /** Enqueues, leases and starts a job in one transaction: the shortest way from a caller to a handler. */
  enqueueAndStart(payload: string): void {
    this.#startOne(payload)
  }

  /** Removes jobs that have ended, from `first` on and with all that is theirs, in one transaction; returns their number. */
  remove(first: number, count: number): number {
    return this.#remove(first, count)
  }

  close(): void {
    this.#db.close()
  }

  #insert(payloads: readonly string[], runAt?: number): Range {
    const now = Date.now()
    const list = JSON.stringify(payloads)
    const state = runAt === undefined ? 'queued' : 'scheduled'
    const { lastInsertRowid, changes } = this.#sql.insert.run({ list, now, state, runAt: runAt ?? now })
    const last = Number(lastInsertRowid)
    const range = { first: last - changes + 1, last, now }
    this.#sql.insertPayloads.run({ first: range.first, list })
    this.#sql.logEnqueue.run(range)
    return range
  }

  #runToEnd(count: number): number {
    const ids = this.#sql.ready.all(count) as number[]
    if (ids.length === 0) return 0
    const range = { first: ids[0]!, last: ids.at(-1)!, now: Date.now() }
    assert.equal(range.last - range.first + 1, ids.length)
    this.#take(this.#sql.lease, range)
    this.#take(this.#sql.start, range)
    this.#take(this.#sql.succeed, range)
    return ids.length
  }

  #take({ log, move }: Step, range: Range): void {
    log.run(range)
    move.run(range)
  }
}

/** A new file with the tables of the limit. */
export function openBare(path: string): Database.Database {
  const db = new Database(path)
  // As in the engine, except for a log of twice its length: 3 % faster here, where nobody waits for a checkpoint.
  db.pragma('journal_mode = WAL')
  db.pragma('synchronous = FULL')
  db.pragma('temp_store = MEMORY')
  db.pragma('cache_size = -16000')
  db.pragma('wal_autocheckpoint = 4000')
  db.exec(schema)
  return db
}

interface Range {
  readonly first: number
  readonly last: number
  readonly now: number
}

interface Step {
  readonly log: Database.Statement
  readonly move: Database.Statement
}

function prepare(db: Database.Database) {
  const step = (event: string, from: string, to: string, attempt: string, set: string): Step => ({
    log: db.prepare(`
      INSERT INTO job_events (job_id, seq, event, from_state, to_state, attempt, at)
      SELECT id, seq + 1, '${event}', '${from}', '${to}', ${attempt}, :now FROM jobs WHERE id BETWEEN :first AND :last`),
    move: db.prepare(`UPDATE jobs SET state = '${to}', seq = seq + 1, ${set} WHERE id BETWEEN :first AND :last`),
  })
  return {
    insert: db.prepare(`
      INSERT INTO jobs (type, queue, state, seq, priority, attempt, max_attempts, run_at, created_at)
      SELECT '${noop.type}', 'default', :state, 1, 0, 0, 4, :runAt, :now FROM json_each(:list)`),
    insertPayloads: db.prepare(
      'INSERT INTO job_payloads (job_id, payload) SELECT :first + key, value FROM json_each(:list)',
    ),
    logEnqueue: db.prepare(`
      INSERT INTO job_events (job_id, seq, event, from_state, to_state, attempt, at)
      SELECT id, 1, 'enqueue', NULL, state, 0, :now FROM jobs WHERE id BETWEEN :first AND :last`),
    ready: db
      .prepare(`
        SELECT id FROM jobs WHERE state = 'queued' AND queue = 'default' ORDER BY priority DESC, run_at, id LIMIT ?`)
      .pluck(),
    removals: ['jobs WHERE id', 'job_payloads WHERE job_id', 'job_events WHERE job_id'].map((rows) =>
      db.prepare(`DELETE FROM ${rows} BETWEEN ? AND ?`),
    ),
    lease: step('lease', 'queued', 'leased', 'attempt', `lease_token = seq + 1, lease_expires_at = :now + ${leaseMs}`),
    start: step('start', 'leased', 'running', 'attempt + 1', 'attempt = attempt + 1, started_at = :now'),
    succeed: step(
      'succeed',
      'running',
      'succeeded',
      'attempt',
      'lease_token = NULL, lease_expires_at = NULL, finished_at = :now',
    ),
  }
}
