import { closeSync, existsSync, fsyncSync, linkSync, openSync, renameSync, rmSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { threadId } from 'node:worker_threads'
import type Database from 'better-sqlite3'
import { countStates, jobStates } from '../../../machines/edges.ts'
import type { JobState } from '../../../machines/job.ts'
import type { BackupReport, EdgeCount } from '../../store.ts'
import { assertKept } from './accept.ts'
import { leaveLog, openForReading } from './connection.ts'
import { progressOf } from './epochs.ts'
import { openKept } from './kept.ts'
import { fileSuffixes, locateDatabase } from './locate.ts'
import { syncFolder } from './mark.ts'
import { makePrivate } from './private-files.ts'
import { schemaDifferences } from './schema-differences.ts'
import { assertWalWhole } from './wal.ts'

/** Pages that are copied between two checks of whether to continue: 4 MiB. */
const stepPages = 1_000

type OnCopied = (pages: number, ofPages: number) => void

/**
 * Copies a database, even a live one, as it is at one instant, into a new file. The copy gets its name only after it was checked and
 * flushed. Writers do not wait, but the log cannot restart meanwhile, and grows. Throws if `target` exists, or if the copy is incomplete.
 */
export async function backUp(given: string, target: string, onCopied: OnCopied = () => {}): Promise<BackupReport> {
  assertFree(target)
  if (!existsSync(given)) throw new Error(`there is no file ${given}`)
  const path = locateDatabase(given)
  assertWalWhole(path)
  assertKept(path)
  const partial = `${target}.partial-${process.pid}-${threadId}`
  rmSync(partial, { force: true })
  // In a folder where others may write, somebody could create a file of that name in between, and would get the copy.
  if (!makePrivate(partial)) throw new Error(`${partial} was created by another process; choose another target`)
  try {
    const instant = await copy(path, partial, onCopied)
    const report = finish(partial, instant)
    syncFile(partial)
    nameIt(partial, target)
    syncFolder(target)
    return report
  } finally {
    for (const suffix of ['', '-journal', '-wal', '-shm']) rmSync(`${partial}${suffix}`, { force: true })
  }
}

/** A link fails if the name exists, while a rename would replace the file; some file systems have no links. */
function nameIt(partial: string, target: string): void {
  try {
    linkSync(partial, target)
    rmSync(partial)
  } catch (error) {
    if (existsSync(target)) throw error
    renameSync(partial, target)
  }
}

/** Throws if the file must not be created. */
function assertFree(target: string): void {
  if (existsSync(target)) throw new Error(`${target} already exists; a backup never replaces a file`)
  const beside = fileSuffixes.map((suffix) => (target.endsWith(suffix) ? target.slice(0, -suffix.length) : null))
  const database = beside.find((file) => file !== null && existsSync(file))
  if (database) throw new Error(`${target} belongs to the database ${database}; choose another target`)
  if (!existsSync(dirname(resolve(target)))) throw new Error(`there is no folder ${dirname(resolve(target))}`)
}

/** Copies in one read transaction, so that no write makes it start over. Returns how far the database was at that instant. */
async function copy(path: string, partial: string, onCopied: OnCopied): Promise<ReturnType<typeof progressOf>> {
  const db = openForReading(path)
  try {
    db.exec('BEGIN')
    const instant = progressOf(db)
    await db.backup(partial, {
      progress({ totalPages, remainingPages }) {
        onCopied(totalPages - remainingPages, totalPages)
        return stepPages
      },
    })
    db.exec('COMMIT')
    return instant
  } finally {
    db.close()
  }
}

/** Marks the file as a copy, so that a start on it gives out no id again, and checks it. */
function finish(partial: string, instant: ReturnType<typeof progressOf>): BackupReport {
  const db = openKept(partial)
  try {
    leaveLog(db)
    const { transitions, jobs } = instant
    db.prepare(`INSERT OR REPLACE INTO meta (name, value) VALUES ('backup', ?)`).run(
      JSON.stringify({ transitions, jobs }),
    )
    const faults = faultsOf(db, instant)
    if (faults.length > 0) throw new Error(`the copy is incomplete: ${faults.join('; ')}`)
    return { bytes: statSync(partial).size, transitions, jobs }
  } finally {
    db.close()
  }
}

function faultsOf(db: Database.Database, instant: ReturnType<typeof progressOf>): string[] {
  const rows = db.prepare('PRAGMA quick_check').pluck().all() as string[]
  const found = new Map(
    db.prepare('SELECT state, count(*) FROM jobs GROUP BY state').raw().all() as [JobState, number][],
  )
  const counted = countStates(
    db
      .prepare(`SELECT from_state AS "from", event, nullif(to_state, '') AS "to", n AS count FROM edge_counts`)
      .all() as EdgeCount[],
  )
  const miscounted = jobStates.filter((state) => (found.get(state) ?? 0) !== counted[state])
  return [
    ...rows.filter((row) => row !== 'ok'),
    ...schemaDifferences(db, versionOf(db)),
    ...miscounted.map((state) => `${found.get(state) ?? 0} jobs are ${state}, the kept counts say ${counted[state]}`),
    ...(progressOf(db).transitions === instant.transitions ? [] : ['its newest transition is not the expected one']),
  ]
}

function versionOf(db: Database.Database): number {
  return db.pragma('user_version', { simple: true }) as number
}

function syncFile(path: string): void {
  const file = openSync(path, 'r+')
  try {
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}
