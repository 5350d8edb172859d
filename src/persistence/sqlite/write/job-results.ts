import type Database from 'better-sqlite3'
import { resultKey } from '../thread/applied-events.ts'
import type { RefusedEvent } from '../thread/protocol.ts'

/** What handlers returned. A job without a result costs nothing here. */
export class JobResults {
  readonly #insert: Database.Statement
  readonly #insertOthers: Database.Statement

  constructor(db: Database.Database) {
    const insert = 'INSERT INTO job_results (job_id, result) SELECT CAST(key AS INTEGER), value FROM json_each(?)'
    this.#insert = db.prepare(insert)
    this.#insertOthers = db.prepare(`${insert} WHERE key NOT IN (SELECT value FROM json_each(?))`)
  }

  /** Call it after the jobs have succeeded, in the same transaction. `results`: see `resultsOf`; `refused`: the events that changed nothing. */
  keep(results: readonly string[], refused: readonly RefusedEvent[]): void {
    const lost = refused.map(({ id, leaseToken }) => resultKey(id, leaseToken))
    for (const text of results) {
      if (lost.length === 0) this.#insert.run(text)
      else this.#insertOthers.run(text, JSON.stringify(lost))
    }
  }
}
