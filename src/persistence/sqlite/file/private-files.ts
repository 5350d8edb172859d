import { accessSync, closeSync, constants, fchmodSync, fchownSync, openSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseUnusableError } from '../../../errors.ts'
import { fileSuffixes } from './locate.ts'

/** Read and write for the owner only. */
const ownerOnly = 0o600
/** Mode bits of the group and of all others, for a file and for a folder. */
const others = { read: 0o044, enter: 0o011 }

/**
 * Creates an empty file that others cannot open, whatever the umask, if there is none; returns whether it did. `beside`: the database that
 * it belongs to, if that exists. Call it on the main thread, before any other has the file: the descriptor that is closed here is that of a
 * new file, so this process has no lock on it to lose (POSIX).
 */
export function makePrivate(path: string, beside?: string): boolean {
  const file = openNew(path, beside)
  if (file === null) return false
  closeSync(file)
  return true
}

/** The same for a file that stays open for writing; null if it exists. */
export function openNew(path: string, beside?: string): number | null {
  const mode = beside === undefined ? ownerOnly : fileModeFor(beside)
  let file: number
  try {
    file = openSync(path, 'wx', mode)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return null
    throw error
  }
  try {
    fchmodSync(file, mode)
    if (beside !== undefined) giveToOwnerOf(beside, file)
  } catch {
    // The file system has no modes or owners, or root may not change them.
  }
  return file
}

/** As SQLite does with `-wal` and `-shm`: otherwise a file that root creates would be inaccessible to the database's owner. */
function giveToOwnerOf(path: string, file: number): void {
  const owner = statSync(path, { throwIfNoEntry: false })
  if (owner && process.geteuid?.() === 0) fchownSync(file, owner.uid, owner.gid)
}

/** The mode of a new file beside a database: for those who may write the database, and nobody else. */
function fileModeFor(path: string): number {
  const mode = statSync(path, { throwIfNoEntry: false })?.mode ?? 0
  const shared = [0o060, 0o006].filter((bits) => (mode & bits) === bits)
  return shared.reduce((sum, bits) => sum | bits, ownerOnly)
}

/** Throws `DatabaseUnusableError` if this process may not read an existing file: SQLite says only that it cannot open it. */
export function assertReadable(path: string): void {
  assertAllowed(path, constants.R_OK, 'read')
}

/** The same if it may not read and write it. */
export function assertWritable(path: string): void {
  assertAllowed(path, constants.R_OK | constants.W_OK, 'read and write')
}

function assertAllowed(path: string, wanted: number, what: string): void {
  const found = statSync(path, { throwIfNoEntry: false })
  if (!found) return
  try {
    accessSync(path, wanted)
  } catch (error) {
    const cause = { cause: error }
    if ((error as NodeJS.ErrnoException).code === 'EROFS')
      throw new DatabaseUnusableError(`${path} is on a read-only file system; mount it writable`, cause)
    const user = process.geteuid?.()
    const advice =
      found.uid === user
        ? `chmod u+rw '${path}'`
        : 'run this as its owner, or put both users into one group, with mode 0660 for the files and 0770 for the folder'
    throw new DatabaseUnusableError(
      `${path} belongs to user ${found.uid}, and user ${user} may not ${what} it: ${advice}`,
      cause,
    )
  }
}

/** Whether a write failed because the disk or the user's quota is full. */
export function isOutOfSpace(error: unknown): boolean {
  return ['ENOSPC', 'EDQUOT'].includes((error as NodeJS.ErrnoException).code ?? '')
}

/** The files of a database that others than its owner can read, or lock: none if one of the folders above keeps them out. */
export function readableByOthers(path: string): string[] {
  // Windows has no such modes, and reports 0666.
  if (!process.getuid || !canBeEntered(dirname(path))) return []
  const files = [path, ...fileSuffixes.map((companion) => `${path}${companion}`)]
  return files.filter((file) => ((statSync(file, { throwIfNoEntry: false })?.mode ?? 0) & others.read) !== 0)
}

/** Whether others can enter it: from the root on, each folder admits a group or all others. */
function canBeEntered(folder: string): boolean {
  const above = dirname(folder)
  return (statSync(folder).mode & others.enter) !== 0 && (above === folder || canBeEntered(above))
}
