import { DatabaseUnusableError, LostJobsError, UnavailableError } from '../../errors.ts'
import { type Clock, ManualClock } from '../../runtime/clock.ts'
import { CommitMeter } from '../commit-meter.ts'
import type { Store, StoreEvent } from '../store.ts'
import { Heartbeat } from '../watchdog.ts'
import { makeFile } from './file/connection.ts'
import type { FileId } from './file/held-locks.ts'
import type { Owner } from './file/lock.ts'
import { SqliteStore } from './store.ts'
import type { Reply, ThreadOptions, WriterOptions } from './thread/protocol.ts'
import { storeThreads, type ThreadLink } from './thread/store-threads.ts'

interface SqliteStoreOptions extends WriterOptions {
  readonly path: string
  /** The server, which must hold the file's lock; null for a producer. */
  readonly owner: Owner | null
  /** The lock's file, as it was when the lock was taken; null if nobody holds one. */
  readonly lock?: FileId | null
  /** The id of a new file, or of a new epoch. */
  readonly newDatabaseId: string
  /** See `LostJobsError`. */
  readonly acceptLoss?: string | undefined
  /** Overwrites removed data with zeros; false by default. */
  readonly secureDelete?: boolean | undefined
  readonly clock: Clock
  readonly notify: (event: StoreEvent) => void
  /** The longest timeout of the running attempts, in ms, or 0: a loop that is blocked for longer is ended with the process. */
  readonly longestTimeoutMs: () => number
}

/**
 * Opens the store; creates the file if it is missing. Rejects with `DatabaseUnusableError` if the file cannot be used, and with
 * `UnavailableError` if another process has kept it locked for too long. `start` starts the thread; tests run it on this one.
 */
export async function openSqliteStore(options: SqliteStoreOptions, start = storeThreads.start): Promise<Store> {
  const { path, owner, newDatabaseId, clock, types, leaseMs, retentionMs, retention, maxQueueDepth, maxDepthPerQueue } =
    options
  const workerData: ThreadOptions = {
    path,
    server: owner && { owner, lock: options.lock ?? null },
    writer: { types, leaseMs, maxQueueDepth, maxDepthPerQueue, retentionMs, retention },
    newDatabaseId,
    acceptLoss: options.acceptLoss,
    secureDelete: options.secureDelete,
    clock: clock instanceof ManualClock ? clock.cell : null,
    heartbeat: owner && new Heartbeat().memory,
    commits: new CommitMeter().memory,
    bell: new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)),
  }
  makeFile(path)
  const thread = start(workerData)
  const { opened, openFailure } = await firstMessage(thread)
  if (!opened) throw toOpenError(openFailure)
  return new SqliteStore(thread, opened.epochs, options, workerData)
}

function toOpenError(openFailure: Reply['openFailure']): Error {
  switch (openFailure?.kind) {
    case 'jobs lost':
      return new LostJobsError(openFailure.fault, openFailure.missing, openFailure.acceptance)
    case 'unusable':
      return new DatabaseUnusableError(openFailure.message)
    default:
      return new UnavailableError(`the database cannot be opened: ${openFailure?.message ?? 'its thread ended'}`)
  }
}

function firstMessage(thread: ThreadLink): Promise<Reply> {
  return new Promise((resolve, reject) => {
    thread.once('message', resolve)
    thread.once('error', reject)
  })
}
