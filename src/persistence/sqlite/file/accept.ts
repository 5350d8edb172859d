import type Database from 'better-sqlite3'
import { DatabaseUnusableError } from '../../../errors.ts'
import { applicationId, migrations } from '../schema.ts'
import { openKept } from './kept.ts'
import { assertFile } from './locate.ts'
import { movedError, readMoved, schemaVersionOf } from './moved.ts'
import { assertReadable } from './private-files.ts'
import { schemaDifferences } from './schema-differences.ts'
import { corruptFileError, storageFailure } from './storage-failure.ts'

/**
 * Checks a file before it is opened for writing: read-only, so that a refused file keeps every byte. Throws `DatabaseUnusableError` if the
 * file belongs to another program or is newer than this one, or if its jobs have moved unless it may be such (`mayBeMoved`), and the error of
 * SQLite if it is not a database.
 */
export function assertOurs(path: string, { mayBeMoved = false } = {}): void {
  assertReadable(path)
  const db = openKept(path, { readonly: true, timeout: 0 })
  try {
    const version = schemaVersionOf(db)
    const application = db.pragma('application_id', { simple: true }) as number
    const tables = db.prepare('SELECT count(*) FROM sqlite_schema').pluck().get() as number
    if (application !== applicationId && (application !== 0 || tables > 0)) {
      throw new DatabaseUnusableError(describeForeign(db, path))
    }
    const moved = readMoved(db)
    if (moved && !mayBeMoved) throw movedError(path, moved)
    if (version > migrations.length) {
      throw new DatabaseUnusableError(
        `${path} has schema version ${version}, but this program only knows versions up to ${migrations.length}; run the newer version that wrote it`,
      )
    }
  } finally {
    db.close()
  }
}

/** Checks a file that is only read, as `assertOurs` does; also throws `DatabaseUnusableError` if it is not a database, or is empty. */
export function assertKept(path: string, { mayBeMoved = false } = {}): void {
  assertFile(path)
  try {
    assertOurs(path, { mayBeMoved })
  } catch (error) {
    throw storageFailure(error) === 'corrupt' ? corruptFileError(path, error) : error
  }
  const db = openKept(path, { readonly: true, timeout: 0 })
  try {
    if ((db.pragma('user_version', { simple: true }) as number) > 0) return
    throw new DatabaseUnusableError(`${path} is empty: it is not yet a jobmachine database; check the path`)
  } finally {
    db.close()
  }
}

/** For those who read tables and columns that only the newest schema has. */
export function assertNewest(db: Database.Database, path: string): void {
  const version = schemaVersionOf(db)
  if (version === migrations.length) return
  throw new DatabaseUnusableError(
    `${path} has schema version ${version}; a server or producer of this version brings it to ${migrations.length} when it opens it`,
  )
}

/** `.dump`, `.clone` and `.recover` of the sqlite3 shell lose the marks of our files. */
function describeForeign(db: Database.Database, path: string): string {
  const versions = migrations.map((_, index) => index + 1).reverse()
  const version = versions.find((version) => schemaDifferences(db, version).length === 0)
  if (version === undefined) return `${path} is a SQLite file of another program; choose another file`
  return `${path} has the tables of jobmachine but not its ids, as after .dump, .clone or .recover of sqlite3; if it is complete, run: sqlite3 '${path}' 'PRAGMA application_id = ${applicationId}; PRAGMA user_version = ${version}', then jobmachine verify`
}

/**
 * Throws `DatabaseUnusableError` if a file lacks the CHECKs, indexes and triggers of its schema version in this program: it was changed
 * manually, or by a build with a different machine.
 */
export function assertSchema(path: string): void {
  const db = openKept(path, { readonly: true, timeout: 0 })
  try {
    const faults = schemaDifferences(db, db.pragma('user_version', { simple: true }) as number)
    if (faults.length === 0) return
    throw new DatabaseUnusableError(
      `${path} lacks parts of the schema that protect its jobs: ${faults.join('; ')}. Run the version that wrote it, or restore a backup; \`jobmachine verify\` checks its jobs`,
    )
  } finally {
    db.close()
  }
}
