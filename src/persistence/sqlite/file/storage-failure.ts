import { DatabaseUnusableError } from '../../../errors.ts'

/**
 * What an error says of the file: another connection stands in the way for now (`busy`); the disk, or the size allowed to the file, is full; the
 * disk has failed, and this handle must not be written through again, for a failed fsync may have dropped what it should have kept; the file is
 * corrupt, or no database. Null: it is none of these, but a bug of ours.
 */
export function storageFailure(error: unknown): 'busy' | 'full' | 'disk' | 'corrupt' | null {
  const code = codeOf(error)
  if (code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_LOCKED')) return 'busy'
  if (code === 'SQLITE_FULL') return 'full'
  if (code.startsWith('SQLITE_IOERR')) return 'disk'
  return code.startsWith('SQLITE_CORRUPT') || code === 'SQLITE_NOTADB' ? 'corrupt' : null
}

/** By its name: if better-sqlite3 is loaded twice, as test runners do, it throws the class of the first copy. */
function codeOf(error: unknown): string {
  const { name, code } = Object(error)
  return name === 'SqliteError' && typeof code === 'string' ? code : ''
}

/** What to say of a file that SQLite calls corrupt, or no database. */
export function corruptFileError(path: string, error: unknown): DatabaseUnusableError {
  return new DatabaseUnusableError(
    `${path} is damaged or not a SQLite file (${error instanceof Error ? error.message : String(error)}); restore it from a backup`,
    { cause: error },
  )
}
