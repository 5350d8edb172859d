import assert from 'node:assert/strict'
import type Database from 'better-sqlite3'
import { findEdge } from '../../machines/edges.ts'
import type { JobState } from '../../machines/job.ts'
import type { EnqueuedRow, EnqueueResult, NewJobRow } from '../store.ts'
import { type Moves, prepareDepth } from './moves.ts'

/** A new job of some call, not inserted yet, and the answers that wait for its id. */
interface Gathered {
  readonly job: NewJobRow
  readonly state: JobState
  readonly runAt: number
  readonly idHolders: { id: number | null }[]
}

/** Stores new jobs: all calls of a commit by one set of statements. */
export class Intake {
  readonly #moves: Moves
  readonly #depthMax: number
  readonly #sql: ReturnType<typeof prepare>

  /** `depthMax`: jobs that may wait. */
  constructor(db: Database.Database, moves: Moves, depthMax: number) {
    this.#moves = moves
    this.#depthMax = depthMax
    this.#sql = prepare(db)
  }

  /**
   * Stores the jobs of each call, all or none of them; what stands in a call's way is found before anything of it is written. A key used
   * earlier among the calls counts as used.
   */
  enqueue(calls: readonly (readonly NewJobRow[])[], now: number): EnqueueResult[] {
    const gathered: Gathered[] = []
    const byKey = new Map<string, Gathered>()
    let depth = (this.#sql.depth.get() as number) + this.#moves.waitingChange()
    const results = calls.map((jobs): EnqueueResult => {
      const { conflict, fresh } = this.#foresee(jobs, byKey)
      if (conflict) return conflict
      if (fresh > 0 && depth + fresh > this.#depthMax) return { outcome: 'full', depth }
      depth += fresh
      return { outcome: 'stored', jobs: jobs.map((job) => this.#gather(job, gathered, byKey, now)) }
    })
    this.#insert(gathered, now)
    return results
  }

  /** How many of the jobs are new, or which of them has a key that belongs to other content. */
  #foresee(jobs: readonly NewJobRow[], byKey: ReadonlyMap<string, Gathered>) {
    const own = new Map<string, string>()
    let fresh = 0
    for (const [index, { idempotency }] of jobs.entries()) {
      if (!idempotency) {
        fresh++
        continue
      }
      const { key, content } = idempotency
      const gathered = byKey.get(key)
      const stored = gathered ? undefined : this.#keyed(key)
      const first = own.get(key) ?? gathered?.job.idempotency?.content ?? stored?.content
      if (first === undefined) {
        fresh++
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
  #gather(job: NewJobRow, gathered: Gathered[], byKey: Map<string, Gathered>, now: number): EnqueuedRow {
    const key = job.idempotency?.key
    const sibling = key === undefined ? undefined : byKey.get(key)
    const stored = key === undefined || sibling ? undefined : this.#keyed(key)
    if (stored) return { id: stored.id, state: stored.state, created: false }
    if (sibling) {
      const row = { id: 0, state: sibling.state, created: false }
      sibling.idHolders.push(row)
      return row
    }
    const runAt = Math.max(job.runAt ?? now + (job.delayMs ?? 0), now)
    const facts = { attempt: 0, maxAttempts: job.maxAttempts }
    const { to: state } = findEdge('new', { type: 'enqueue', delayed: runAt > now }, facts)!
    const row = { id: 0, state, created: true }
    const entry = { job, state, runAt, idHolders: [row] }
    gathered.push(entry)
    if (key !== undefined) byKey.set(key, entry)
    return row
  }

  #keyed(key: string) {
    return this.#sql.keyed.get(key) as { id: number; state: JobState; content: string } | undefined
  }

  #insert(gathered: readonly Gathered[], now: number): void {
    if (gathered.length === 0) return
    const list = gathered.map(({ job, state, runAt }) => {
      const { type, queue, priority, maxAttempts, timeoutMs, idempotency } = job
      return [type, queue, state, priority, maxAttempts, timeoutMs, runAt, idempotency?.key, idempotency?.content]
    })
    const { lastInsertRowid, changes } = this.#sql.insert.run({ list: JSON.stringify(list), now })
    assert.equal(changes, gathered.length)
    // One statement of the only writer: AUTOINCREMENT gave consecutive ids in the order of the list.
    const first = Number(lastInsertRowid) - changes + 1
    for (const [index, { job, state, idHolders }] of gathered.entries()) {
      this.#sql.insertPayload.run(first + index, job.payload)
      this.#moves.count('new', 'enqueue', state, 1)
      for (const holder of idHolders) holder.id = first + index
    }
    this.#sql.insertEvents.run({ first, last: first + changes - 1, now })
  }
}

function prepare(db: Database.Database) {
  const item = (index: number) => `item.value ->> ${index}`
  return {
    depth: prepareDepth(db),
    keyed: db.prepare('SELECT id, state, content FROM jobs WHERE idempotency_key = ?'),
    insert: db.prepare(`
      INSERT INTO jobs (type, queue, state, seq, priority, attempt, max_attempts, timeout_ms, run_at, created_at, idempotency_key, content)
      SELECT ${item(0)}, ${item(1)}, ${item(2)}, 1, ${item(3)}, 0, ${item(4)}, ${item(5)}, ${item(6)}, :now, ${item(7)}, ${item(8)}
      FROM json_each(:list) AS item`),
    insertPayload: db.prepare('INSERT INTO job_payloads (job_id, payload) VALUES (?, ?)'),
    insertEvents: db.prepare(`
      INSERT INTO job_events (job_id, seq, event, from_state, to_state, attempt, at)
      SELECT id, seq, 'enqueue', NULL, state, attempt, :now FROM jobs WHERE id BETWEEN :first AND :last`),
  }
}
