import { statSync } from 'node:fs'
import { hostname } from 'node:os'
import { dirname } from 'node:path'
import type Database from 'better-sqlite3'
import { type DatabaseHolder, DatabaseLockedError, DatabaseUnusableError } from '../../../errors.ts'
import type { Owner } from '../../store.ts'
import { ownerSql, toOwner } from '../read/rows.ts'
import { openForReading } from './connection.ts'
import { type FileId, lockHoldersOf, openDescriptors } from './held-locks.ts'
import { openKept } from './kept.ts'
import { makeFolder } from './locate.ts'
import { assertWritable, isOutOfSpace, makePrivate } from './private-files.ts'
import { storageFailure } from './storage-failure.ts'
import { lookAt, prepareIfNew } from './wholeness.ts'

export type { Owner }

/** Held until it is released or the process ends, however it ends. */
export interface ServerLock {
  /** The locked file. */
  readonly fileId: FileId
  release(): void
}

/** An unreachable `Database` is closed by the garbage collector, and its lock silently ends. */
const held = new Set<Database.Database>()

/**
 * Proves that no other live server runs on the file: an exclusive SQLite transaction on a small file beside it, which the operating system
 * drops with the process. Throws `DatabaseLockedError` naming the holder.
 *
 * Call it on the main thread, before anything else: the lock ends with the thread that took it, and when this process opens and closes the
 * lock's file in any other way (POSIX), so nothing may read it.
 */
export function lockForServer(path: string): ServerLock {
  const db = openLockFile(path)
  try {
    db.pragma('journal_mode = DELETE')
    db.exec('BEGIN EXCLUSIVE')
  } catch (error) {
    db.close()
    if (storageFailure(error) === 'busy') throw new DatabaseLockedError(path, readHolder(path))
    throw lockFault(path, error)
  }
  held.add(db)
  const { dev, ino } = statSync(`${path}-lock`, { bigint: true })
  return {
    fileId: { dev, ino },
    release() {
      held.delete(db)
      db.close()
    },
  }
}

/** This process, as `meta` names it. */
export function thisProcess(startedAt: number): Owner {
  return { pid: process.pid, host: hostname(), startedAt: new Date(startedAt).toISOString() }
}

function openLockFile(path: string): Database.Database {
  try {
    makeFolder(dirname(path))
    // Before creating the lock's file, which alone would suggest that a database existed.
    prepareIfNew(path, lookAt(path))
    const file = `${path}-lock`
    // SQLite would open a read-only file for reading, and turn BEGIN EXCLUSIVE into a shared lock.
    if (!makePrivate(file, path)) assertWritable(file)
    return openKept(file, { timeout: 0 })
  } catch (error) {
    throw lockFault(path, error)
  }
}

function lockFault(path: string, error: unknown): Error {
  if (error instanceof DatabaseUnusableError) return error
  const what = error instanceof Error ? error.message : String(error)
  const advice =
    storageFailure(error) === 'full' || isOutOfSpace(error)
      ? 'free some space on its disk'
      : 'check the folder and its permissions'
  return new DatabaseUnusableError(`cannot lock ${path}-lock: ${what}; ${advice}`, { cause: error })
}

/**
 * Who has the lock: the server named in the database, unless it has ended. Otherwise it is a program that has `-lock` open, maybe of
 * another user, or a server that has not written its name yet.
 */
function readHolder(path: string): DatabaseHolder | null {
  const owner = readOwner(path)
  if (owner === null) return null
  if (owner.host !== hostname()) return owner
  const file = statSync(`${path}-lock`, { bigint: true })
  const lockers = lockHoldersOf(file)
  const isOwners = lockers.length > 0 ? lockers.includes(owner.pid) : isAlive(owner.pid)
  if (isOwners && isOwn(owner, file)) return { pid: owner.pid, startedAt: owner.startedAt, where: null, how: 'thread' }
  return isOwners ? owner : { pid: lockers[0] ?? null, file: `${path}-lock`, endedPid: owner.pid }
}

/** A process in another container may have the same number and the same host name, but Linux shows what this process has open. */
function isOwn({ pid }: Owner, { dev, ino }: FileId): boolean {
  const descriptors = openDescriptors()
  const isOpen = descriptors.length === 0 || descriptors.some((each) => each.dev === dev && each.ino === ino)
  return pid === process.pid && isOpen
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'
  }
}

function readOwner(path: string): Owner | null {
  try {
    const db = openForReading(path)
    try {
      return toOwner(db.prepare(ownerSql).pluck().get() as string | undefined)
    } finally {
      db.close()
    }
  } catch {
    return null
  }
}
