import { dirname } from 'node:path'
import type Database from 'better-sqlite3'
import { DatabaseUnusableError } from '../../../errors.ts'
import type { Owner } from '../../store.ts'
import { applicationId, migrations } from '../schema.ts'
import { assertOurs, assertSchema } from './accept.ts'
import { beginEpoch } from './epochs.ts'
import { openKept } from './kept.ts'
import { makeFolder } from './locate.ts'
import { isOutOfSpace } from './private-files.ts'
import { corruptFileError, storageFailure } from './storage-failure.ts'
import { assertWalWhole } from './wal.ts'
import { findGap, lookAt, prepareIfNew } from './wholeness.ts'

/** Pages of WAL after which a commit moves them into the database: 8 MiB, so that few commits pay for it; more took longer to flush. */
const checkpointPages = 2_000
/** How much of its length the log keeps when it starts over: twice what it needs, unless a long reader delays that. */
const logKeptBytes = 16_777_216
const pageCacheKib = 16_000
/** `PRAGMA synchronous`: a commit is flushed to the disk before it returns. */
const synchronousFull = 2

/** What an acknowledged write survives under the settings of `openForWriting`, in words. */
export const durability = 'an acknowledged job survives a power cut (WAL, synchronous=FULL)'

/** Options of an opening. */
interface OpenOptions {
  /** See `LostJobsError`. */
  readonly acceptLoss?: string | undefined
  /** Overwrites removed data with zeros. */
  readonly secureDelete?: boolean | undefined
  /** The server that opens the file, to be named in its `meta`; undefined for a producer. */
  readonly owner?: Owner | undefined
  /** Why a new epoch has begun, in words for the log. */
  readonly onEpoch?: (why: string) => void
}

/**
 * Opens the file for the only connection that writes, and migrates it to the newest schema; creates it, with its folder, if it is missing.
 * `random` gives the id of a new file or epoch. Throws `DatabaseUnusableError` if the file is newer than this program, is not ours, lacks
 * the schema of its version, is damaged, has less than was acknowledged or may not be written; such a file is not changed. SQLITE_BUSY
 * passes through: try again.
 */
export function openForWriting(
  path: string,
  random: () => string,
  now: number,
  { acceptLoss, secureDelete, owner, onEpoch = () => {} }: OpenOptions = {},
): Database.Database {
  return explaining(path, () => {
    const found = lookAt(path)
    let gap: ReturnType<typeof findGap> = null
    if (found.databaseBytes > 0) {
      assertWalWhole(path)
      assertOurs(path)
      assertSchema(path)
      gap = assertWhole(path, found, acceptLoss)
    } else prepare(path, found)
    let db = openKept(path, { timeout: 0 })
    try {
      if (forgetStatistics(db)) {
        db.close()
        db = openKept(path, { timeout: 0 })
      }
      if (gap) {
        // A file that another process has open cannot have gone back. It is busy then, and is checked again.
        leaveLog(db)
        beginEpoch(db, random(), gap.mark, now)
      }
      db.pragma('journal_mode = WAL')
      // Set explicitly: better-sqlite3 uses NORMAL in WAL mode, and NORMAL loses acknowledged jobs in a power cut.
      db.pragma('synchronous = FULL')
      db.pragma('temp_store = MEMORY')
      db.pragma('trusted_schema = OFF')
      // Set explicitly: some builds of SQLite have another default.
      db.pragma(`secure_delete = ${secureDelete ? 'ON' : 'OFF'}`)
      db.pragma(`cache_size = -${pageCacheKib}`)
      db.pragma(`wal_autocheckpoint = ${checkpointPages}`)
      db.pragma(`journal_size_limit = ${logKeptBytes}`)
      migrate(db, random, now)
      assertDurable(db)
      noteMarked(db)
      if (owner) noteOwner(db, owner)
      if (gap) onEpoch(gap.why)
      return db
    } catch (error) {
      db.close()
      throw error
    }
  })
}

/** Creates the file if it is missing, with its folder: empty, to be opened on any thread. Throws as `openForWriting` does. */
export function makeFile(path: string): void {
  explaining(path, () => prepare(path, lookAt(path)))
}

function prepare(path: string, found: ReturnType<typeof lookAt>): void {
  makeFolder(dirname(path))
  prepareIfNew(path, found)
}

/**
 * Moves the whole log into the database and takes the file out of WAL mode, which marks the file as complete. SQLITE_BUSY if any other
 * connection has it open.
 */
export function leaveLog(db: Database.Database): void {
  db.pragma('journal_mode = DELETE')
}

/** Opens the file for reading beside the writer. */
export function openForReading(path: string): Database.Database {
  const db = openKept(path, { readonly: true, fileMustExist: true, timeout: 0 })
  db.pragma('temp_store = MEMORY')
  db.pragma('trusted_schema = OFF')
  return db
}

/**
 * Removes what an ANALYZE from a `sqlite3` prompt left, and returns whether there was any: a connection keeps the statistics that it has
 * read. Without statistics SQLite plans for large tables; with those of a quiet moment it scans all jobs in each claim (measured: 0.5 ms
 * became 18 ms at 200,000 jobs).
 */
function forgetStatistics(db: Database.Database): boolean {
  const find = db.prepare(`SELECT name FROM sqlite_schema WHERE name = 'sqlite_stat1' OR name = 'sqlite_stat4'`).pluck()
  const tables = find.all() as string[]
  for (const table of tables) db.exec(`DROP TABLE ${table}`)
  return tables.length > 0
}

/** One transaction for all missing versions: after a crash the file has the old version or the new one. */
function migrate(db: Database.Database, random: () => string, now: number): void {
  const version = () => db.pragma('user_version', { simple: true }) as number
  if (version() === migrations.length) return
  db.transaction(() => {
    // Read again under the lock, because another process may have been faster.
    for (const sql of migrations.slice(version())) db.exec(sql)
    db.pragma(`application_id = ${applicationId}`)
    db.pragma(`user_version = ${migrations.length}`)
    db.prepare(`INSERT OR IGNORE INTO meta (name, value) VALUES ('database_id', ?), ('created_at', ?)`).run(
      random(),
      `${now}`,
    )
  }).immediate()
}

/** Throws if the file has less than was acknowledged, before anything in it is changed. */
function assertWhole(
  path: string,
  found: ReturnType<typeof lookAt>,
  acceptLoss: string | undefined,
): ReturnType<typeof findGap> {
  const db = openKept(path, { readonly: true, timeout: 0 })
  try {
    return findGap(db, path, found, acceptLoss)
  } finally {
    db.close()
  }
}

/**
 * Distinguishes the file from those of earlier versions, which have no mark. This is in the file itself, so it is there wherever the file
 * is copied without its log.
 */
function noteMarked(db: Database.Database): void {
  const { changes } = db.prepare(`INSERT OR IGNORE INTO meta (name, value) VALUES ('marked', 1)`).run()
  if (changes > 0) db.pragma('wal_checkpoint(PASSIVE)')
}

function noteOwner(db: Database.Database, owner: Owner): void {
  const sql = `INSERT INTO meta (name, value) VALUES ('owner', ?) ON CONFLICT DO UPDATE SET value = excluded.value`
  db.prepare(sql).run(JSON.stringify(owner))
}

/** Reads the settings back after a write, to see what better-sqlite3 and SQLite made of them. */
function assertDurable(db: Database.Database): void {
  db.prepare(`INSERT INTO meta (name, value) VALUES ('opened', 1) ON CONFLICT DO UPDATE SET value = value + 1`).run()
  const mode = db.pragma('journal_mode', { simple: true })
  const synchronous = db.pragma('synchronous', { simple: true })
  if (mode === 'wal' && synchronous === synchronousFull) return
  throw new DatabaseUnusableError(
    `the database runs with journal_mode=${mode}, synchronous=${synchronous} instead of wal and ${synchronousFull} (FULL): an acknowledged job could be lost`,
  )
}

function explaining<T>(path: string, open: () => T): T {
  try {
    return open()
  } catch (error) {
    if (error instanceof DatabaseUnusableError || storageFailure(error) === 'busy') throw error
    const cause = { cause: error }
    if (storageFailure(error) === 'corrupt') throw corruptFileError(path, error)
    if (storageFailure(error) === 'full' || isOutOfSpace(error))
      throw new DatabaseUnusableError(`the disk that holds ${path} is full; free some space`, cause)
    throw new DatabaseUnusableError(
      `${path} cannot be opened for writing: ${messageOf(error)}; check the folder's permissions`,
      cause,
    )
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
