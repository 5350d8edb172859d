import assert from 'node:assert/strict'
import type Database from 'better-sqlite3'
import { claim, countAfter, type Edge, edgesOn, hasTag } from '../../../machines/edges.ts'
import type { EventType, JobNode, JobState, JobTag } from '../../../machines/job.ts'
import { countJobs, intoRanges, type JobRange } from '../../sql/ranges.ts'
import { stateHasTag } from '../../sql/transitions.ts'
import { freesKeys, takesKeysBack } from '../../sql/unique-keys.ts'
import { readEpochs } from '../file/epochs.ts'
import { intoGroups, type Run, runsOf, type SeenJob } from './event-runs.ts'
import { type JobSet, type LeaseCheck, prepareTransitions, type Statements } from './transition-statements.ts'
import { UniqueKeys } from './unique-keys.ts'

/** One event, or those of a claim, in order. */
type Change = EventType | 'claim'

/** The jobs of ranges that are long on average. */
const longRange = 8

/** The values bound to the statements. */
type Values = Readonly<Record<string, unknown>>

/** The first job of a range, and how many are like it. */
type FirstOfRange = readonly [id: number, lastEventId: number, seq: number, attempt: number, count: number]

/** What `apply` is to do with some jobs. */
interface Asked {
  readonly change: Change
  readonly leaseCheck: LeaseCheck
  readonly values: Values
}

/**
 * The only way in which a stored job changes its state: a set of jobs takes an event, or the events of a claim, in order. Statements
 * generated from the edge table read the jobs, and move them in `jobs` after their events were logged in `event_runs`. The edges that were
 * taken are counted for `edge_counts`.
 */
export class Transitions {
  readonly #db: Database.Database
  readonly #leaseMs: number
  readonly #prepared = new Map<string, Statements>()
  readonly #nextEvent: Database.Statement
  readonly #logEvent: Database.Statement
  readonly #addCount: Database.Statement
  readonly #waiting: Database.Statement
  readonly uniqueKeys: UniqueKeys
  #nextEventId = 0
  /** The ids go on at the beginning of an epoch. */
  #leaps = false
  /** Lower ids belong to an earlier epoch. */
  readonly #firstEventId: number
  #lastMoved: number[] = []
  /** The jobs that waited when this transaction began; null if they were not counted since another process may have changed that. */
  #waitingBefore: number | null = null
  /** The id of the next event when the last transaction was committed. */
  #committedNext = 0
  readonly #taken = new Map<string, { from: string; event: string; to: string; n: number }>()
  /** Edges that the last finished transaction took, and whether one of them began or ended a wait for an instant. */
  takenCount = 0
  tookTimed = false
  /** The highest event id at its end. */
  lastEventId = 0

  constructor(db: Database.Database, leaseMs: number) {
    this.#db = db
    this.#leaseMs = leaseMs
    this.uniqueKeys = new UniqueKeys(db)
    this.#firstEventId = readEpochs(db).at(-1)?.firstTransition ?? 0
    this.#nextEvent = db.prepare('SELECT id + length FROM event_runs ORDER BY id DESC LIMIT 1').pluck()
    this.#logEvent = db.prepare(`
      INSERT INTO event_runs (id, first_job_id, length, seq, event, from_state, to_state, attempt, at, error, cause, previous_id, job_offsets, previous_offsets)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
    this.#addCount = db.prepare(`
      INSERT INTO edge_counts (from_state, event, to_state, n) VALUES (:from, :event, :to, :n)
      ON CONFLICT (from_state, event, to_state) DO UPDATE SET n = n + excluded.n`)
    const waits = (column: string) => stateHasTag('waiting', column)
    this.#waiting = db
      .prepare(`SELECT coalesce(sum(n * (${waits('to_state')} - ${waits('from_state')})), 0) FROM edge_counts`)
      .pluck()
  }

  /** Call it first in a transaction: forgets what a rolled-back one had counted, and reads what other processes have logged. */
  begin(): void {
    this.#taken.clear()
    const next = (this.#nextEvent.get() as number | undefined) ?? 1
    // Whoever changes how many jobs wait logs an event.
    if (next !== this.#committedNext) this.#waitingBefore = null
    this.#leaps = next < this.#firstEventId
    this.#nextEventId = Math.max(next, this.#firstEventId)
    this.uniqueKeys.begin()
  }

  /** Reserves ids for this many consecutive events; returns the first. */
  takeEventIds(count: number): number {
    const first = this.#nextEventId
    this.#nextEventId += count
    return first
  }

  /** Adds to `edge_counts` what this transaction did. */
  finish(): void {
    this.takenCount = 0
    this.tookTimed = false
    for (const taken of this.#taken.values()) {
      this.#addCount.run(taken)
      this.takenCount += taken.n
      if (isTagged('timed', taken.from) || isTagged('timed', taken.to)) this.tookTimed = true
    }
    // Maybe nothing was logged.
    const next = this.#leaps ? ((this.#nextEvent.get() as number | undefined) ?? 1) : this.#nextEventId
    this.lastEventId = next - 1
  }

  /** Call it after the transaction was committed, if that is known. */
  committed(): void {
    if (this.#waitingBefore !== null) this.#waitingBefore += this.#waitingChange()
    this.#committedNext = this.lastEventId + 1
  }

  /**
   * Applies `change` to those jobs of the ranges for which the machine allows it, each at most once; returns how many. `crashed`: the flag
   * of `expire`.
   */
  apply(
    change: Change,
    ranges: readonly JobRange[],
    now: number,
    leaseCheck: LeaseCheck = 'anyone',
    crashed = false,
  ): number {
    this.#lastMoved = []
    let moved = 0
    for (const group of groupAlike(ranges)) {
      const asked = { change, leaseCheck, values: this.#valuesOf(group[0]!, now, crashed) }
      const isEach = isLong(group) && eventsOf(change).every((event) => edgesOn(event).length === 1)
      if (isEach) for (const range of group) moved += this.#takeRange(range, asked)
      else moved += this.#takeList(group, asked)
    }
    if (moved > 0) this.#changeKeys(change, ranges, now)
    return moved
  }

  /** The same for ready jobs, by their ids, that were read in this transaction. */
  claim(change: 'claim' | 'lease', jobs: readonly SeenJob[], now: number): number {
    if (jobs.length === 0) return 0
    this.#lastMoved = []
    const ranges = intoRanges(jobs.map(([id]) => ({ id })))
    const asked = { change, leaseCheck: 'anyone', values: this.#valuesOf(ranges[0]!, now) } as const
    let moved = 0
    if (isLong(ranges))
      for (const range of ranges) moved += this.#takeSeen(jobs.slice(moved, moved + countJobs([range])), asked)
    else moved = this.#takeSeen(jobs, asked)
    this.#changeKeys(change, ranges, now)
    return moved
  }

  #valuesOf([, , lease_token, delay_ms, error, cause]: JobRange, now: number, crashed = false): Values {
    return { lease_token, delay_ms, error, cause, now, lease_ms: this.#leaseMs, crashed: Number(crashed) }
  }

  /** Jobs with the same past, which is mostly so: their row needs no lists. */
  #takeRange(range: JobRange, asked: Asked): number {
    const statements = this.#statements(asked, 'range')
    const [first, last] = range
    // Spread last in hot code: V8 (Node 20) takes 0.6 µs for each property that comes after a spread.
    const values = { first, last, ...asked.values }
    const [firstJobId, previousId, seq, attempt, count] = statements.look.get(values) as FirstOfRange
    const length = last - first + 1
    if (count !== length) return this.#takeList([range], asked)
    for (let id = first; id <= last; id++) this.#lastMoved.push(id)
    const run = {
      firstJobId,
      length,
      jobOffsets: null,
      previousId,
      previousOffsets: null,
      facts: [seq, attempt],
    } as const
    return this.#take(statements, [run], values)
  }

  #takeList(ranges: readonly JobRange[], asked: Asked): number {
    const sought = ranges.flatMap(idsOf).sort((a, b) => a - b)
    const { look } = this.#statements(asked, 'list')
    const columns = (look.get({ ids: JSON.stringify(sought), ...asked.values }) as string[]).map((text) =>
      JSON.parse(text),
    )
    const jobs = (columns[0] as number[]).map(
      (_, index) => columns.map((column) => column[index]) as unknown as SeenJob,
    )
    for (const [id] of jobs) this.#lastMoved.push(id)
    return jobs.length === 0 ? 0 : this.#takeSeen(jobs, asked)
  }

  #takeSeen(jobs: readonly SeenJob[], asked: Asked): number {
    const groups = intoGroups(jobs, eventsOf(asked.change).length)
    const runs = groups.flatMap(runsOf)
    const [first] = runs
    if (runs.length > 1 || first!.jobOffsets !== null) {
      const ids = JSON.stringify(groups.flatMap((group) => group.map(([id]) => id)))
      return this.#take(this.#statements(asked, 'list'), runs, { ids, ...asked.values })
    }
    const range = { first: jobs[0]![0], last: jobs.at(-1)![0] }
    return this.#take(this.#statements(asked, 'range'), runs, { ...range, ...asked.values })
  }

  /** Logs the first event of all runs, then the next, and moves the jobs. */
  #take({ events, edges, move }: Statements, runs: readonly Run[], values: Values): number {
    const count = runs.reduce((sum, { length }) => sum + length, 0)
    const first = this.takeEventIds(count * events.length)
    let id = first
    let waiting = runs
    for (const [index, event] of events.entries()) {
      waiting = waiting.map((run) => {
        const next = this.#log(id, event, edges?.[index], run, values)
        id += run.length
        return next
      })
    }
    const { changes } = move.run({ event_id: first + (events.length - 1) * count, ...values })
    assert.equal(changes, count, 'other jobs were moved than were logged')
    return count
  }

  /** Returns the run as it is after the event. */
  #log(id: number, event: EventType, edge: Edge | undefined, run: Run, { now, error, cause }: Values): Run {
    const { firstJobId, length, jobOffsets, previousId, previousOffsets, facts } = run
    const attempt = edge ? countAfter(edge.attempt, facts[1]) : facts[4]!
    const [seq, { from, to }] = [facts[0] + 1, edge ?? { from: facts[2]!, to: facts[3]! }]
    const lists = [jobOffsets, previousOffsets]
    this.#logEvent.run(id, firstJobId, length, seq, event, from, to, attempt, now, error, cause, previousId, ...lists)
    this.count(from, event, to, length)
    return { firstJobId, length, jobOffsets, previousId: id, previousOffsets: null, facts: [seq, attempt] }
  }

  /** What the events mean for the unique keys of the jobs, and for those that wait for that. */
  #changeKeys(change: Change, ranges: readonly JobRange[], now: number): void {
    const events = eventsOf(change)
    if (events.some(takesKeysBack)) this.uniqueKeys.takeBack(ranges)
    else if (freesKeys(events)) this.#unblock(this.uniqueKeys.free(ranges), now)
  }

  /** Jobs that waited for others, which have ended, in the same transaction: none can be forgotten. */
  #unblock(ids: readonly number[], now: number): void {
    if (ids.length === 0) return
    const lastMoved = this.#lastMoved
    const moved = this.apply('unblock', intoRanges([...ids].sort((a, b) => a - b).map((id) => ({ id }))), now)
    assert.equal(moved, ids.length, 'a job that waited for another could not go on')
    this.#lastMoved = lastMoved
  }

  /** The ids of the jobs that the last `apply` moved. */
  get lastMoved(): readonly number[] {
    return this.#lastMoved
  }

  /** Counts an edge that was taken other than by `apply`. */
  count(from: JobNode, event: string, to: JobState | '', n: number): void {
    const key = `${from} ${event} ${to}`
    const taken = this.#taken.get(key)
    if (taken) taken.n += n
    else this.#taken.set(key, { from, event, to, n })
  }

  /** The number of waiting jobs, including the changes of this transaction. */
  countWaiting(): number {
    this.#waitingBefore ??= this.#waiting.get() as number
    return this.#waitingBefore + this.#waitingChange()
  }

  #waitingChange(): number {
    const waits = (state: string) => Number(isTagged('waiting', state))
    let change = 0
    for (const { from, to, n } of this.#taken.values()) change += n * (waits(to) - waits(from))
    return change
  }

  #statements({ change, leaseCheck }: Asked, set: JobSet): Statements {
    const key = `${change} ${leaseCheck} ${set}`
    const statements = this.#prepared.get(key) ?? prepareTransitions(this.#db, eventsOf(change), leaseCheck, set)
    this.#prepared.set(key, statements)
    return statements
  }
}

function eventsOf(change: Change): readonly EventType[] {
  return change === 'claim' ? claim : [change]
}

/** So long that they are moved one by one, not as one list. */
function isLong(ranges: readonly JobRange[]): boolean {
  return ranges.length === 1 || countJobs(ranges) >= longRange * ranges.length
}

function idsOf([first, last]: JobRange): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index)
}

/** For an end of a counted edge; a job that retention removed has none. */
function isTagged(tag: JobTag, end: string): boolean {
  return end !== '' && hasTag(end as JobNode, tag)
}

/** By their lease tokens, which follow from the pasts of the jobs, the ranges in order that differ only in their ids. Mostly those are all. */
function groupAlike(ranges: readonly JobRange[]): JobRange[][] {
  const groups: JobRange[][] = []
  for (const range of ranges.toSorted((one, other) => (one[2] ?? 0) - (other[2] ?? 0))) {
    const group = groups.at(-1)
    if (group && isAlike(group[0]!, range)) group.push(range)
    else groups.push([range])
  }
  return groups
}

function isAlike(one: JobRange, other: JobRange): boolean {
  return one[2] === other[2] && one[3] === other[3] && one[4] === other[4] && one[5] === other[5]
}
