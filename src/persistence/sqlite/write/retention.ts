import type Database from 'better-sqlite3'
import { Quotas, type RetentionRules } from '../../../job/retention.ts'
import { countStates, hasTag } from '../../../machines/edges.ts'
import { jobTables } from '../../sql/job-tables.ts'
import { type EdgeCount, type JobRow, retention } from '../../store.ts'
import { chainFrom } from '../read/histories.ts'
import { isOfRun } from '../schema.ts'
import type { Transitions } from './transitions.ts'

/** Jobs that one step examines, and that it reads at once. */
const walkMax = 1_000
const readAtOnce = 100

/** What of a job decides whether it is removed. */
type SeenName = 'id' | 'type' | 'state' | 'createdAt' | 'finishedAt'
type Seen = readonly (Pick<JobRow, SeenName> & { readonly lastEventId: number })[]

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
    let looked = 0
    let old = 0
    for (let isEnd = false; looked < walkMax && !isEnd; ) {
      const seen = this.#sql.next.all({ after: this.#walkedTo, limit: readAtOnce }) as Seen
      for (const job of seen) {
        if (looked > 0 && !goOn()) return true
        looked++
        this.#walkedTo = job.id
        if (job.createdAt > oldest) continue
        old++
        if (this.#rules.isOver(job, now)) this.#remove(job)
      }
      isEnd = seen.length < readAtOnce
    }
    const goesOn = looked === walkMax && old > 0
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
    for (let looked = 0; looked < walkMax; ) {
      const seen = this.#sql.before.all({ before: this.#countedDownTo, limit: readAtOnce }) as Seen
      for (const job of seen) {
        if (looked > 0 && !goOn()) return true
        looked++
        this.#countedDownTo = job.id
        if (this.#quotas.isBeyond(job)) this.#remove(job)
      }
      if (seen.length < readAtOnce) {
        this.#countedDownTo = null
        return false
      }
    }
    return true
  }

  /** The newest event stays, so that no event id is reused: readers continue from them. */
  #remove({ id, state, lastEventId }: Seen[number]): void {
    if (this.#sql.isNewestEvent.get(lastEventId)) return
    const isGuarded = !hasTag(state, 'expendable')
    if (isGuarded) this.#sql.allow.run()
    this.#sql.removeJob.run(id)
    if (isGuarded) this.#sql.forbid.run()
    for (const removal of this.#sql.removeRest) removal.run(id)
    this.#sql.removeEvents.run(lastEventId)
    this.#transitions.count(state, retention, '', 1)
  }
}

function prepare(db: Database.Database) {
  const columns = 'id, type, state, created_at AS createdAt, finished_at AS finishedAt, last_event_id AS lastEventId'
  return {
    next: db.prepare(`SELECT ${columns} FROM jobs WHERE id > :after ORDER BY id LIMIT :limit`),
    before: db.prepare(`SELECT ${columns} FROM jobs WHERE id < :before ORDER BY id DESC LIMIT :limit`),
    // For one statement: what no other may remove.
    allow: db.prepare(`INSERT INTO meta (name, value) VALUES ('removable', 'ended')`),
    forbid: db.prepare(`DELETE FROM meta WHERE name = 'removable'`),
    isNewestEvent: db
      .prepare('SELECT 1 WHERE ? = (SELECT id + length - 1 FROM event_runs ORDER BY id DESC LIMIT 1)')
      .pluck(),
    removeJob: db.prepare('DELETE FROM jobs WHERE id = ?'),
    removeRest: jobTables.map(([table]) => db.prepare(`DELETE FROM ${table} WHERE job_id = ?`)),
    // Rows that belong to other jobs too stay until the last of those is removed.
    removeEvents: db.prepare(`
      DELETE FROM event_runs WHERE id IN (${chainFrom('?')} SELECT run_id FROM chain) 
        AND NOT EXISTS (SELECT 1 FROM jobs WHERE ${isOfRun('event_runs')})`),
  }
}
