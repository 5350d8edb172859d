import Database from 'better-sqlite3'

/** Everything of better-sqlite3's that has a native half, for as long as the thread lives. */
const kept: object[] = []

const everyTransaction = new Set(['BEGIN IMMEDIATE', 'COMMIT'])

/**
 * Opens a connection that is never collected, nor any statement of it. Since Node 24.19 the native half of such an object takes its
 * clean-up hook back when it is collected, and the process aborts if that happens in a collection that no JavaScript began;
 * better-sqlite3 mends it in 13, which needs Node 22. So statements are prepared once and kept, and `iterate`, which makes such an object
 * each time, is not used.
 */
export function openKept(path: string, options: Database.Options = {}): Database.Database {
  const db = new Database(path, options)
  const prepare = db.prepare.bind(db)
  db.prepare = ((source: string) => {
    const statement = prepare(source)
    kept.push(statement)
    return statement
  }) as typeof db.prepare
  // As better-sqlite3's own, which makes a statement each time and forgets it.
  db.pragma = (source, { simple = false } = {}) => {
    const statement = db.prepare(`PRAGMA ${source}`)
    const rows = statement.reader ? statement.pluck(simple).all() : [statement.run()]
    return simple ? rows[0] : rows
  }
  // The same for what comes with each transaction, which its own would compile each time.
  const exec = db.exec.bind(db)
  const compiled = new Map<string, Database.Statement>()
  db.exec = (source: string) => {
    if (!everyTransaction.has(source)) return exec(source)
    const statement = compiled.get(source) ?? db.prepare(source)
    compiled.set(source, statement)
    statement.run()
    return db
  }
  kept.push(db)
  return db
}
