import { createHash } from 'node:crypto'
import { existsSync, statSync } from 'node:fs'
import { basename } from 'node:path'
import type Database from 'better-sqlite3'
import { DatabaseUnusableError, LostJobsError } from '../../../errors.ts'
import { progressOf, readEpochs } from './epochs.ts'
import { lookAtMark, markNew, type Progress } from './mark.ts'
import { assertReadable, makePrivate } from './private-files.ts'

/** A log of at most this size has no frame. */
const emptyLogBytes = 32

/** What is on disk before anything is opened, which would change it. */
interface Found {
  readonly databaseBytes: number
  readonly logBytes: number
  readonly mark: Progress | 'damaged' | null
  readonly isMarkCutOff: boolean
  readonly hasLock: boolean
}

/** Why a new epoch begins, in words for the log, and how far the lost period went, if that is known. */
interface Gap {
  readonly why: string
  readonly mark: Progress | null
}

export function lookAt(path: string): Found {
  assertReadable(path)
  const { mark, isCutOff } = lookAtMark(path)
  const sizeOf = (file: string) => statSync(file, { throwIfNoEntry: false })?.size ?? 0
  return {
    databaseBytes: sizeOf(path),
    logBytes: sizeOf(`${path}-wal`),
    mark,
    isMarkCutOff: isCutOff,
    hasLock: existsSync(`${path}-lock`),
  }
}

/**
 * For a database that does not exist or is empty: throws `DatabaseUnusableError` if the files beside it show that there was one. Otherwise
 * it leaves a mark that one was begun, and an empty file that others cannot read.
 */
export function prepareIfNew(path: string, found: Found): void {
  if (found.databaseBytes > 0) return
  assertNeverWas(path, found)
  markNew(path, { replace: found.isMarkCutOff })
  makePrivate(path)
}

function assertNeverWas(path: string, found: Found): void {
  const evidence = evidenceOf(basename(path), found)
  if (evidence === null) return
  const what = existsSync(path) ? 'is empty' : 'does not exist'
  throw new DatabaseUnusableError(
    `${path} ${what}, but ${evidence}, so there was a database. Put it back, or restore a backup; to start with an empty one, remove every file whose name begins with ${basename(path)}`,
  )
}

/** The evidence that there was one, as a clause. */
function evidenceOf(name: string, { logBytes, mark, isMarkCutOff, hasLock }: Found): string | null {
  const hasLog = logBytes > emptyLogBytes
  if (mark === 'damaged') return isMarkCutOff && !hasLog && !hasLock ? null : `${name}-mark exists but is damaged`
  if (mark && mark.transitions > 0) return `${name}-mark says that ${mark.transitions} transitions were acknowledged`
  if (hasLog) return `${name}-wal holds ${logBytes} bytes of its log`
  return hasLock && mark === null ? `${name}-lock exists` : null
}

/**
 * Checks whether the file, with its log, has everything that was acknowledged, as far as the mark or the file itself can show. Throws
 * `LostJobsError` if not, unless exactly that loss is accepted. Returns why a new epoch must begin; null if none must.
 */
export function findGap(db: Database.Database, path: string, found: Found, accepted: string | undefined): Gap | null {
  if ((db.pragma('user_version', { simple: true }) as number) === 0) return null
  const { at: _, ...known } = progressOf(db)
  const epochs = readEpochs(db).map(({ id }) => id)
  const meta = (name: string) => db.prepare('SELECT 1 FROM meta WHERE name = ?').get(name) !== undefined
  const { mark } = found
  const name = basename(path)
  const lost = (missing: number | null, fault: string): Gap => {
    const acceptance = codeOf(known, mark)
    if (accepted !== acceptance) throw new LostJobsError(`${path} ${fault}`, missing, acceptance)
    return { why: `it ${fault}, which was accepted`, mark: mark === 'damaged' ? null : mark }
  }
  if (mark !== null && mark !== 'damaged') {
    if (mark.transitions === 0) return meta('backup') ? restored : null
    if (mark.epoch === known.epoch && mark.transitions > known.transitions) {
      const missing = mark.transitions - known.transitions
      return lost(
        missing,
        `lacks at least ${missing} transitions that were acknowledged: ${name}-mark says ${mark.transitions}, the database with its log has ${known.transitions}`,
      )
    }
    if (!epochs.includes(mark.epoch))
      return lost(null, `is not the database of ${name}-mark, or is an older copy of it`)
    return meta('backup') ? { ...restored, mark } : null
  }
  if (meta('backup')) return restored
  if (!meta('marked')) return null
  const cameAlone = `it came without ${name}-mark, as a copy does`
  // The last process that closes the file cleanly takes it out of WAL mode, when everything is in the one file.
  if (db.pragma('journal_mode', { simple: true }) !== 'wal')
    return { why: mark === 'damaged' ? `${name}-mark is damaged` : cameAlone, mark: null }
  if (found.logBytes > emptyLogBytes) return mark === 'damaged' ? null : { why: cameAlone, mark: null }
  return lost(
    null,
    `was in use when it was left or copied, and its log ${name}-wal is missing, so acknowledged jobs may be missing too (if it is a complete copy made by .backup of sqlite3, mark it as such: sqlite3 '${path}' 'PRAGMA journal_mode = DELETE')`,
  )
}

const restored: Gap = { why: 'it is a restored backup', mark: null }

/** Names this loss and no other, so that an acceptance that was left in a unit file does not accept the next one. */
function codeOf(known: Progress, mark: Found['mark']): string {
  return createHash('sha256')
    .update(JSON.stringify([known, mark]))
    .digest('hex')
    .slice(0, 8)
}
