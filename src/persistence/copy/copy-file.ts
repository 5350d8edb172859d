import { hostname } from 'node:os'
import { setTimeout } from 'node:timers/promises'
import type Database from 'better-sqlite3'
import { DatabaseUnusableError } from '../../errors.ts'
import { Addresses } from '../postgres/addresses.ts'
import { loadDriver } from '../postgres/connection.ts'
import { CopyTarget } from '../postgres/copy/copy-target.ts'
import { describeAddress, type PostgresOptions, postgresDefaults } from '../postgres-options.ts'
import { assertKept, assertNewest, assertSchema } from '../sqlite/file/accept.ts'
import { leaveLog, openForReading, openForWriting } from '../sqlite/file/connection.ts'
import { locateDatabase } from '../sqlite/file/locate.ts'
import { closeAsMoved, readMoved } from '../sqlite/file/moved.ts'
import { storageFailure } from '../sqlite/file/storage-failure.ts'
import { assertWalWhole } from '../sqlite/file/wal.ts'
import { WholeJobs } from '../sqlite/read/whole-jobs.ts'
import type { CopyStep } from './copy-step.ts'
import { JobCopy } from './job-copy.ts'
import { waitForLock } from './wait-for-lock.ts'

/** How long opening the file for writing waits for a producer, and between two tries, in ms. */
const busyPatienceMs = 10_000
const busyRetryMs = 10

export interface CopyReport {
  /** Without the password. */
  readonly to: string
  readonly jobs: number
  /** Transitions that this run has written and read back. */
  readonly transitions: number
  /** From the signal to the server, or else from the lock on the file, to the end; null if an earlier run had closed the file. */
  readonly refusedMs: number | null
  /** How much of that passed until the server had stopped. */
  readonly stopMs: number
}

interface CopyOptions {
  readonly path: string
  readonly postgres: PostgresOptions
  /** Sends the server of the file SIGTERM as soon as nearly everything is copied. */
  readonly stopServer: boolean
  readonly now: () => number
  /** For the case that the file is a restored backup, which gets higher ids when it is opened. */
  readonly newDatabaseId: string
  readonly onStep: (step: CopyStep) => void
}

/**
 * Moves the jobs of a file into an empty schema, with everything that is stored of them, while a server serves the file. It follows what
 * happens there until the server has stopped, takes its lock, copies the rest, compares both sides and closes the file for good; then
 * processes may start on the schema. Whenever it ends before, the file is as it was, and the next call continues.
 */
export async function copyFile({ path: given, postgres, ...options }: CopyOptions): Promise<CopyReport> {
  const path = locateDatabase(given)
  assertWalWhole(path)
  assertKept(path, { mayBeMoved: true })
  const { connectionString, schema = postgresDefaults.schema } = postgres
  const to = describeAddress(postgres)
  const target = new CopyTarget({ driver: loadDriver(), addresses: new Addresses(connectionString), schema })
  const db = openForReading(path)
  try {
    assertNewest(db, path)
    const moved = readMoved(db)
    if (!moved) assertSchema(path)
    const copy = new JobCopy(target, options.onStep)
    const move = { path, to, db, copy, target, ...options }
    const refused = moved ? null : await moveJobs(move)
    let transitions = moved ? await completeCopy(move) : copy.transitions
    // The server was away since both sides were compared.
    while (target.state && !(await target.open())) transitions += await completeCopy(move)
    const refusedMs = refused === null ? null : performance.now() - refused.since
    return { to, jobs: await target.count(), transitions, refusedMs, stopMs: refused?.stopMs ?? 0 }
  } finally {
    db.close()
    await target.close()
  }
}

interface Move extends Omit<CopyOptions, 'postgres'> {
  readonly to: string
  /** Reads the file while others write it. */
  readonly db: Database.Database
  readonly copy: JobCopy
  readonly target: CopyTarget
}

/** Returns since when writes have been refused, as `performance.now()`, and for how long only because the server was stopping. */
async function moveJobs({ path, to, db, copy, target, stopServer, now, newDatabaseId, onStep }: Move) {
  const source = new WholeJobs(db)
  await target.begin(source.facts(), originOf(path), newDatabaseId)
  await copy.copyAll(source)
  const { lock, since } = await waitForLock(path, stopServer, onStep, () => copy.follow(source))
  const stopMs = performance.now() - since
  try {
    onStep({ step: 'locked' })
    const alone = await openAlone(path, newDatabaseId, now())
    try {
      const rest = new WholeJobs(alone)
      await copy.finish(rest)
      await target.settle(rest.facts(), rest.counts())
      onStep({ step: 'settled' })
      closeAsMoved(alone, { to, at: now() })
      alone.exec('COMMIT')
      onStep({ step: 'closed' })
      db.close()
      foldLog(alone)
    } finally {
      if (alone.inTransaction) alone.exec('ROLLBACK')
      alone.close()
    }
    return { since, stopMs }
  } finally {
    lock.release()
  }
}

/**
 * Copies from the closed file what a database lacks that has lost a part since, by a failover or a restore, and compares both sides again.
 * Returns how many transitions it wrote.
 */
async function completeCopy({ path, target, newDatabaseId, onStep }: Move): Promise<number> {
  const db = openForReading(path)
  try {
    const source = new WholeJobs(db)
    const facts = source.facts()
    await target.begin(facts, originOf(path), newDatabaseId, readMoved(db)!.to)
    if (!target.state) return 0
    const copy = new JobCopy(target, onStep)
    await copy.copyAll(source)
    await copy.finish(source)
    await target.settle(facts, source.counts())
    return copy.transitions
  } finally {
    db.close()
  }
}

function originOf(path: string): string {
  return `${path} on ${hostname()}`
}

/** Opens the file in a transaction that keeps producers from writing. */
async function openAlone(path: string, newDatabaseId: string, now: number): Promise<Database.Database> {
  const giveUpAt = performance.now() + busyPatienceMs
  for (;;) {
    let db: Database.Database | undefined
    try {
      db = openForWriting(path, () => newDatabaseId, now)
      db.exec('BEGIN IMMEDIATE')
      return db
    } catch (error) {
      db?.close()
      if (storageFailure(error) !== 'busy') throw error
      if (performance.now() > giveUpAt)
        throw new DatabaseUnusableError(`another process keeps ${path} locked: end it, then run this again`)
      await setTimeout(busyRetryMs)
    }
  }
}

/** So that a copy of the file alone is closed too. */
function foldLog(db: Database.Database): void {
  try {
    leaveLog(db)
  } catch (error) {
    // A producer has it open: the log stays until it closes.
    if (storageFailure(error) === null) throw error
  }
}
