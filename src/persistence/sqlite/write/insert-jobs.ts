import assert from 'node:assert/strict'
import type Database from 'better-sqlite3'
import { snakeCase, storedNames } from '../../../job/fields.ts'
import type { JobState } from '../../../machines/job.ts'
import { Admission, type AdmissionFacts } from '../../admission.ts'
import { runAtOf, stateOf } from '../../new-jobs.ts'
import { intoRanges } from '../../sql/ranges.ts'
import type { EnqueueResult, NewJobRow } from '../../store.ts'
import { changesOf } from '../../unique-conflict.ts'
import { type Batch, countBatched, type Differing, fromBatches, intoBatches } from '../batches.ts'
import type { Answers, NewCalls, WriterOptions } from '../thread/protocol.ts'
import { JobChanges } from './job-changes.ts'
import type { JobTraces } from './job-traces.ts'
import { QueueDepths } from './queue-depths.ts'
import type { Transitions } from './transitions.ts'

/** Stores new jobs: all calls of a commit with one set of statements. */
export class JobInserts {
  readonly #db: Database.Database
  readonly #transitions: Transitions
  readonly #traces: JobTraces
  readonly #changes: JobChanges
  readonly #depthMax: number
  readonly #queues: QueueDepths
  readonly #sql: ReturnType<typeof prepare>
  /** The statement that inserts a batch, by the fields in which its jobs differ. */
  readonly #inserts = new Map<string, Database.Statement>()
  /** The highest id given out; a rolled-back one is given out again. */
  lastJobId = 0

  constructor(db: Database.Database, transitions: Transitions, traces: JobTraces, options: WriterOptions) {
    this.#db = db
    this.#transitions = transitions
    this.#traces = traces
    this.#changes = new JobChanges(db, transitions)
    this.#depthMax = options.maxQueueDepth
    this.#queues = new QueueDepths(db, options.maxDepthPerQueue ?? Number.POSITIVE_INFINITY)
    this.#sql = prepare(db)
  }

  /**
   * Stores the jobs of each call, all or none of them; conflicts are found before anything of a call is written. Most calls have only new
   * keys, and all of them together stay within the limits, so that they need not be handled one by one.
   */
  enqueue({ counts, batches }: NewCalls, now: number): Answers['enqueue'] {
    if (!this.#areKeysNew(batches) || !this.#hasRoom(batches, now))
      return this.#enqueueEach(fromBatches(batches, counts), now)
    const firstId = this.#insert(batches, now)
    return {
      firstId,
      states: batches.map((batch) => stateOf(batch, now, batch.isBlocked)),
      counts: batches.map(({ count }) => count),
    }
  }

  #areKeysNew(batches: readonly Batch[]): boolean {
    if (batches.some(({ uniques }) => uniques !== null)) return false
    const keys = batches.flatMap((batch) => (batch.keys === null ? [] : (JSON.parse(batch.keys) as string[])))
    return keys.length === 0 || (new Set(keys).size === keys.length && !this.#sql.knowsAny.get(JSON.stringify(keys)))
  }

  #hasRoom(batches: readonly Batch[], now: number): boolean {
    const depth = this.#transitions.countWaiting() + countBatched(batches)
    if (depth > this.#depthMax) return false
    if (!this.#queues.begin(depth, now)) return true
    return !batches.some(({ differing }) => differing.includes('queue')) && !this.#queues.take(batches)
  }

  #enqueueEach(calls: readonly (readonly NewJobRow[])[], now: number): readonly EnqueueResult[] {
    const depth = this.#transitions.countWaiting()
    const isTight = this.#queues.begin(depth + calls.reduce((sum, { length }) => sum + length, 0), now)
    let lastId = this.#sql.lastId.get() as number
    const admission = new Admission(calls, {
      depth,
      depthMax: this.#depthMax,
      reserveInQueues: (jobs) => (isTight ? this.#queues.take(jobs) : undefined),
      keyed: (key) => this.#keyed(key),
      holder: (type, key) => this.#transitions.uniqueKeys.holder(type, key, now),
      nextId: () => ++lastId,
      canAmend: true,
    })
    admission.setStates(now)
    for (const { id, cause } of admission.replaced) this.#replace(id, cause, now)
    if (admission.newJobs.length > 0) {
      this.#insert(intoBatches(admission.newJobs.map(({ job }) => job)), now)
      assert.equal(this.lastJobId, lastId)
    }
    for (const amendment of admission.amendments) {
      const isDone = this.#changes.amend(amendment.id, changesOf(amendment), now, amendment.job.cause)
      assert(isDone, 'a job that holds a unique key could not be changed')
    }
    this.#countReplays(admission.replayed, now)
    return admission.results
  }

  /** A dead job is cancelled and loses its key. */
  #replace(id: number, cause: string, now: number): void {
    this.#transitions.apply('cancel', intoRanges([{ id }], cause), now)
    this.#sql.freeKey.run(id)
  }

  /** The job's page shows the count, because callers that use a key twice by mistake believe that they have created new jobs. */
  #countReplays(replayed: readonly number[], now: number): void {
    const counts = new Map<number, number>()
    for (const id of replayed) counts.set(id, (counts.get(id) ?? 0) + 1)
    for (const [id, n] of counts) this.#sql.countReplays.run({ id, n, now })
  }

  #keyed(key: string): ReturnType<AdmissionFacts['keyed']> {
    const row = this.#sql.keyed.get(key) as { id: number; state: JobState; content: string } | undefined
    return row && { job: { id: row.id, state: row.state, created: false }, content: row.content }
  }

  /** Returns the first id; the others follow it. */
  #insert(batches: readonly Batch[], now: number): number {
    const firsts = batches.map((batch) => this.#insertBatch(batch, now))
    return firsts[0]!
  }

  #insertBatch(batch: Batch, now: number): number {
    const { count, payloads, causes, traces } = batch
    const state = stateOf(batch, now, batch.isBlocked)
    const last = causes === null ? this.#insertRows(batch, state, now) : this.#insertEach(batch, causes, state, now)
    // The only writer: AUTOINCREMENT gave consecutive ids in the order of the jobs.
    const first = last - count + 1
    this.lastJobId = last
    this.#insertPayloads(first, payloads)
    if (batch.uniques !== null) this.#transitions.uniqueKeys.insert(first, batch.type, batch.uniques, now)
    if (traces !== null) this.#traces.insert(first, traces)
    this.#transitions.count('new', 'enqueue', state, count)
    return first
  }

  /** Jobs with a cause each have an event each; the database refuses a job whose event is not the newest. Returns the last id. */
  #insertEach(batch: Batch, causes: string, state: JobState, now: number): number {
    const rows = batch.rows === null ? null : (JSON.parse(batch.rows) as unknown[])
    const single = { ...batch, count: 1 }
    let last = 0
    for (const [index, cause] of (JSON.parse(causes) as Batch['cause'][]).entries()) {
      single.cause = cause
      if (rows) single.rows = JSON.stringify([rows[index]])
      last = this.#insertRows(single, state, now)
    }
    return last
  }

  /** Jobs that share one event. Returns the last id. */
  #insertRows(batch: Batch, state: JobState, now: number): number {
    const { count, rows, cause, differing } = batch
    const event_id = this.#transitions.takeEventIds(count)
    // First: the database refuses a job whose event is not there.
    this.#sql.insertEvents.run(event_id, count, state, now, cause)
    const { changes, lastInsertRowid } =
      count === 1 && differing.length === 0
        ? this.#insertOne(batch, state, now, event_id)
        : this.#insertOf(batch).run({
            state,
            now,
            event_id,
            list: rows ?? listOf(count),
            // Only what it overrides comes after a spread: see `Transitions.apply`.
            ...batch,
            runAt: runAtOf(batch, now),
          })
    assert.equal(changes, count)
    return Number(lastInsertRowid)
  }

  /**
   * Without SELECT, for which SQLite makes a temporary table each time, because `jobs` has a trigger; and without names, each of which takes
   * 0.1 µs to bind.
   */
  #insertOne(batch: Batch, state: JobState, now: number, eventId: number): Database.RunResult {
    const fields = storedNames.map((name) => batch[name])
    const [key = null, content = null] = batch.rows === null ? [] : (JSON.parse(batch.rows) as [string[]])[0]
    const { maxAttempts } = batch
    return this.#sql.insertOne.run(...fields, maxAttempts, state, runAtOf(batch, now), now, eventId, key, content)
  }

  #insertPayloads(first: number, payloads: Batch['payloads']): void {
    if (typeof payloads === 'string') {
      this.#sql.insertPayloads.run({ first, payloads })
      return
    }
    for (const [index, text] of payloads.entries()) {
      this.#sql.insertPayload.run(first + index, text)
    }
  }

  #insertOf({ differing, keys }: Batch): Database.Statement {
    const isKeyed = keys !== null
    const name = `${differing} ${isKeyed}`
    const insert = this.#inserts.get(name) ?? prepareInsert(this.#db, differing, isKeyed)
    this.#inserts.set(name, insert)
    return insert
  }
}

/** A JSON array of that length, which SQLite reads faster than the payloads. */
function listOf(length: number): string {
  return `[0${',0'.repeat(length - 1)}]`
}

const columns = `${storedNames.map(snakeCase)}, max_attempts, state, run_at, created_at, last_event_id`

/** Reads the fields in which the jobs differ from a list of their rows, and the others from the batch. */
function prepareInsert(db: Database.Database, differing: readonly Differing[], isKeyed: boolean): Database.Statement {
  const columnOf = (name: Differing) => (differing.includes(name) ? `value ->> ${differing.indexOf(name)}` : `:${name}`)
  const key = isKeyed ? `, value ->> ${differing.length}, value ->> ${differing.length + 1}` : ''
  return db.prepare(`
    INSERT INTO jobs (${columns}, seq, attempt${isKeyed ? ', idempotency_key, content' : ''})
    SELECT ${storedNames.map(columnOf)}, ${columnOf('maxAttempts')}, :state, :runAt, :now, :event_id + key, 1, 0${key}
    FROM json_each(:list)`)
}

function prepare(db: Database.Database) {
  return {
    keyed: db.prepare('SELECT id, state, content FROM jobs WHERE idempotency_key = ?'),
    knowsAny: db
      .prepare('SELECT EXISTS (SELECT 1 FROM json_each(?) CROSS JOIN jobs ON idempotency_key = value)')
      .pluck(),
    lastId: db.prepare(`SELECT coalesce((SELECT max(seq) FROM sqlite_sequence WHERE name = 'jobs'), 0)`).pluck(),
    freeKey: db.prepare('UPDATE jobs SET idempotency_key = NULL, content = NULL WHERE id = ?'),
    countReplays: db.prepare(`
      INSERT INTO key_replays (job_id, n, last_at) VALUES (:id, :n, :now)
      ON CONFLICT (job_id) DO UPDATE SET n = n + excluded.n, last_at = excluded.last_at`),
    insertOne: db.prepare(`
      INSERT INTO jobs (${columns}, idempotency_key, content, seq, attempt)
      VALUES (${storedNames.map(() => '?')}, ?, ?, ?, ?, ?, ?, ?, 1, 0)`),
    insertPayloads: db.prepare(
      'INSERT INTO job_payloads (job_id, payload) SELECT :first + key, value FROM json_each(:payloads)',
    ),
    insertPayload: db.prepare('INSERT INTO job_payloads (job_id, payload) VALUES (?, ?)'),
    insertEvents: db.prepare(`
      INSERT INTO event_runs (id, first_job_id, length, seq, event, from_state, to_state, attempt, at, cause)
      VALUES (?, coalesce((SELECT max(seq) FROM sqlite_sequence WHERE name = 'jobs'), 0) + 1, ?, 1, 'enqueue', NULL, ?, 0, ?, ?)`),
  }
}
