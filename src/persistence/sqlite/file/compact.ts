import { statSync } from 'node:fs'
import { DatabaseUnusableError } from '../../../errors.ts'
import { leaveLog, openForWriting, storageFailure } from './connection.ts'
import { progressOf } from './epochs.ts'
import { locateDatabase } from './locate.ts'
import { lockForServer } from './lock.ts'
import { Mark } from './mark.ts'

/** Sizes of the database in bytes, before and after. */
interface CompactReport {
  readonly bytesBefore: number
  readonly bytesAfter: number
}

/**
 * Writes the whole database anew, which gives back the room of what was removed and leaves none of it in the file. It goes through the log,
 * so whatever ends the process, the next start has the old file or the new one; ids, epochs and the mark stay as they are. Takes the server's
 * lock: throws `DatabaseLockedError` if a server runs, and `DatabaseUnusableError` if another process has the file open or the disk
 * has no room, twice the size of the file beside it at most. `onBegin` is told the size when nothing stands in the way.
 */
export function compact(
  database: string,
  { newDatabaseId, now }: { readonly newDatabaseId: string; readonly now: number },
  onBegin: (bytes: number) => void = () => {},
): CompactReport {
  const path = locateDatabase(database)
  const found = statSync(path, { throwIfNoEntry: false })
  if (!found?.size) throw new DatabaseUnusableError(`there is no database at ${path}`)
  const lock = lockForServer(path)
  try {
    const db = openForWriting(path, () => newDatabaseId, now, { secureDelete: true })
    try {
      const mark = new Mark(path, progressOf(db))
      try {
        leaveLog(db)
        const bytesBefore = statSync(path).size
        onBegin(bytesBefore)
        db.pragma('journal_mode = WAL')
        // The copy on its way there is as large as the file: not in memory.
        db.pragma('temp_store = FILE')
        db.exec('VACUUM')
        leaveLog(db)
        return { bytesBefore, bytesAfter: statSync(path).size }
      } finally {
        mark.close()
      }
    } finally {
      db.close()
    }
  } catch (error) {
    const cause = { cause: error }
    if (storageFailure(error) === 'busy') {
      const message = `another process has ${path} open, such as a producer or a shell; end it, then compact again`
      throw new DatabaseUnusableError(message, cause)
    }
    if (storageFailure(error) === 'full') {
      const message = `the disk has too little space to rewrite ${path}, which needs up to twice its size; nothing was changed`
      throw new DatabaseUnusableError(message, cause)
    }
    throw error
  } finally {
    lock.release()
  }
}
