import Database from 'better-sqlite3'

/** Ends the simulated process at this point: the code that gets it may try anything, but nothing more reaches the file. */
export class Crash extends Error {
  override readonly name = 'Crash'
}

/** Where a write can go wrong. */
export type WriteStep = 'begin' | 'statement' | 'commit' | 'committed'

/** What happens at a step: nothing, an SQLite error, or the end of the process. */
export type Fault = null | 'SQLITE_BUSY' | 'SQLITE_FULL' | 'SQLITE_IOERR_FSYNC' | 'crash'

/**
 * Lets `decide` say at each step of each transaction what the disk does to it. A connection whose process has crashed accepts nothing more;
 * close it, and what it had not committed is gone.
 */
export function makeUnreliable(db: Database.Database, decide: (step: WriteStep) => Fault): void {
  const exec = db.exec.bind(db)
  const prepare = db.prepare.bind(db)
  let crashed = false

  const meet = (step: WriteStep) => {
    if (crashed) throw new Crash()
    const fault = decide(step)
    if (fault === null) return
    if (fault === 'crash') {
      crashed = true
      throw new Crash()
    }
    // As SQLite does for most of these: the transaction is over before anyone is told.
    if (fault !== 'SQLITE_BUSY' && db.inTransaction) exec('ROLLBACK')
    throw new Database.SqliteError(`simulated ${fault}`, fault)
  }

  db.exec = (sql) => {
    if (crashed) throw new Crash()
    if (sql.startsWith('BEGIN')) meet('begin')
    if (sql === 'COMMIT') meet('commit')
    const result = exec(sql)
    if (sql === 'COMMIT') meet('committed')
    return result
  }
  db.prepare = ((sql: string) => {
    const statement = prepare(sql)
    for (const method of ['run', 'all', 'get'] as const) {
      const call = statement[method].bind(statement) as (...given: unknown[]) => unknown
      statement[method] = ((...given: unknown[]) => {
        if (crashed) throw new Crash()
        if (db.inTransaction && !statement.readonly) meet('statement')
        return call(...given)
      }) as never
    }
    return statement
  }) as typeof db.prepare
}
