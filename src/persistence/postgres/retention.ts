import { hasTag } from '../../machines/edges.ts'
import type { JobState } from '../../machines/job.ts'
import type { Duties } from './duties.ts'
import { retainSql } from './functions.ts'
import type { Reads } from './reads.ts'

/** Jobs that one step looks at. */
const walkMax = 1_000

/** Removes jobs that ended long enough ago, with their history: a walk up the ids, without an index of its own. */
export class Retention {
  readonly #reads: Reads
  readonly #duties: Duties
  readonly #keepMs: number
  #walkedTo = 0

  /** `keepMs`: how long they are kept after they ended; 0: for ever. */
  constructor(reads: Reads, duties: Duties, keepMs: number) {
    this.#reads = reads
    this.#duties = duties
    this.#keepMs = keepMs
  }

  /**
   * Goes on with the walk by one step; false at its end, if no job of a whole step was created early enough to have ended long enough ago.
   * One alone proves nothing: it may have come while the clock was wrong.
   */
  async walk(now: number): Promise<boolean> {
    if (this.#keepMs === 0) return false
    const endedBy = now - this.#keepMs
    const seen = await this.#reads.all<{ id: number; state: JobState; createdAt: number; finishedAt: number | null }>(
      nextSql,
      {
        after: this.#walkedTo,
      },
    )
    const old = seen.filter(({ createdAt }) => createdAt <= endedBy)
    const over = old.filter(({ state, finishedAt }) => hasTag(state, 'expendable') && finishedAt! <= endedBy)
    if (over.length > 0) {
      await this.#reads.all(retainSql, { ids: over.map(({ id }) => id), endedBy })
      await this.#duties.note('retention')
    }
    const goesOn = seen.length === walkMax && old.length > 0
    this.#walkedTo = goesOn ? seen.at(-1)!.id : 0
    return goesOn
  }
}

const nextSql = `SELECT id, state, created_at AS "createdAt", finished_at AS "finishedAt" FROM jobs WHERE id > :after ORDER BY id LIMIT ${walkMax}`
