import assert from 'node:assert/strict'
import type Database from 'better-sqlite3'
import { snakeCase, storedNames } from '../../../job/fields.ts'
import type { JobState } from '../../../machines/job.ts'
import { type Batch, countBatched, fromBatches, intoBatches } from '../../batches.ts'
import { runAtOf, stateOf } from '../../new-jobs.ts'
import type { EnqueuedJob, EnqueueResult, NewJobRow } from '../../store.ts'
import type { Answers, NewCalls, WriterOptions } from '../thread/protocol.ts'
import type { JobTraces } from './job-traces.ts'
import { QueueDepths } from './queue-depths.ts'
import type { Transitions } from './transitions.ts'

/** A new job of some call, not inserted yet, and the answers that wait for its id. */
interface Gathered {
  readonly job: NewJobRow
  readonly state: JobState
  readonly idHolders: { id: number | null }[]
}

/** Stores new jobs: all calls of a commit with one set of statements. */
export class JobInserts {
  readonly #transitions: Transitions
  readonly #traces: JobTraces
  readonly #depthMax: number
  readonly #queues: QueueDepths
  readonly #sql: ReturnType<typeof prepare>
  /** The highest id given out; a rolled-back one is given out again. */
  lastJobId = 0

  constructor(db: Database.Database, transitions: Transitions, traces: JobTraces, options: WriterOptions) {
    this.#transitions = transitions
    this.#traces = traces
    this.#depthMax = options.maxQueueDepth
    this.#queues = new QueueDepths(db, options.maxDepthPerQueue ?? Number.POSITIVE_INFINITY)
    this.#sql = prepare(db)
  }

  /**
   * Stores the jobs of each call, all or none of them; conflicts are found before anything of a call is written. Most calls have no keys,
   * and all of them together stay within the limits, so that they need not be handled one by one.
   */
  enqueue({ counts, batches }: NewCalls, now: number): Answers['enqueue'] {
    const mayBeKnown = batches.some(({ keys }) => keys !== null)
    if (mayBeKnown || !this.#hasRoom(batches, now)) return this.#enqueueEach(fromBatches(batches, counts), now)
    const firstId = this.#insert(batches, now)
    return { firstId, states: batches.map((batch) => stateOf(batch, now)), counts: batches.map(({ count }) => count) }
  }

  #hasRoom(batches: readonly Batch[], now: number): boolean {
    const depth = this.#transitions.countWaiting() + countBatched(batches)
    return depth <= this.#depthMax && !(this.#queues.begin(depth, now) && this.#queues.take(batches))
  }

  /** A key used earlier among the calls counts as used. */
  #enqueueEach(calls: readonly (readonly NewJobRow[])[], now: number): EnqueueResult[] {
    const gathered: Gathered[] = []
    const byKey = new Map<string, Gathered>()
    let depth = this.#transitions.countWaiting()
    const isTight = this.#queues.begin(depth + calls.reduce((sum, { length }) => sum + length, 0), now)
    const results = calls.map((jobs): EnqueueResult => {
      const { conflict, fresh } = this.#foresee(
        jobs.map(({ idempotency }) => idempotency),
        byKey,
      )
      if (conflict) return conflict
      if (fresh.length > 0 && depth + fresh.length > this.#depthMax) return { outcome: 'full', queue: null, depth }
      const full = isTight ? this.#queues.take(fresh.map((index) => jobs[index]!)) : undefined
      if (full) return { outcome: 'full', ...full }
      depth += fresh.length
      const rows = jobs.map((job): EnqueuedJob => {
        const key = job.idempotency?.key
        const known = key === undefined ? undefined : this.#known(key, byKey)
        if (known) return known
        // Its id is filled in when the gathered jobs are inserted.
        const row = { id: 0, state: stateOf(job, now), created: true }
        const entry = { job, state: row.state, idHolders: [row] }
        gathered.push(entry)
        if (key !== undefined) byKey.set(key, entry)
        return row
      })
      return { outcome: 'stored', jobs: rows }
    })
    if (gathered.length > 0) {
      const firstId = this.#insert(intoBatches(gathered.map(({ job }) => job)), now)
      for (const [index, { idHolders }] of gathered.entries())
        for (const holder of idHolders) holder.id = firstId + index
    }
    this.#countReplays(results, now)
    return results
  }

  /** The job's page shows the count, because callers that use a key twice by mistake believe that they have created new jobs. */
  #countReplays(results: readonly EnqueueResult[], now: number): void {
    const counts = new Map<number, number>()
    for (const result of results) {
      if (result.outcome !== 'stored') continue
      for (const { id, created } of result.jobs) if (!created) counts.set(id, (counts.get(id) ?? 0) + 1)
    }
    for (const [id, n] of counts) this.#sql.countReplays.run({ id, n, now })
  }

  /** Which of the jobs with these keys are new, or which of them has a key that belongs to other content. */
  #foresee(keys: readonly NewJobRow['idempotency'][], byKey: ReadonlyMap<string, Gathered>) {
    const own = new Map<string, string>()
    const fresh: number[] = []
    for (const [index, idempotency] of keys.entries()) {
      if (!idempotency) {
        fresh.push(index)
        continue
      }
      const { key, content } = idempotency
      const gathered = byKey.get(key)
      const stored = gathered ? undefined : this.#keyed(key)
      const first = own.get(key) ?? gathered?.job.idempotency?.content ?? stored?.content
      if (first === undefined) {
        fresh.push(index)
        own.set(key, content)
      } else if (first !== content) {
        const conflict = { outcome: 'conflict' as const, index, id: stored?.id ?? null }
        gathered?.idHolders.push(conflict)
        return { conflict, fresh }
      }
    }
    return { conflict: null, fresh }
  }

  /** What the caller gets for a job whose key was used before, in the file or by an earlier job of this commit. */
  #known(key: string, byKey: ReadonlyMap<string, Gathered>): EnqueuedJob | undefined {
    const sibling = byKey.get(key)
    if (sibling) {
      const row = { id: 0, state: sibling.state, created: false }
      sibling.idHolders.push(row)
      return row
    }
    const stored = this.#keyed(key)
    return stored && { id: stored.id, state: stored.state, created: false }
  }

  #keyed(key: string) {
    return this.#sql.keyed.get(key) as { id: number; state: JobState; content: string } | undefined
  }

  /** Returns the first id; the others follow it. */
  #insert(batches: readonly Batch[], now: number): number {
    const firsts = batches.map((batch) => this.#insertBatch(batch, now))
    return firsts[0]!
  }

  #insertBatch(batch: Batch, now: number): number {
    const { count, payloads, keys, cause, traces } = batch
    const state = stateOf(batch, now)
    const event_id = this.#transitions.takeEventIds(count)
    const insert = keys === null ? this.#sql.insert : this.#sql.insertKeyed
    const list = keys ?? listOf(count)
    // First: the database refuses a job whose event is not there.
    this.#sql.insertEvents.run({ count, state, now, event_id, cause })
    const { changes, lastInsertRowid } = insert.run({
      state,
      now,
      event_id,
      list,
      // Only what it overrides comes after a spread: see `Transitions.apply`.
      ...batch,
      runAt: runAtOf(batch, now),
    })
    assert.equal(changes, count)
    // One statement of the only writer: AUTOINCREMENT gave consecutive ids in the order of the list.
    const first = Number(lastInsertRowid) - count + 1
    this.lastJobId = Number(lastInsertRowid)
    this.#sql.insertPayloads.run({ first, payloads })
    if (traces !== null) this.#traces.insert(first, traces)
    this.#transitions.count('new', 'enqueue', state, count)
    return first
  }
}

/** A JSON array of that length, which SQLite reads faster than the payloads. */
function listOf(length: number): string {
  return `[0${',0'.repeat(length - 1)}]`
}

function prepare(db: Database.Database) {
  const insert = (columns: string, values: string) =>
    db.prepare(`
      INSERT INTO jobs (${storedNames.map(snakeCase)}, state, seq, attempt, max_attempts, run_at, created_at, last_event_id${columns})
      SELECT ${storedNames.map((name) => `:${name}`)}, :state, 1, 0, :maxAttempts, :runAt, :now, :event_id + key${values}
      FROM json_each(:list)`)
  return {
    keyed: db.prepare('SELECT id, state, content FROM jobs WHERE idempotency_key = ?'),
    insert: insert('', ''),
    insertKeyed: insert(', idempotency_key, content', ', value ->> 0, value ->> 1'),
    countReplays: db.prepare(`
      INSERT INTO key_replays (job_id, n, last_at) VALUES (:id, :n, :now)
      ON CONFLICT (job_id) DO UPDATE SET n = n + excluded.n, last_at = excluded.last_at`),
    insertPayloads: db.prepare(
      'INSERT INTO job_payloads (job_id, payload) SELECT :first + key, value FROM json_each(:payloads)',
    ),
    insertEvents: db.prepare(`
      INSERT INTO event_runs (id, first_job_id, length, seq, event, from_state, to_state, attempt, at, cause)
      VALUES (:event_id, coalesce((SELECT max(seq) FROM sqlite_sequence WHERE name = 'jobs'), 0) + 1, :count, 1, 'enqueue', NULL, :state, 0, :now, :cause)`),
  }
}
