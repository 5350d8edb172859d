import assert from 'node:assert/strict'
import type Database from 'better-sqlite3'
import { snakeCase, storedNames } from '../../../job/fields.ts'
import { findEdge } from '../../../machines/edges.ts'
import type { JobState } from '../../../machines/job.ts'
import { type Batch, countBatched, fromBatches, intoBatches } from '../../batches.ts'
import type { EnqueuedJob, EnqueueResult, NewJobRow } from '../../store.ts'
import type { EnqueuedCalls, NewCalls, WriterOptions } from '../thread/protocol.ts'
import { QueueDepths } from './queue-depths.ts'
import { prepareDepth, type Transitions } from './transitions.ts'

/** A new job of some call, not inserted yet, and the answers that wait for its id. */
interface Gathered {
  readonly job: NewJobRow
  readonly state: JobState
  readonly idHolders: { id: number | null }[]
}

/** Stores new jobs: all calls of a commit by one set of statements. */
export class JobInserts {
  readonly #transitions: Transitions
  readonly #depthMax: number
  readonly #queues: QueueDepths
  readonly #sql: ReturnType<typeof prepare>
  /** The highest that it has given; one that was rolled back is given again. */
  lastJobId = 0

  constructor(db: Database.Database, transitions: Transitions, options: WriterOptions) {
    this.#transitions = transitions
    this.#depthMax = options.maxQueueDepth
    this.#queues = new QueueDepths(db, options.maxDepthPerQueue ?? Number.POSITIVE_INFINITY)
    this.#sql = prepare(db)
  }

  /**
   * Stores the jobs of each call, all or none of them; conflicts are found before anything of a call is written. Most calls have no keys,
   * and all of them fit into the limits together: those need not be handled one by one.
   */
  enqueue({ counts, batches }: NewCalls, now: number): EnqueuedCalls {
    const mayBeKnown = batches.some(({ keys }) => keys !== null)
    if (mayBeKnown || !this.#hasRoom(batches, now)) return this.#enqueueEach(intoCalls(batches, counts), now)
    const firstId = this.#insert(batches, now)
    return { firstId, states: batches.map((batch) => stateOf(batch, now)) }
  }

  #hasRoom(batches: readonly Batch[], now: number): boolean {
    const depth = this.#depth() + countBatched(batches)
    return depth <= this.#depthMax && !(this.#queues.begin(depth, now) && this.#queues.take(batches))
  }

  /** A key used earlier among the calls counts as used. */
  #enqueueEach(calls: readonly (readonly NewJobRow[])[], now: number): EnqueueResult[] {
    const gathered: Gathered[] = []
    const byKey = new Map<string, Gathered>()
    let depth = this.#depth()
    const isTight = this.#queues.begin(depth + calls.reduce((sum, { length }) => sum + length, 0), now)
    const results = calls.map((jobs): EnqueueResult => {
      const { conflict, fresh } = this.#foresee(jobs, byKey)
      if (conflict) return conflict
      if (fresh.length > 0 && depth + fresh.length > this.#depthMax) return { outcome: 'full', queue: null, depth }
      const full = isTight ? this.#queues.take(fresh) : undefined
      if (full) return { outcome: 'full', ...full }
      depth += fresh.length
      return { outcome: 'stored', jobs: jobs.map((job) => this.#gather(job, gathered, byKey, now)) }
    })
    if (gathered.length > 0) {
      const firstId = this.#insert(intoBatches(gathered.map(({ job }) => job)), now)
      for (const [index, { idHolders }] of gathered.entries())
        for (const holder of idHolders) holder.id = firstId + index
    }
    return results
  }

  /** Jobs that wait, with what this transaction has changed. */
  #depth(): number {
    return (this.#sql.depth.get() as number) + this.#transitions.waitingChange()
  }

  /** Which of the jobs are new, or which of them has a key that belongs to other content. */
  #foresee(jobs: readonly NewJobRow[], byKey: ReadonlyMap<string, Gathered>) {
    const own = new Map<string, string>()
    const fresh: NewJobRow[] = []
    for (const [index, job] of jobs.entries()) {
      const { idempotency } = job
      if (!idempotency) {
        fresh.push(job)
        continue
      }
      const { key, content } = idempotency
      const gathered = byKey.get(key)
      const stored = gathered ? undefined : this.#keyed(key)
      const first = own.get(key) ?? gathered?.job.idempotency?.content ?? stored?.content
      if (first === undefined) {
        fresh.push(job)
        own.set(key, content)
      } else if (first !== content) {
        const conflict = { outcome: 'conflict' as const, index, id: stored?.id ?? null }
        gathered?.idHolders.push(conflict)
        return { conflict, fresh }
      }
    }
    return { conflict: null, fresh }
  }

  /** What the caller gets for one job; its id is filled in when the gathered jobs are inserted. */
  #gather(job: NewJobRow, gathered: Gathered[], byKey: Map<string, Gathered>, now: number): EnqueuedJob {
    const key = job.idempotency?.key
    const sibling = key === undefined ? undefined : byKey.get(key)
    const stored = key === undefined || sibling ? undefined : this.#keyed(key)
    if (stored) return { id: stored.id, state: stored.state, created: false }
    if (sibling) {
      const row = { id: 0, state: sibling.state, created: false }
      sibling.idHolders.push(row)
      return row
    }
    const state = stateOf(job, now)
    const row = { id: 0, state, created: true }
    const entry = { job, state, idHolders: [row] }
    gathered.push(entry)
    if (key !== undefined) byKey.set(key, entry)
    return row
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
    const { count, payloads, keys, cause } = batch
    const state = stateOf(batch, now)
    const event_id = this.#transitions.takeEventIds(count)
    const insert = keys === null ? this.#sql.insert : this.#sql.insertKeyed
    const list = keys ?? listOf(count)
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
    this.#sql.insertEvents.run({ first, count, state, now, event_id, cause })
    this.#transitions.count('new', 'enqueue', state, count)
    return first
  }
}

/** A JSON array of that length, which is read faster than the payloads. */
function listOf(length: number): string {
  return `[0${',0'.repeat(length - 1)}]`
}

/** When a job could run, stored at `now`. */
function runAtOf({ runAt, delayMs }: Pick<NewJobRow, 'runAt' | 'delayMs'>, now: number): number {
  return Math.max(runAt ?? now + (delayMs ?? 0), now)
}

function stateOf(job: Pick<NewJobRow, 'runAt' | 'delayMs' | 'maxAttempts'>, now: number): JobState {
  const facts = { attempt: 0, maxAttempts: job.maxAttempts, crashes: 0 }
  return findEdge('new', { type: 'enqueue', delayed: runAtOf(job, now) > now }, facts)!.to
}

/** The jobs of each call. */
export function intoCalls(batches: readonly Batch[], counts: NewCalls['counts']): NewJobRow[][] {
  const jobs = fromBatches(batches)
  if (counts === null) return jobs.map((job) => [job])
  let next = 0
  return counts.map((count) => {
    next += count
    return jobs.slice(next - count, next)
  })
}

function prepare(db: Database.Database) {
  const insert = (columns: string, values: string) =>
    db.prepare(`
      INSERT INTO jobs (${storedNames.map(snakeCase)}, state, seq, attempt, max_attempts, run_at, created_at, last_event_id${columns})
      SELECT ${storedNames.map((name) => `:${name}`)}, :state, 1, 0, :maxAttempts, :runAt, :now, :event_id + key${values}
      FROM json_each(:list)`)
  return {
    depth: prepareDepth(db),
    keyed: db.prepare('SELECT id, state, content FROM jobs WHERE idempotency_key = ?'),
    insert: insert('', ''),
    insertKeyed: insert(', idempotency_key, content', ', value ->> 0, value ->> 1'),
    insertPayloads: db.prepare(
      'INSERT INTO job_payloads (job_id, payload) SELECT :first + key, value FROM json_each(:payloads)',
    ),
    insertEvents: db.prepare(`
      INSERT INTO event_runs (id, first_job_id, length, seq, event, from_state, to_state, attempt, at, cause)
      VALUES (:event_id, :first, :count, 1, 'enqueue', NULL, :state, 0, :now, :cause)`),
  }
}
