/** The library's front door. */
export type { Settings } from './config.ts'
export type {
  Activity,
  BackupReport,
  Bulk,
  BulkCommand,
  BulkFilter,
  BulkPhase,
  CallerOptions,
  Census,
  CensusCount,
  CommitStats,
  DescribedError,
  EdgeCount,
  EnqueuedJob,
  EnqueueOptions,
  EventCause,
  Explanation,
  FileSizes,
  Health,
  HistogramSnapshot,
  HistoryEvent,
  Inspector,
  Job,
  JobFilter,
  JobFor,
  JobList,
  JobLog,
  JobLogLine,
  JobPath,
  JobProgress,
  JobState,
  JobSystem,
  JsonSchema,
  Metrics,
  MissedPolicy,
  MissedTicks,
  NewJob,
  NewSchedule,
  NodeInfo,
  Phase,
  Quantiles,
  ResultFor,
  ResultOptions,
  Sample,
  ScheduleDetails,
  ScheduledJob,
  ScheduleHistoryEvent,
  ScheduleInfo,
  ScheduleList,
  SchedulePreview,
  Schedules,
  SqliteConnection,
  StopOptions,
  StoredError,
  StoredResult,
  SystemLog,
  Telemetry,
  TransactionClient,
  TransactionOptions,
  Transition,
  TransitionPage,
  TypeDurations,
  Unique,
  VerifyReport,
  Violation,
  WorkerActivity,
} from './engine/job-system.ts'
export type { JobSystemOptions } from './engine/options.ts'
export * from './errors.ts'
export { type Backoff, exponential } from './handlers/backoff.ts'
export { defineHandler, type Handler, type JobContext } from './handlers/define.ts'
export type { Retention, RetentionRule } from './job/retention.ts'
export type { Cause, Happened, NextEvent, Obstacle, ObstacleCode, PlaceInLine } from './observe/explain/explain.ts'
export type { PostgresOptions } from './persistence/postgres-options.ts'

import { randomUUID } from 'node:crypto'
import { completeSettings, type Settings } from './config.ts'
import { callerOf, toBeAwaited } from './engine/first-steps.ts'
import { harmless, noopLog } from './engine/harmless-log.ts'
import type { JobSystem, SystemLog } from './engine/job-system.ts'
import { checkOptions, type JobSystemOptions } from './engine/options.ts'
import { createSystem } from './engine/system.ts'
import type { AnyHandler } from './handlers/define.ts'
import { Registry } from './handlers/registry.ts'
import { RetentionRules } from './job/retention.ts'
import { openSqliteStore } from './persistence/sqlite/client.ts'
import { unsafeFileSystem } from './persistence/sqlite/file/filesystem.ts'
import { locateDatabase } from './persistence/sqlite/file/locate.ts'
import { lockForServer, type ServerLock, thisProcess } from './persistence/sqlite/file/lock.ts'
import { noteOpen } from './persistence/sqlite/file/open-here.ts'
import { readableByOthers } from './persistence/sqlite/file/private-files.ts'
import { type Clock, systemClock } from './runtime/clock.ts'
import { timers } from './runtime/timers.ts'

/**
 * Opens the file, or the PostgreSQL database, and creates the system on it; nothing runs before `start`. A server first takes the file's lock. Rejects with
 * `DatabaseLockedError` if another server is running, with `DatabaseUnusableError` if the file cannot be used, and with `ConfigError` if an
 * option is unknown, missing or invalid.
 */
export function createJobSystem<const Handlers extends readonly AnyHandler[] = readonly AnyHandler[]>(
  options: JobSystemOptions<Handlers>,
): Promise<JobSystem<Handlers>> {
  return toBeAwaited(openSystem(options, callerOf(createJobSystem)))
}

/** `where`: the position of the caller. */
async function openSystem(options: JobSystemOptions, where: string | null): Promise<JobSystem> {
  checkOptions(options)
  const {
    handlers,
    log: givenLog = noopLog,
    clock = systemClock,
    random = Math.random,
    onFatal = throwUncaught,
  } = options
  const registry = handlers ? new Registry(handlers) : null
  const opening: Opening = { options, settings: completeSettings(options), registry, clock, where }
  const database = options.postgres === undefined ? lockFile(opening, options.database!) : onPostgres(opening)
  const log = harmless(givenLog)
  const system = await createSystem({
    settings: opening.settings,
    registry,
    clock,
    random,
    newId: randomUUID,
    log,
    keepLogs: options.keepLogs ?? true,
    retention: new RetentionRules(opening.settings.retentionMs, options.retention),
    onFatal,
    onStopped: database.release,
    ...(options.inspect ? { inspect: options.inspect } : {}),
    schedules: options.schedules,
    file: database.file,
    openStore: database.openStore,
  }).catch((error) => {
    database.release()
    throw error
  })
  try {
    database.warn(log)
  } catch (error) {
    // Releases the database once nothing writes to it.
    await system.stop()
    throw error
  }
  return system
}

/** What a database is opened with. */
interface Opening {
  readonly options: JobSystemOptions
  readonly settings: Settings
  /** Null: a producer. */
  readonly registry: Registry | null
  readonly clock: Clock
  readonly where: string | null
}

/** How the store is opened, and what is to be done besides. */
interface DatabaseOpening {
  /** The path of the file, if it is one. */
  readonly file: string | null
  readonly openStore: Parameters<typeof createSystem>[0]['openStore']
  warn(log: SystemLog): void
  release(): void
}

function lockFile({ options, settings, registry, clock, where }: Opening, database: string): DatabaseOpening {
  const { acceptLoss, secureDelete } = options
  const path = locateDatabase(database)
  const { pid, startedAt } = thisProcess(clock.now())
  const forget = noteOpen(path, { pid, startedAt, where, isServer: registry !== null })
  let lock: ServerLock | null = null
  try {
    lock = registry && lockForServer(path)
  } catch (error) {
    forget()
    throw error
  }
  return {
    file: path,
    openStore: (notify, longestTimeoutMs) =>
      openSqliteStore({
        ...settings,
        retention: options.retention,
        path,
        types: registry?.types ?? [],
        owner: registry && thisProcess(clock.now()),
        lock: lock?.fileId ?? null,
        newDatabaseId: randomUUID(),
        acceptLoss,
        secureDelete,
        clock,
        notify,
        longestTimeoutMs,
      }),
    warn: (log) => warnOfFile(path, log),
    release() {
      lock?.release()
      forget()
    },
  }
}

function warnOfFile(path: string, log: SystemLog): void {
  const fileSystem = unsafeFileSystem(path)
  if (fileSystem) {
    log.warn(
      { file_system: fileSystem },
      'the database is not on a local disk: locks and flushes may not hold there, and jobs may be lost',
    )
  }
  const readable = readableByOthers(path)
  if (readable.length > 0) {
    log.warn(
      { files: readable },
      `other users of this machine can read these files, payloads included, and lock them: chmod go= ${readable.join(' ')}`,
    )
  }
}

function onPostgres({ options, settings, registry, clock }: Opening): DatabaseOpening {
  const { postgres } = options
  const given = typeof postgres === 'string' ? { connectionString: postgres } : postgres!
  return {
    file: null,
    openStore: async (notify, longestTimeoutMs) => {
      // Those whose jobs are in a file do not load it.
      const { openPostgresStore } = await import('./persistence/postgres/client.ts')
      return openPostgresStore({
        ...settings,
        retention: options.retention,
        ...given,
        types: registry?.types ?? [],
        serves: registry !== null,
        owner: thisProcess(clock.now()),
        newDatabaseId: randomUUID(),
        clock,
        notify,
        longestTimeoutMs,
        environment: process.env,
      })
    },
    warn() {},
    release() {},
  }
}

function throwUncaught(error: Error): void {
  timers.setImmediate(() => {
    throw error
  })
}
