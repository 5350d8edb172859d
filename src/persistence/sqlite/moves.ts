import assert from 'node:assert/strict'
import type Database from 'better-sqlite3'
import { edgesOn, hasTag } from '../../machines/edges.ts'
import type { EventType, JobNode, JobState } from '../../machines/job.ts'
import {
  nextAttempt,
  nextFinishedAt,
  nextLease,
  nextRunAt,
  nextStartedAt,
  nextState,
  stateIsTagged,
  takes,
} from '../edge-sql.ts'

/** One job to move. */
export interface Item {
  readonly id: number
  /** The lease that must be held, where a move is fenced. */
  readonly leaseToken?: number
  /** Until it may run again, where it does; 0 unless given. */
  readonly delayMs?: number
  /** JSON text. */
  readonly error?: string
}

export type Moved = readonly [id: number, from: JobNode, to: JobState]

/** `fenced`: only jobs whose lease is the one named. */
export type Fence = 'fenced' | 'anyone'

/** Jobs with consecutive ids and all else alike: what a set of items is packed into, since most sets are few of them. */
type Run = [first: number, last: number, leaseToken: number | null, delayMs: number, error: string | null]

interface Statements {
  readonly log: Database.Statement
  readonly move: Database.Statement
  /** The one edge that the event takes, null where rows may take several. */
  readonly edge: { readonly from: JobNode; readonly to: JobState } | null
}

/**
 * The one way in which a stored job changes its state: a set of jobs takes one event, each is logged in `job_events` and moved in `jobs` by
 * a pair of statements made from the edge table, and what edges were taken is counted for `edge_counts`.
 */
export class Moves {
  readonly #db: Database.Database
  readonly #leaseMs: number
  readonly #prepared = new Map<string, Statements>()
  readonly #loggedAfter: Database.Statement
  readonly #addCount: Database.Statement
  readonly #taken = new Map<string, { from: string; event: string; to: string; n: number }>()
  /** Edges that the last finished transaction took. */
  takenCount = 0

  constructor(db: Database.Database, leaseMs: number) {
    this.#db = db
    this.#leaseMs = leaseMs
    this.#loggedAfter = db.prepare('SELECT job_id, from_state, to_state FROM job_events WHERE id > ?').raw()
    this.#addCount = db.prepare(`
      INSERT INTO edge_counts (from_state, event, to_state, n) VALUES (:from, :event, :to, :n)
      ON CONFLICT (from_state, event, to_state) DO UPDATE SET n = n + excluded.n`)
  }

  /** Forgets what a transaction that was rolled back had counted. */
  begin(): void {
    this.#taken.clear()
  }

  /** Adds to `edge_counts` what this transaction did. */
  finish(): void {
    this.takenCount = 0
    for (const taken of this.#taken.values()) {
      this.#addCount.run(taken)
      this.takenCount += taken.n
    }
    this.#taken.clear()
  }

  /** Moves those jobs that the machine lets take `event`, each at most once, and tells which. */
  apply(event: EventType, items: readonly Item[], now: number, fence: Fence = 'anyone'): readonly Moved[] {
    if (items.length === 0) return []
    const { log, move, edge } = this.#statements(event, fence)
    const values = { runs: JSON.stringify(intoRuns(items)), now, lease_ms: this.#leaseMs }
    let moved: readonly Moved[]
    if (edge) {
      const { changes, lastInsertRowid } = log.run(values)
      if (changes === 0) return []
      this.count(edge.from, event, edge.to, changes)
      moved =
        changes === items.length
          ? items.map(({ id }) => [id, edge.from, edge.to] as const)
          : (this.#loggedAfter.all(Number(lastInsertRowid) - changes) as Moved[])
    } else {
      moved = log.all(values) as Moved[]
      for (const [, from, to] of moved) this.count(from, event, to, 1)
      if (moved.length === 0) return []
    }
    // The rows are as they were when they were logged, so both statements match the same.
    assert.equal(move.run(values).changes, moved.length, `${event} logged and moved different jobs`)
    return moved
  }

  /** Counts an edge that was taken otherwise than by `apply`. */
  count(from: JobNode, event: string, to: JobState | '', n: number): void {
    const key = `${from} ${event} ${to}`
    const taken = this.#taken.get(key)
    if (taken) taken.n += n
    else this.#taken.set(key, { from, event, to, n })
  }

  /** By how many this transaction has changed the number of jobs that wait. */
  waitingChange(): number {
    const waits = (state: string) => Number(state !== '' && hasTag(state as JobNode, 'waiting'))
    return [...this.#taken.values()].reduce((sum, { from, to, n }) => sum + n * (waits(to) - waits(from)), 0)
  }

  #statements(event: EventType, fence: Fence): Statements {
    const key = `${event} ${fence}`
    const statements = this.#prepared.get(key) ?? prepareMove(this.#db, event, fence)
    this.#prepared.set(key, statements)
    return statements
  }
}

function intoRuns(items: readonly Item[]): Run[] {
  const runs: Run[] = []
  let run: Run | undefined
  for (const { id, leaseToken = null, delayMs = 0, error = null } of items) {
    if (run && run[1] + 1 === id && run[2] === leaseToken && run[3] === delayMs && run[4] === error) run[1] = id
    else {
      run = [id, id, leaseToken, delayMs, error]
      runs.push(run)
    }
  }
  return runs
}

function prepareMove(db: Database.Database, event: EventType, fence: Fence): Statements {
  const edges = edgesOn(event)
  const lease = nextLease(event)
  // Where a row's edge depends on its state or its guards, the log says which it took.
  const [edge] = edges.length === 1 ? edges : [null]
  const failing = edges.some(({ from, to }) => hasTag(from, 'executing') && !hasTag(to, 'expendable'))
  const runs = `WITH run AS MATERIALIZED (SELECT value ->> 0 AS first, value ->> 1 AS last, value ->> 2 AS lease_token,
    value ->> 3 AS delay_ms, value ->> 4 AS error FROM json_each(:runs))`
  const matching = `jobs.id BETWEEN run.first AND run.last AND ${takes(event)}
    ${fence === 'fenced' ? 'AND jobs.lease_token = run.lease_token' : ''}`
  const log = db.prepare(`${runs}
    INSERT INTO job_events (job_id, seq, event, from_state, to_state, attempt, at, error)
    SELECT jobs.id, jobs.seq + 1, '${event}', jobs.state, ${nextState(event)}, ${nextAttempt(event)}, :now, run.error
    FROM run CROSS JOIN jobs ON ${matching}
    ${edge ? '' : 'RETURNING job_id, from_state, to_state'}`)
  const move = db.prepare(`${runs}
    UPDATE jobs SET state = ${nextState(event)}, seq = jobs.seq + 1, attempt = ${nextAttempt(event)},
      run_at = ${nextRunAt(event, 'run.delay_ms')}, parked = 0, lease_token = ${lease.token}, lease_expires_at = ${lease.expiresAt},
      started_at = ${nextStartedAt(event)}, finished_at = ${nextFinishedAt(event)}
      ${failing ? ', error = coalesce(run.error, jobs.error)' : ''}
    FROM run WHERE ${matching}`)
  return { log: edge ? log : log.raw(), move, edge: edge ?? null }
}

/** Jobs that wait, as `edge_counts` has them. */
export function prepareDepth(db: Database.Database): Database.Statement {
  const waits = (column: string) => stateIsTagged('waiting', column)
  return db
    .prepare(`SELECT coalesce(sum(n * (${waits('to_state')} - ${waits('from_state')})), 0) FROM edge_counts`)
    .pluck()
}
