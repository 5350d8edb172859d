import assert from 'node:assert/strict'
import type Database from 'better-sqlite3'
import { claim, type Edge, edgesOn, hasTag } from '../../machines/edges.ts'
import type { EventType, JobNode, JobState } from '../../machines/job.ts'
import { after, type Columns, stateIsTagged, stored, takes } from '../edge-sql.ts'
import type { Run } from '../runs.ts'

export type Moved = readonly [id: number, from: JobNode, to: JobState, event: EventType]

/** One event, or those of a claim, in order. */
export type Step = EventType | 'claim'

/** `fenced`: only jobs whose lease is the one named. */
export type Fence = 'fenced' | 'anyone'

/** Runs that are moved one by one; more go through JSON, all at once. */
const fewRuns = 4

/** What the statements are bound to. */
interface Values {
  readonly event_id?: number
  readonly [name: string]: unknown
}

/** A log for each event, and one move for all of them. */
interface Write {
  readonly logs: readonly Database.Statement[]
  readonly move: Database.Statement
}

interface Statements {
  /** For one run, bound by its parts: 9.4 µs a job where the other takes 10.9 (measured in a bare drain loop, runs of 50). */
  readonly one: Write
  /** For any number, as JSON. */
  readonly many: Write
  readonly events: readonly EventType[]
  /** The one edge that each event takes, null where one of them may take several. */
  readonly edges: readonly Edge[] | null
}

/**
 * The one way in which a stored job changes its state: a set of jobs takes an event, or the events of a claim, in order. Each event of each
 * job is logged in `job_events` and the job moved in `jobs`, by statements made from the edge table, and what edges were taken is counted
 * for `edge_counts`.
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
    this.#loggedFrom = db.prepare('SELECT job_id, from_state, to_state, event FROM job_events WHERE id >= ?').raw()
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

  /** Moves those jobs of the runs that the machine lets take `step`, each at most once; how many. */
  apply(step: Step, runs: readonly Run[], now: number, fence: Fence = 'anyone'): number {
    const { one, many, events, edges } = this.#statements(step, fence)
    const always = { now, lease_ms: this.#leaseMs }
    this.#lastMoved = this.#nextEventId
    const takeIds = ([first, last]: Run) => this.takeEventIds((last - first + 1) * events.length)
    if (runs.length > fewRuns) {
      const numbered = runs.map((run) => [...run, takeIds(run)])
      return this.#take(edges, many, { ...always, runs: JSON.stringify(numbered) })
    }
    let moved = 0
    for (const run of runs) {
      const [first, last, lease_token, delay_ms, error] = run
      const event_id = takeIds(run)
      moved += this.#take(edges, one, { ...always, first, last, lease_token, delay_ms, error, event_id })
    }
    return moved
  }

  /** Which jobs the last `apply` moved, and how: a job once for each event. */
  lastMoved(): readonly Moved[] {
    return this.#loggedFrom.all(this.#lastMoved) as Moved[]
  }

  #take(edges: Statements['edges'], { logs, move }: Write, values: Values): number {
    const [moved, ...others] = logs.map((log) => log.run(values).changes)
    if (moved === 0) return 0
    if (edges) for (const { from, event, to } of edges) this.count(from, event, to, moved!)
    else {
      const logged = this.#loggedFrom.all(values.event_id ?? this.#lastMoved) as Moved[]
      for (const [, from, to, event] of logged) this.count(from, event, to, 1)
    }
    // The rows are as they were when they were logged, so all statements match the same.
    others.push(move.run(values).changes)
    for (const count of others) assert.equal(count, moved, 'other jobs were moved than were logged')
    return moved!
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

  #statements(step: Step, fence: Fence): Statements {
    const key = `${step} ${fence}`
    const statements = this.#prepared.get(key) ?? prepareMoves(this.#db, step === 'claim' ? claim : [step], fence)
    this.#prepared.set(key, statements)
    return statements
  }
}

function prepareMoves(db: Database.Database, events: readonly EventType[], fence: Fence): Statements {
  const edges = events.map(edgesOn)
  const runs = `WITH run AS MATERIALIZED (SELECT value ->> 0 AS first, value ->> 1 AS last, value ->> 2 AS lease_token,
    value ->> 3 AS delay_ms, value ->> 4 AS error, value ->> 5 AS event_id FROM json_each(:runs))`
  return {
    one: prepareWrite(db, events, fence, { before: '', from: 'jobs WHERE', with: 'WHERE', part: (name) => `:${name}` }),
    many: prepareWrite(db, events, fence, {
      before: runs,
      from: 'run CROSS JOIN jobs ON',
      with: 'FROM run WHERE',
      part: (name) => `run.${name}`,
    }),
    events,
    edges: edges.every(({ length }) => length === 1) ? edges.flat() : null,
  }
}

/** Where a statement has its runs from. */
interface Source {
  readonly before: string
  readonly from: string
  readonly with: string
  part(name: 'first' | 'last' | 'lease_token' | 'delay_ms' | 'error' | 'event_id'): string
}

function prepareWrite(db: Database.Database, events: readonly EventType[], fence: Fence, source: Source): Write {
  const { part } = source
  const inRun = [`jobs.id BETWEEN ${part('first')} AND ${part('last')}`]
  if (fence === 'fenced') inRun.push(`jobs.lease_token = ${part('lease_token')}`)
  /** The job before each event, and after the last. */
  const jobs = [stored]
  for (const event of events) jobs.push(after(event, jobs.at(-1)!, part('delay_ms')))
  const matching = [...inRun, ...events.map((event, index) => takes(event, jobs[index]))].join(' AND ')
  // A run's jobs have their first events in a row, then their second ones.
  const eventId = (index: number) => {
    const before = index === 0 ? '' : ` + ${index} * (${part('last')} - ${part('first')} + 1)`
    return `${part('event_id')}${before} + jobs.id - ${part('first')}`
  }
  const log = (event: EventType, index: number) => {
    const [from, to] = jobs.slice(index) as [Columns, Columns]
    return db.prepare(`${source.before}
      INSERT INTO job_events (id, job_id, seq, event, from_state, to_state, attempt, at, error, previous_id)
      SELECT ${eventId(index)}, jobs.id, ${to.seq}, '${event}', ${from.state}, ${to.state}, ${to.attempt}, :now,
        ${part('error')}, ${index === 0 ? 'jobs.last_event_id' : eventId(index - 1)}
      FROM ${source.from} ${matching}`)
  }
  const changes = Object.entries({
    ...jobs.at(-1)!,
    ...notOfTheMachine(events, part),
    last_event_id: eventId(events.length - 1),
    // A column that stays is not named: SQLite would write the indexes that it stands in again.
  }).flatMap(([column, value]) => (value === `jobs.${column}` ? [] : [`${column} = ${value}`]))
  return {
    logs: events.map(log),
    move: db.prepare(`${source.before} UPDATE jobs SET ${changes.join(', ')} ${source.with} ${matching}`),
  }
}

/** What events change besides what the machine knows of. */
function notOfTheMachine(events: readonly EventType[], part: Source['part']) {
  const edges = events.flatMap(edgesOn)
  const failing = edges.some(({ from, to }) => hasTag(from, 'executing') && !hasTag(to, 'expendable'))
  return {
    // Only a job that is ready can be parked.
    parked: edges.some(({ from }) => hasTag(from, 'ready')) ? '0' : 'jobs.parked',
    error: failing ? `coalesce(${part('error')}, jobs.error)` : 'jobs.error',
  }
}

/** Jobs that wait, as `edge_counts` has them. */
export function prepareDepth(db: Database.Database): Database.Statement {
  const waits = (column: string) => stateIsTagged('waiting', column)
  return db
    .prepare(`SELECT coalesce(sum(n * (${waits('to_state')} - ${waits('from_state')})), 0) FROM edge_counts`)
    .pluck()
}
