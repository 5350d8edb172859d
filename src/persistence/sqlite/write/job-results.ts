import type Database from 'better-sqlite3'
import { resultKey } from '../thread/applied-events.ts'
import type { RefusedEvent, ResultList, Results } from '../thread/protocol.ts'

/** What handlers returned. A job without a result costs nothing here. */
export class JobResults {
  readonly #insertList: Database.Statement
  readonly #insertOfList: Database.Statement
  readonly #insertSingles: Database.Statement

  constructor(db: Database.Database) {
    const insert = 'INSERT INTO job_results (job_id, result) SELECT'
    const others = 'WHERE key NOT IN (SELECT value FROM json_each(:lost))'
    this.#insertList = db.prepare('INSERT INTO job_results (job_id, length, result) VALUES (?, ?, ?)')
    this.#insertOfList = db.prepare(`${insert} :firstId + key, :list -> key FROM json_each(:list) ${others}`)
    this.#insertSingles = db.prepare(`${insert} CAST(key AS INTEGER), value FROM json_each(:singles) ${others}`)
  }

  /** Call it after the jobs have succeeded, in the same transaction. `refused`: the events that changed nothing. */
  keep({ shared, singles }: Results, refused: readonly RefusedEvent[]): void {
    for (const list of shared) this.#keepList(list, refused)
    if (singles === null) return
    const lost = JSON.stringify(refused.map(({ id, leaseToken }) => resultKey(id, leaseToken)))
    this.#insertSingles.run({ singles, lost })
  }

  #keepList([firstId, length, token, list]: ResultList, refused: readonly RefusedEvent[]): void {
    const lost = refused.flatMap(({ id, leaseToken }) =>
      leaseToken === token && id >= firstId && id < firstId + length ? [id - firstId] : [],
    )
    if (lost.length === 0) this.#insertList.run(firstId, length, list)
    else this.#insertOfList.run({ firstId, list, lost: JSON.stringify(lost) })
  }
}
