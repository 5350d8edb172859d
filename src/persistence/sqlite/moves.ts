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
import type { Run } from '../runs.ts'

export type Moved = readonly [id: number, from: JobNode, to: JobState]

/** `fenced`: only jobs whose lease is the one named. */
export type Fence = 'fenced' | 'anyone'

/** Runs that are moved one by one; more go through JSON, all at once. */
const fewRuns = 4

/** What a pair is bound to. */
interface Values {
  readonly event_id?: number
  readonly [name: string]: unknown
}

/** One event's pair of statements. */
interface Pair {
  readonly log: Database.Statement
  readonly move: Database.Statement
}

interface Statements {
  /** For one run, bound by its parts: 9.4 µs a job where the other takes 10.9 (measured in a bare drain loop, runs of 50). */
  readonly one: Pair
  /** For any number, as JSON. */
  readonly many: Pair
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
  readonly #newestEventId: Database.Statement
  readonly #loggedFrom: Database.Statement
  readonly #addCount: Database.Statement
  #nextEventId = 0
  /** Where the events of the last `apply` begin. */
  #lastMoved = 0
  readonly #taken = new Map<string, { from: string; event: string; to: string; n: number }>()
  /** Edges that the last finished transaction took. */
  takenCount = 0

  constructor(db: Database.Database, leaseMs: number) {
    this.#db = db
    this.#leaseMs = leaseMs
    this.#newestEventId = db.prepare('SELECT id FROM job_events ORDER BY id DESC LIMIT 1').pluck()
    this.#loggedFrom = db.prepare('SELECT job_id, from_state, to_state FROM job_events WHERE id >= ?').raw()
    this.#addCount = db.prepare(`
      INSERT INTO edge_counts (from_state, event, to_state, n) VALUES (:from, :event, :to, :n)
      ON CONFLICT (from_state, event, to_state) DO UPDATE SET n = n + excluded.n`)
  }

  /** Call it first in a transaction: forgets what one that was rolled back had counted, and sees what other processes have logged. */
  begin(): void {
    this.#taken.clear()
    this.#nextEventId = ((this.#newestEventId.get() as number | undefined) ?? 0) + 1
  }

  /** Ids for so many events in a row; the first. */
  takeEventIds(count: number): number {
    const first = this.#nextEventId
    this.#nextEventId += count
    return first
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

  /** Moves those jobs of the runs that the machine lets take `event`, each at most once; how many. */
  apply(event: EventType, runs: readonly Run[], now: number, fence: Fence = 'anyone'): number {
    const { one, many, edge } = this.#statements(event, fence)
    const always = { now, lease_ms: this.#leaseMs }
    this.#lastMoved = this.#nextEventId
    if (runs.length > fewRuns) {
      const numbered = runs.map((run) => [...run, this.takeEventIds(run[1] - run[0] + 1)])
      return this.#take(event, edge, many, { ...always, runs: JSON.stringify(numbered) })
    }
    let moved = 0
    for (const [first, last, lease_token, delay_ms, error] of runs) {
      const event_id = this.takeEventIds(last - first + 1)
      moved += this.#take(event, edge, one, { ...always, first, last, lease_token, delay_ms, error, event_id })
    }
    return moved
  }

  /** Which jobs the last `apply` moved, and how. */
  lastMoved(): readonly Moved[] {
    return this.#loggedFrom.all(this.#lastMoved) as Moved[]
  }

  #take(event: EventType, edge: Statements['edge'], { log, move }: Pair, values: Values): number {
    const { changes } = log.run(values)
    if (changes === 0) return 0
    if (edge) this.count(edge.from, event, edge.to, changes)
    else {
      const logged = this.#loggedFrom.all(values.event_id ?? this.#lastMoved) as Moved[]
      for (const [, from, to] of logged) this.count(from, event, to, 1)
    }
    // The rows are as they were when they were logged, so both statements match the same.
    assert.equal(move.run(values).changes, changes, `${event} logged and moved different jobs`)
    return changes
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

function prepareMove(db: Database.Database, event: EventType, fence: Fence): Statements {
  const edges = edgesOn(event)
  const [edge] = edges.length === 1 ? edges : [null]
  const runs = `WITH run AS MATERIALIZED (SELECT value ->> 0 AS first, value ->> 1 AS last, value ->> 2 AS lease_token,
    value ->> 3 AS delay_ms, value ->> 4 AS error, value ->> 5 AS event_id FROM json_each(:runs))`
  return {
    one: preparePair(db, event, fence, { before: '', from: 'jobs WHERE', with: 'WHERE', part: (name) => `:${name}` }),
    many: preparePair(db, event, fence, {
      before: runs,
      from: 'run CROSS JOIN jobs ON',
      with: 'FROM run WHERE',
      part: (name) => `run.${name}`,
    }),
    edge: edge ?? null,
  }
}

/** Where a statement has its runs from. */
interface Source {
  readonly before: string
  readonly from: string
  readonly with: string
  part(name: 'first' | 'last' | 'lease_token' | 'delay_ms' | 'error' | 'event_id'): string
}

function preparePair(db: Database.Database, event: EventType, fence: Fence, source: Source): Pair {
  const { part } = source
  const matching = `jobs.id BETWEEN ${part('first')} AND ${part('last')} AND ${takes(event)}
    ${fence === 'fenced' ? `AND jobs.lease_token = ${part('lease_token')}` : ''}`
  return {
    log: db.prepare(`${source.before}
      INSERT INTO job_events (id, job_id, seq, event, from_state, to_state, attempt, at, error, previous_id)
      SELECT ${eventId(part)}, jobs.id, jobs.seq + 1, '${event}', jobs.state, ${nextState(event)}, ${nextAttempt(event)}, :now,
        ${part('error')}, jobs.last_event_id
      FROM ${source.from} ${matching}`),
    move: db.prepare(`${source.before}
      UPDATE jobs SET ${assignments(event, part).join(', ')} ${source.with} ${matching}`),
  }
}

/** The id of a job's event: a run's jobs have their events in a row too. */
function eventId(part: Source['part']): string {
  return `${part('event_id')} + jobs.id - ${part('first')}`
}

/** What `event` changes in a row. A column that stays is not named: SQLite would write the indexes that it stands in again. */
function assignments(event: EventType, part: Source['part']): string[] {
  const edges = edgesOn(event)
  const lease = nextLease(event)
  const failing = edges.some(({ from, to }) => hasTag(from, 'executing') && !hasTag(to, 'expendable'))
  const next = {
    state: nextState(event),
    seq: 'jobs.seq + 1',
    last_event_id: eventId(part),
    attempt: nextAttempt(event),
    run_at: nextRunAt(event, part('delay_ms')),
    // Only a job that is ready can be parked.
    parked: edges.some(({ from }) => hasTag(from, 'ready')) ? '0' : 'jobs.parked',
    lease_token: lease.token,
    lease_expires_at: lease.expiresAt,
    started_at: nextStartedAt(event),
    finished_at: nextFinishedAt(event),
    error: failing ? `coalesce(${part('error')}, jobs.error)` : 'jobs.error',
  }
  return Object.entries(next).flatMap(([column, value]) => (value === `jobs.${column}` ? [] : [`${column} = ${value}`]))
}

/** Jobs that wait, as `edge_counts` has them. */
export function prepareDepth(db: Database.Database): Database.Statement {
  const waits = (column: string) => stateIsTagged('waiting', column)
  return db
    .prepare(`SELECT coalesce(sum(n * (${waits('to_state')} - ${waits('from_state')})), 0) FROM edge_counts`)
    .pluck()
}
