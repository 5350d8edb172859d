import { performance } from 'node:perf_hooks'
import type Database from 'better-sqlite3'
import { timers } from '../../../runtime/timers.ts'
import { Census } from '../../census.ts'
import type { CensusCount } from '../../store.ts'

/** Rows that one step reads, as for a list. */
const stepMax = 20_000

/** Counts the jobs of a file. It deliberately has no index for that, because an index would slow down every transition. */
export class CensusCounter {
  readonly #step: Database.Statement

  constructor(db: Database.Database) {
    this.#step = db.prepare(`
      SELECT type, queue, state, count(*) AS count, max(id) AS last
      FROM (SELECT id, type, queue, state FROM jobs WHERE id > ? ORDER BY id LIMIT ?)
      GROUP BY type, queue, state`)
  }

  /** Walks up the ids in steps, and rests after each for as long as it took, so that other waiting reads get their turn. */
  async take(): Promise<CensusCount[]> {
    const census = new Census()
    for (let after = 0; ; ) {
      const begunAt = performance.now()
      const found = this.#step.all(after, stepMax) as (CensusCount & { last: number })[]
      census.add(found)
      const seen = found.reduce((sum, { count }) => sum + count, 0)
      if (seen < stepMax) return census.counts()
      after = found.reduce((last, group) => Math.max(last, group.last), after)
      await new Promise((resolve) => timers.setTimeout(resolve, performance.now() - begunAt))
    }
  }
}
