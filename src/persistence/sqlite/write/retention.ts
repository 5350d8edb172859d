import type Database from 'better-sqlite3'
import { Quotas, type RetentionRules } from '../../../job/retention.ts'
import { countStates, hasTag } from '../../../machines/edges.ts'
import { jobTables } from '../../sql/job-tables.ts'
import { intoRanges } from '../../sql/ranges.ts'
import { type EdgeCount, type JobRow, retention } from '../../store.ts'
import { readOffsets } from '../read/histories.ts'
import { isResultList, offsetAt, withJobsOf, withoutGone } from '../schema.ts'
import type { Transitions } from './transitions.ts'

/** Jobs that one step examines. */
const walkMax = 1_000
/** Jobs that are removed together: one at first, because nobody knows yet how much belongs to each. */
const pieces = { first: 1, max: 100 }

/** How a pass over some jobs ended: at the last job, at its limit, or because the time was over. */
type PassEnd = 'end' | 'limit' | 'stopped'

/** What of a job decides whether it is removed. */
type SeenName = 'id' | 'type' | 'state' | 'createdAt' | 'finishedAt'
type Seen = readonly (Pick<JobRow, SeenName> & { readonly lastEventId: number })[]

/** What a row of `event_runs` says of the events before its own. */
interface EventRow {
  readonly id: number
  readonly length: number
  readonly previousId: number | null
  readonly previousOffsets: string | null
  /** The last job of the row, if it is there. */
  readonly lastJob: number | null
}

/**
 * Removes jobs, with all that is theirs: those that ended long enough ago by a walk up the ids, and those that are beyond the number that is
 * kept of their kind by a walk down. Neither has its own index.
 */
export class Retention {
  readonly #transitions: Transitions
  readonly #rules: RetentionRules
  readonly #counts: () => readonly EdgeCount[]
  readonly #sql: ReturnType<typeof prepare>
  #walkedTo = 0
  /** The walk down; null while there is none. */
  #countedDownTo: number | null = null
  #quotas: Quotas

  /** `counts`: the kept counts of the file. */
  constructor(
    db: Database.Database,
    transitions: Transitions,
    rules: RetentionRules,
    counts: () => readonly EdgeCount[],
  ) {
    this.#transitions = transitions
    this.#rules = rules
    this.#counts = counts
    this.#sql = prepare(db)
    this.#quotas = new Quotas(rules)
  }

  /** Continues the walks, up to a limit or until `goOn` returns false, past one job at least. Returns false at their end. */
  step(now: number, goOn = () => true): boolean {
    return (this.#countedDownTo === null && this.#walk(now, goOn)) || this.#countDown(goOn)
  }

  /**
   * Returns false at its end, when no job of a whole step was created early enough to have ended long enough ago. A single job proves
   * nothing: it may have been stored while the clock was wrong.
   */
  #walk(now: number, goOn: () => boolean): boolean {
    const oldest = now - this.#rules.shortestMs
    if (oldest === Number.NEGATIVE_INFINITY) return false
    let old = 0
    const ended = this.#pass(
      (limit) => this.#sql.next.all({ after: this.#walkedTo, limit }) as Seen,
      (job) => {
        this.#walkedTo = job.id
        if (job.createdAt > oldest) return false
        old++
        return this.#rules.isOver(job, now)
      },
      goOn,
    )
    if (ended === 'stopped') return true
    const goesOn = ended === 'limit' && old > 0
    if (!goesOn) this.#walkedTo = 0
    return goesOn
  }

  /** Returns false at its end, which is at the oldest job. */
  #countDown(goOn: () => boolean): boolean {
    if (this.#countedDownTo === null) {
      if (this.#rules.countedStates.length === 0) return false
      if (!this.#rules.mayExceed(countStates(this.#counts()))) return false
      this.#countedDownTo = Number.MAX_SAFE_INTEGER
      this.#quotas = new Quotas(this.#rules)
    }
    const ended = this.#pass(
      (limit) => this.#sql.before.all({ before: this.#countedDownTo, limit }) as Seen,
      (job) => {
        this.#countedDownTo = job.id
        return this.#quotas.isBeyond(job)
      },
      goOn,
    )
    if (ended !== 'end') return true
    this.#countedDownTo = null
    return false
  }

  /** Passes some jobs on, and removes those that `isOver` names: a piece at least, up to a limit or until `goOn` returns false. */
  #pass(read: (limit: number) => Seen, isOver: (job: Seen[number]) => boolean, goOn: () => boolean): PassEnd {
    for (let looked = 0, size = pieces.first; looked < walkMax; ) {
      if (looked > 0 && !goOn()) return 'stopped'
      const limit = Math.min(pieces.max, walkMax - looked)
      const seen = read(limit)
      const piece = pieceOf(seen, isOver, size)
      looked += piece.looked
      this.#remove(piece.removed)
      if (piece.removed.length === size) size = Math.min(2 * size, pieces.max)
      if (piece.looked === seen.length && seen.length < limit) return 'end'
    }
    return 'limit'
  }

  /** The newest event stays, so that no event id is reused: readers continue from them. */
  #remove(jobs: Seen): void {
    const newest = this.#sql.newestEvent.get()
    const removed = jobs.filter(({ lastEventId }) => lastEventId !== newest).sort((one, other) => one.id - other.id)
    if (removed.length === 0) return
    const isGuarded = removed.some(({ state }) => !hasTag(state, 'expendable'))
    if (isGuarded) this.#sql.allow.run()
    const ranges = intoRanges(removed)
    for (const [first, last] of ranges) this.#sql.removeJobs.run(first, last)
    if (isGuarded) this.#sql.forbid.run()
    for (const removal of this.#sql.removeRest) for (const [first, last] of ranges) removal.run({ first, last })
    this.#sql.removeEvents.run(JSON.stringify(this.#rowsOf(removed)))
    for (const { state } of removed) this.#transitions.count(state, retention, '', 1)
  }

  /** The ids of the rows in which there are events of these jobs, which are gone, except for those whose last job is there. */
  #rowsOf(jobs: Seen): number[] {
    const rows = new Set<number>()
    for (let events = jobs.map(({ lastEventId }) => lastEventId); events.length > 0; ) {
      const next: number[] = []
      events.sort((a, b) => a - b)
      while (events.length > 0) {
        const row = this.#sql.rowOf.get(events.at(-1)) as EventRow | undefined
        if (!row) break
        if (row.lastJob === null) rows.add(row.id)
        next.push(...takePrevious(events, row))
      }
      events = next
    }
    return [...rows]
  }
}

/** The first jobs of `seen`, as far as the `size`-th that is over. */
function pieceOf(seen: Seen, isOver: (job: Seen[number]) => boolean, size: number): { looked: number; removed: Seen } {
  const removed: Seen[number][] = []
  let looked = 0
  while (looked < seen.length && removed.length < size) {
    const job = seen[looked++]!
    if (isOver(job)) removed.push(job)
  }
  return { looked, removed }
}

/** Takes from `events`, which are sorted, those that are in the row or after it, the last in them; returns the previous events of these jobs. */
function takePrevious(events: number[], { id, length, previousId, previousOffsets }: EventRow): number[] {
  const offsetAt = readOffsets(previousOffsets, length)
  const previous: number[] = []
  while (events.length > 0 && events.at(-1)! >= id) {
    const event = events.pop()!
    const offset = event - id < length ? offsetAt(event - id) : undefined
    // Links lead only to older events: there can be no circle.
    if (previousId !== null && offset !== undefined && previousId + offset < id) previous.push(previousId + offset)
  }
  return previous
}

/** What is left of removed jobs. Results that share a row with those of jobs that are there become null. */
function removalsFrom(table: string): string[] {
  if (table !== 'job_results') return [`DELETE FROM ${table} WHERE job_id BETWEEN :first AND :last`]
  const first = 'coalesce((SELECT max(job_id) FROM job_results WHERE job_id < :first), :first)'
  const rows = `WHERE job_id BETWEEN ${first} AND :last AND job_id + length > :first`
  return [
    `DELETE FROM job_results ${rows} AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.id BETWEEN job_id AND job_id + length - 1)`,
    `UPDATE job_results SET result = ${withoutGone('job_results')} ${rows} AND ${isResultList('job_results')}`,
  ]
}

function prepare(db: Database.Database) {
  const columns = 'id, type, state, created_at AS createdAt, finished_at AS finishedAt, last_event_id AS lastEventId'
  return {
    next: db.prepare(`SELECT ${columns} FROM jobs WHERE id > :after ORDER BY id LIMIT :limit`),
    before: db.prepare(`SELECT ${columns} FROM jobs WHERE id < :before ORDER BY id DESC LIMIT :limit`),
    // Until these jobs are gone: what no other may remove.
    allow: db.prepare(`INSERT INTO meta (name, value) VALUES ('removable', 'ended')`),
    forbid: db.prepare(`DELETE FROM meta WHERE name = 'removable'`),
    newestEvent: db.prepare('SELECT id + length - 1 FROM event_runs ORDER BY id DESC LIMIT 1').pluck(),
    removeJobs: db.prepare('DELETE FROM jobs WHERE id BETWEEN ? AND ?'),
    removeRest: jobTables.flatMap(([table]) => removalsFrom(table).map((sql) => db.prepare(sql))),
    rowOf: db.prepare(`
      SELECT id, length, previous_id AS previousId, previous_offsets AS previousOffsets,
        (SELECT jobs.id FROM jobs WHERE jobs.id = first_job_id + ${offsetAt('job_offsets', '(length - 1)')}) AS lastJob
      FROM event_runs WHERE id <= ? ORDER BY id DESC LIMIT 1`),
    // Rows that belong to other jobs too stay until the last of those is removed.
    removeEvents: db.prepare(`
      DELETE FROM event_runs WHERE id IN (SELECT value FROM json_each(?))
        AND NOT EXISTS (SELECT 1 FROM (SELECT 1) ${withJobsOf('event_runs')})`),
  }
}
