import { DatabaseUnusableError } from '../../../errors.ts'
import { movedMessage } from './moved.ts'

/**
 * What an error says about the file. `busy`: another connection blocks it for now. `full`: the disk, or the size allowed to the file, is
 * full. `moved`: the jobs of the file are in another database now. `disk`: the disk has failed, and this handle must not be used for writing again, because a failed fsync may have dropped data.
 * `corrupt`: the file is damaged, or not a database. Null: none of these, but a bug of ours.
 */
export function storageFailure(error: unknown): 'busy' | 'full' | 'moved' | 'disk' | 'corrupt' | null {
  const code = codeOf(error)
  if (code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_LOCKED')) return 'busy'
  if (code === 'SQLITE_FULL') return 'full'
  if (code === 'SQLITE_CONSTRAINT_TRIGGER' && (error as Error).message.startsWith(movedMessage)) return 'moved'
  if (code.startsWith('SQLITE_IOERR')) return 'disk'
  return code.startsWith('SQLITE_CORRUPT') || code === 'SQLITE_NOTADB' ? 'corrupt' : null
}

/** Recognised by name: if better-sqlite3 is loaded twice, as in test runners, it throws the class of the first copy. */
function codeOf(error: unknown): string {
  const { name, code } = Object(error)
  return name === 'SqliteError' && typeof code === 'string' ? code : ''
}

/** The error for a file that SQLite calls corrupt, or not a database. */
export function corruptFileError(path: string, error: unknown): DatabaseUnusableError {
  return new DatabaseUnusableError(
    `${path} is damaged or not a SQLite file (${error instanceof Error ? error.message : String(error)}); restore it from a backup`,
    { cause: error },
  )
}
