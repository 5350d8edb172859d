import { createRequire } from 'node:module'
import Database from 'better-sqlite3'
import { DatabaseUnusableError } from '../../../errors.ts'

/** Every better-sqlite3 object with a native half, for as long as the thread lives. */
const kept: object[] = []

const everyTransaction = new Set(['BEGIN IMMEDIATE', 'COMMIT'])

/**
 * Opens a connection that is never collected, nor is any statement of it. Since Node 24.19 the native half of such an object removes its
 * clean-up hook when it is collected, and the process aborts if that happens in a collection that no JavaScript started; better-sqlite3
 * corrects this in 13, which needs Node 22. So statements are prepared once and kept, and `iterate`, which creates such an object each
 * time, is not used. Throws `DatabaseUnusableError` with what to do if better-sqlite3 has no binary for this Node.
 */
export function openKept(path: string, options: Database.Options = {}): Database.Database {
  const db = open(path, options)
  const prepare = db.prepare.bind(db)
  db.prepare = ((source: string) => {
    const statement = prepare(source)
    kept.push(statement)
    return statement
  }) as typeof db.prepare
  // Like better-sqlite3's own, which creates a statement each time and forgets it.
  db.pragma = (source, { simple = false } = {}) => {
    const statement = db.prepare(`PRAGMA ${source}`)
    const rows = statement.reader ? statement.pluck(simple).all() : [statement.run()]
    return simple ? rows[0] : rows
  }
  // The same for the statements of each transaction, which its own would compile each time.
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

/** better-sqlite3 13 includes its binaries, and crashes the process in a Node older than this. */
const nodeOfBinaries = 22

function open(path: string, options: Database.Options): Database.Database {
  const isOldNode = Number.parseInt(process.versions.node, 10) < nodeOfBinaries
  if (isOldNode && Number.parseInt(driverVersion(), 10) > 12)
    throw unfit(`needs Node.js ${nodeOfBinaries}: run npm install better-sqlite3@12, or use a newer Node.js`)
  try {
    return new Database(path, options)
  } catch (error) {
    if (isMissing(error)) throw unfit(`has no binary for this system: ${missingAdvice}`, error)
    throw error
  }
}

const missingAdvice = `its install script did not run, or found none. Run npm rebuild better-sqlite3 (if install scripts are off, first npm approve-scripts better-sqlite3; with pnpm, pnpm approve-builds); it needs python3, make and g++ if there is none to download. From Node.js ${nodeOfBinaries} on, npm install better-sqlite3@13 does without`

function driverVersion(): string {
  return createRequire(import.meta.url)('better-sqlite3/package.json').version
}

function unfit(why: string, cause?: unknown): DatabaseUnusableError {
  const here = `Node.js ${process.version} on ${process.platform}-${process.arch}`
  return new DatabaseUnusableError(`better-sqlite3 ${driverVersion()} under ${here} ${why}`, { cause })
}

/** The messages of `require` and of the package `bindings`. */
function isMissing(error: unknown): boolean {
  const { code, message } = error as NodeJS.ErrnoException
  return (
    code === 'MODULE_NOT_FOUND' || code === 'ERR_DLOPEN_FAILED' || message.startsWith('Could not locate the bindings')
  )
}
