import type Database from 'better-sqlite3'
import type { FileGuard } from '../file/file-guard.ts'
import { storageFailure } from '../file/storage-failure.ts'

/**
 * Pages of the log from which on it is moved into the database. In a pause: few, because a call that comes meanwhile waits for that, and a
 * checkpoint of 250 pages takes as long as two or three commits. Without a pause: nearly as many as make SQLite do it in a COMMIT, before
 * its callers are answered.
 */
const pagesMin = { inPause: 250, underLoad: 1_500 }
/** Under load, the commits between two looks at the log. */
const commitsBetween = 8

/**
 * Moves the log into the database when no caller waits for it. If it cannot, as while a reader needs the log, SQLite does it in a later
 * COMMIT.
 */
export class Checkpoints {
  readonly #guard: Pick<FileGuard, 'logPages' | 'check'>
  readonly #move: Database.Statement
  /** Commits since the last look. */
  #commits = 0

  constructor(db: Database.Database, guard: Pick<FileGuard, 'logPages' | 'check'>) {
    this.#guard = guard
    this.#move = db.prepare('PRAGMA wal_checkpoint(PASSIVE)')
  }

  /** Call it when the callers of a commit are answered. Throws as `inPause` does. */
  afterCommit(): void {
    if (++this.#commits >= commitsBetween) this.#look(pagesMin.underLoad)
  }

  /** Call it when no call has come for a while. Throws if the files are not what they were, or the disk fails. */
  inPause(): void {
    if (this.#commits > 0) this.#look(pagesMin.inPause)
  }

  #look(pagesMin: number): void {
    this.#commits = 0
    if ((this.#guard.logPages ?? 0) < pagesMin) return
    this.#guard.check()
    try {
      this.#move.all()
    } catch (error) {
      // The log keeps what the database could not take.
      if (storageFailure(error) === null || storageFailure(error) === 'disk') throw error
    }
  }
}
