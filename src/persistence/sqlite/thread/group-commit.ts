import type Database from 'better-sqlite3'
import type { Clock } from '../../../runtime/clock.ts'
import { storageFailure } from '../file/storage-failure.ts'
import type { Writer } from '../write/writer.ts'

/** A part of a transaction. It has no effect outside the database until `done`, because it may run again after a rollback. */
export interface Part {
  /** `now`: the time when it runs, which is after its request, and never earlier than that of the part before it. */
  run(now: number): unknown
  /** The calls that this part combines, as separate parts, for when the shared transaction failed. */
  readonly split?: (() => Part[]) | undefined
  /** Called after the commit that made `result` durable. */
  done(result: never): void
  /** It failed alone; nothing of it is stored. */
  failed(error: unknown): void
}

/**
 * Runs all parts in one transaction. If that fails, it runs each in its own transaction, so that none fails because of another. There are
 * no savepoints: they would slow down the normal path, and SQLITE_FULL, IOERR and NOMEM end the whole transaction anyway. Before the
 * commit, `more` is called until it returns nothing; its parts join the transaction.
 *
 * `verify` is called after each commit and before any caller is answered. If it throws, the error passes through and no part is answered.
 * The same applies to SQLITE_BUSY (of the shared transaction: nothing is stored, try again), a failure of the disk and a damaged file.
 * Returns the errors that parts got.
 */
export function commitTogether(
  db: Database.Database,
  writer: Writer,
  parts: Part[],
  clock: Clock,
  verify: () => void,
  more: () => readonly Part[],
): unknown[] {
  let results: unknown[]
  try {
    results = transact(db, writer, parts, clock, more)
  } catch (error) {
    if (storageFailure(error) === 'busy' || storageFailure(error) === 'disk' || storageFailure(error) === 'corrupt')
      throw error
    return commitEach(db, writer, parts, clock, verify, error)
  }
  verify()
  for (const [index, part] of parts.entries()) part.done(results[index] as never)
  return []
}

function commitEach(
  db: Database.Database,
  writer: Writer,
  parts: readonly Part[],
  clock: Clock,
  verify: () => void,
  shared: unknown,
): unknown[] {
  const singles = parts.flatMap((part) => part.split?.() ?? [part])
  if (singles.length === 1) {
    singles[0]!.failed(shared)
    return [shared]
  }
  const errors: unknown[] = []
  for (const part of singles) {
    let result: unknown
    try {
      ;[result] = transact(db, writer, [part], clock)
    } catch (error) {
      if (storageFailure(error) === 'disk' || storageFailure(error) === 'corrupt') throw error
      part.failed(error)
      errors.push(error)
      continue
    }
    verify()
    part.done(result as never)
  }
  return errors
}

function transact(
  db: Database.Database,
  writer: Writer,
  parts: Part[],
  clock: Clock,
  more: () => readonly Part[] = () => [],
): unknown[] {
  db.exec('BEGIN IMMEDIATE')
  try {
    writer.begin()
    const results: unknown[] = []
    let now = Number.NEGATIVE_INFINITY
    while (results.length < parts.length) {
      // The clock may be set back meanwhile, but within a transaction no job may end before it began.
      now = Math.max(now, clock.now())
      results.push(parts[results.length]!.run(now))
      if (results.length === parts.length) parts.push(...more())
    }
    writer.finish()
    db.exec('COMMIT')
    return results
  } catch (error) {
    // SQLite has ended the transaction itself on some errors.
    if (db.inTransaction) db.exec('ROLLBACK')
    throw error
  }
}
