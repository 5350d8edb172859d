import { statSync } from 'node:fs'
import { DatabaseUnusableError } from '../../../errors.ts'
import { leaveLog, openForWriting } from './connection.ts'
import { progressOf } from './epochs.ts'
import { locateDatabase } from './locate.ts'
import { lockForServer } from './lock.ts'
import { Mark } from './mark.ts'
import { storageFailure } from './storage-failure.ts'

/** Sizes of the database in bytes, before and after. */
interface CompactReport {
  readonly bytesBefore: number
  readonly bytesAfter: number
}

/**
 * Rewrites the whole database, which frees the space of removed data and leaves none of it in the file. It goes through the log: if the
 * process ends at any moment, the next start finds the old file or the new one. Ids, epochs and the mark do not change. It takes the
 * server's lock: throws `DatabaseLockedError` if a server runs, and `DatabaseUnusableError` if another process has the file open or the
 * disk has too little space (up to twice the size of the file). `onBegin` gets the size before it starts.
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
        // The temporary copy is as large as the file, so it must not be in memory.
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
