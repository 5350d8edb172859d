import type Database from 'better-sqlite3'
import type { KeptResults, RefusedEvent } from '../thread/protocol.ts'

/** What handlers returned. A job without a result costs nothing here. */
export class JobResults {
  readonly #insert: Database.Statement

  constructor(db: Database.Database) {
    this.#insert = db.prepare('INSERT INTO job_results (job_id, result) VALUES (?, ?)')
  }

  /** Call it after the jobs have succeeded, in the same transaction. `refused`: those of the same leases that have not. */
  keep({ ids, leaseTokens, texts }: KeptResults, refused: readonly RefusedEvent[]): void {
    // The same job may be in one call twice, by two leases.
    const lost = new Set(refused.map(({ id, leaseToken }) => `${id} ${leaseToken}`))
    for (const [index, id] of ids.entries())
      if (!lost.has(`${id} ${leaseTokens[index]}`)) this.#insert.run(id, texts[index])
  }
}
