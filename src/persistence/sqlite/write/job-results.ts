import type Database from 'better-sqlite3'
import type { EventSet } from '../../sql/ranges.ts'
import type { RefusedEvent } from '../thread/protocol.ts'

/** What handlers returned. A job without a result costs nothing here. */
export class JobResults {
  readonly #insert: Database.Statement

  constructor(db: Database.Database) {
    this.#insert = db.prepare('INSERT INTO job_results (job_id, result) VALUES (?, ?)')
  }

  /** Call it after the jobs have succeeded, in the same transaction. `results`: of each that was to, in order; `refused`: those that have not. */
  keep(results: readonly (string | null)[], sets: readonly EventSet[], refused: readonly RefusedEvent[]): void {
    let next = 0
    for (const [first, last, leaseToken] of sets.flatMap(({ event, ranges }) => (event === 'succeed' ? ranges : [])))
      for (let id = first; id <= last; id++) {
        const result = results[next++]!
        // The same job may be in one call twice, by two leases.
        const isLost = refused.some((lost) => lost.id === id && lost.leaseToken === leaseToken)
        if (result !== null && !isLost) this.#insert.run(id, result)
      }
  }
}
