import type Database from 'better-sqlite3'
import { hasTag } from '../../../machines/edges.ts'
import type { JobState } from '../../../machines/job.ts'
import { jobTables } from '../../sql/job-tables.ts'
import { retention } from '../../store.ts'
import { chainFrom } from '../read/histories.ts'
import { isOfRun } from '../schema.ts'
import type { Transitions } from './transitions.ts'

/** Jobs that one step examines, and that it reads at once. */
const walkMax = 1_000
const readAtOnce = 100

/** Removes jobs that ended long enough ago, with their history: a walk up the ids, without its own index. */
export class Retention {
  readonly #transitions: Transitions
  readonly #keepMs: number
  readonly #sql: ReturnType<typeof prepare>
  #walkedTo = 0

  /** `keepMs`: how long they are kept after they ended; 0 means forever. */
  constructor(db: Database.Database, transitions: Transitions, keepMs: number) {
    this.#transitions = transitions
    this.#keepMs = keepMs
    this.#sql = prepare(db)
  }

  /**
   * Continues the walk, up to a limit or until `goOn` returns false, past one job at least. Returns false at its end, when no job of a
   * whole step was created early enough to have ended long enough ago. A single job proves nothing: it may have been stored while the clock
   * was wrong.
   */
  walk(now: number, goOn = () => true): boolean {
    if (this.#keepMs === 0) return false
    const endedBy = now - this.#keepMs
    let looked = 0
    let old = 0
    for (let isEnd = false; looked < walkMax && !isEnd; ) {
      const seen = this.#sql.next.all({ after: this.#walkedTo, limit: readAtOnce }) as {
        readonly id: number
        readonly state: JobState
        readonly createdAt: number
        readonly finishedAt: number | null
        readonly lastEventId: number
      }[]
      for (const job of seen) {
        if (looked > 0 && !goOn()) return true
        looked++
        this.#walkedTo = job.id
        if (job.createdAt > endedBy) continue
        old++
        const isOver = hasTag(job.state, 'expendable') && job.finishedAt! <= endedBy
        if (isOver && !this.#sql.isNewestEvent.get(job.lastEventId)) this.#remove(job.id, job.state, job.lastEventId)
      }
      isEnd = seen.length < readAtOnce
    }
    const goesOn = looked === walkMax && old > 0
    if (!goesOn) this.#walkedTo = 0
    return goesOn
  }

  #remove(id: number, state: JobState, lastEventId: number): void {
    this.#sql.removeJob.run(id)
    for (const removal of this.#sql.removeRest) removal.run(id)
    this.#sql.removeEvents.run(lastEventId)
    this.#transitions.count(state, retention, '', 1)
  }
}

function prepare(db: Database.Database) {
  return {
    next: db.prepare(`
      SELECT id, state, created_at AS createdAt, finished_at AS finishedAt, last_event_id AS lastEventId
      FROM jobs WHERE id > :after ORDER BY id LIMIT :limit`),
    // The newest event stays, so that no event id is reused: readers continue from them.
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
