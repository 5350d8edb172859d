/** The library's front door. */
export type { Settings } from './config.ts'
export * from './errors.ts'
export type { Cause, Happened, NextEvent, Obstacle, ObstacleCode, PlaceInLine } from './explanation.ts'
export { type Backoff, exponential } from './handlers/backoff.ts'
export { defineHandler, type Handler, type JobContext } from './handlers/define.ts'
export type {
  Activity,
  Bulk,
  BulkCommand,
  BulkFilter,
  BulkPhase,
  Census,
  CensusCount,
  CommitStats,
  DescribedError,
  EdgeCount,
  EnqueuedJob,
  Explanation,
  FileSizes,
  Health,
  HistogramSnapshot,
  HistoryEvent,
  Inspector,
  Job,
  JobFilter,
  JobList,
  JobPath,
  JobState,
  JobSystem,
  JsonSchema,
  Metrics,
  NewJob,
  Phase,
  Quantiles,
  Sample,
  StoredError,
  SystemLog,
  Telemetry,
  Transition,
  TransitionPage,
  TypeDurations,
  VerifyReport,
  Violation,
  WorkerActivity,
} from './job-system.ts'

import { randomUUID } from 'node:crypto'
import { type Clock, systemClock } from './clock.ts'
import { completeSettings, type Settings } from './config.ts'
import { faultOfDatabasePath } from './database-path.ts'
import { ConfigError } from './errors.ts'
import { type AnyHandler, Registry } from './handlers/registry.ts'
import { harmless } from './harmless-log.ts'
import type { Inspector, JobSystem, SystemLog } from './job-system.ts'
import { openSqliteStore } from './persistence/sqlite/client.ts'
import { unreliableFileSystem } from './persistence/sqlite/filesystem.ts'
import { locateDatabase } from './persistence/sqlite/locate.ts'
import { lockForServing, type ServerLock, thisProcess } from './persistence/sqlite/lock.ts'
import { noteOpen } from './persistence/sqlite/open-here.ts'
import { createSystem } from './system.ts'

/** What `createJobSystem` takes: where the file is, what runs its jobs, and any of the settings. */
export interface JobSystemOptions extends Partial<Settings> {
  /** The path of the SQLite file, which is made, with its folder, where it is missing. No `:memory:` and no address. */
  readonly database: string
  /** Left out: a producer, which enqueues and reads beside a running server and runs nothing. */
  readonly handlers?: readonly AnyHandler[]
  /**
   * The `acceptance` of a `LostJobsError`: goes on without the jobs that are missing, this once. It names that loss, so it may stay and
   * accepts no other.
   */
  readonly acceptLoss?: string
  /** Structured log; nothing is written without it. A pino logger fits. What it throws, or rejects with, is dropped. */
  readonly log?: SystemLog
  /**
   * Called once when the system cannot go on: the disk failed, every worker is stuck, an invariant broke. End the process, non-zero; the
   * next start recovers. Unless given, it is thrown as an uncaught exception.
   */
  readonly onFatal?: (error: Error) => void
  /** Where time comes from; the machine's clock unless given. For tests. */
  readonly clock?: Clock
  /** Uniform in [0, 1), for the backoff's jitter; `Math.random` unless given. For tests. */
  readonly random?: () => number
  /**
   * Sees every event and snapshot of the dispatcher and its workers as they happen, payloads included, in XState's own form: for tools such
   * as Stately's inspector. It is called in the middle of the engine's work, so what it costs, jobs wait for; what it throws is logged.
   */
  readonly inspect?: Inspector
}

/**
 * Opens the file and makes the system on it; nothing runs before `start`. A server takes the file's lock first of all. Rejects with
 * `DatabaseLockedError` where another server lives, with `DatabaseUnusableError` where the file cannot be used, with `ConfigError` where
 * `database` cannot name a file or a setting is out of its range.
 */
export async function createJobSystem(options: JobSystemOptions): Promise<JobSystem> {
  const {
    database,
    handlers,
    log: givenLog = silent,
    clock = systemClock,
    random = Math.random,
    onFatal = throwUncaught,
    inspect,
    acceptLoss,
    ...given
  } = options
  const pathFault = faultOfDatabasePath(database)
  if (pathFault) throw new ConfigError([`database ${pathFault}`])
  const settings = completeSettings(given)
  const log = harmless(givenLog)
  const registry = handlers ? new Registry(handlers) : null
  const path = locateDatabase(database)
  const forget = noteOpen(path, process.pid)
  let lock: ServerLock | null = null
  const release = () => {
    lock?.release()
    forget()
  }
  try {
    lock = registry && lockForServing(path)
    const system = await createSystem({
      settings,
      registry,
      clock,
      random,
      newId: randomUUID,
      log,
      onFatal,
      onStopped: release,
      ...(inspect ? { inspect } : {}),
      openStore: (notify, longestTimeoutMs) =>
        openSqliteStore({
          ...settings,
          path,
          types: registry?.types ?? [],
          owner: registry && thisProcess(clock.now()),
          lock: lock?.inode ?? null,
          newDatabaseId: randomUUID(),
          acceptLoss,
          clock,
          notify,
          longestTimeoutMs,
        }),
    })
    const fileSystem = unreliableFileSystem(path)
    if (fileSystem) {
      log.warn(
        { file_system: fileSystem },
        'the database is not on a local disk: locks and flushes may not hold there, and jobs may be lost',
      )
    }
    return system
  } catch (error) {
    release()
    throw error
  }
}

const silent: SystemLog = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent }

function throwUncaught(error: Error): void {
  setImmediate(() => {
    throw error
  })
}
