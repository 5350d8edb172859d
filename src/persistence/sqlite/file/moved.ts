import type Database from 'better-sqlite3'
import { DatabaseUnusableError } from '../../../errors.ts'
import { jobTables } from '../../sql/job-tables.ts'

/**
 * Added to the schema's version in a file whose jobs have moved. Versions of this program that know nothing of moved files refuse it,
 * because it is too new for them.
 */
const movedVersion = 1_000_000

/** Where the jobs of a file have gone, as its `meta` has it. */
interface Moved {
  /** The address of the database, without its password. */
  readonly to: string
  /** Epoch ms. */
  readonly at: number
}

/** Null if the jobs of the file are still in it. */
export function readMoved(db: Database.Database): Moved | null {
  if ((db.pragma('user_version', { simple: true }) as number) < movedVersion) return null
  return JSON.parse(db.prepare(`SELECT value FROM meta WHERE name = 'moved'`).pluck().get() as string)
}

/** The version of the schema, also in a file whose jobs have moved. */
export function schemaVersionOf(db: Database.Database): number {
  return (db.pragma('user_version', { simple: true }) as number) % movedVersion
}

export function movedError(path: string, { to, at }: Moved): DatabaseUnusableError {
  return new DatabaseUnusableError(
    `the jobs of ${path} moved to ${to} on ${new Date(at).toISOString()}, and the file is closed: start with DATABASE_URL instead of DATABASE_PATH. The file is only kept to be checked by jobmachine verify`,
  )
}

/** How the error begins of a write to a file whose jobs have moved, by a process that had it open. */
export const movedMessage = 'jobmachine: the jobs of this file have moved to '

/**
 * Closes a file for good, within the caller's transaction: nothing opens it for writing any more, and whoever has it open can store
 * nothing, whatever program that is.
 */
export function closeAsMoved(db: Database.Database, moved: Moved): void {
  const refusal = `${movedMessage}${moved.to}; start with DATABASE_URL`.replaceAll("'", "''")
  const refuse = (name: string, when: string) =>
    db.exec(`CREATE TRIGGER ${name} ${when} BEGIN SELECT RAISE(ABORT, '${refusal}'); END`)
  for (const table of ['jobs', ...jobTables.map(([name]) => name), 'event_runs', 'edge_counts'])
    for (const write of ['INSERT', 'UPDATE', 'DELETE'])
      refuse(`${table}_moved_${write.toLowerCase()}`, `BEFORE ${write} ON ${table}`)
  db.exec('DROP TRIGGER new_jobs_are_enqueued')
  refuse('new_jobs_moved', 'INSTEAD OF INSERT ON new_jobs')
  db.prepare(`INSERT OR REPLACE INTO meta (name, value) VALUES ('moved', ?)`).run(JSON.stringify(moved))
  db.pragma(`user_version = ${movedVersion + schemaVersionOf(db)}`)
}
