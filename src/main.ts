#!/usr/bin/env node
import { randomBytes, randomUUID } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { backupCommand } from './cli/backup.ts'
import { compactCommand } from './cli/compact.ts'
import { isKilledEarly } from './cli/container.ts'
import { connectionsMax } from './cli/descriptors.ts'
import { readEnvironment, readSchema, type ServerConfig } from './cli/environment.ts'
import { exitStatus } from './cli/exit-status.ts'
import { initFiles } from './cli/init.ts'
import { loadHandlers } from './cli/load-handlers.ts'
import { createLog, type ProcessLog } from './cli/log.ts'
import { copyCommand, readMigrateFlags } from './cli/migrate.ts'
import { readServeFlags } from './cli/serve-flags.ts'
import { usage } from './cli/usage.ts'
import { printReport, verifyCommand } from './cli/verify.ts'
import { requestPayloadsMax } from './config.ts'
import { currentJob } from './engine/dispatch/attempt.ts'
import { ConfigError, DatabaseLockedError, DatabaseLostError, LostJobsError } from './errors.ts'
import { builtinHandlers } from './handlers/builtin.ts'
import { assembleHttp, type JobsHttp } from './http/http.ts'
import { createJobSystem, type JobSystem } from './index.ts'
import { didYouMean } from './job/did-you-mean.ts'
import { escapeLines } from './job/escape-controls.ts'
import { databasePathProblem } from './persistence/database-path.ts'
import { describeAddress, type PostgresOptions } from './persistence/postgres-options.ts'
import { systemClock } from './runtime/clock.ts'
import { version } from './runtime/version.ts'

/** Ctrl-C under npm arrives twice: once from the terminal and once forwarded. */
const sameSignalMs = 250
/** How long writing the last lines of the log may take. */
const lastLinesMs = 1_000
/** How much longer than its grace a stop may take. Only a disk that no longer answers delays it for that long. */
const beyondGraceMs = 10_000

const killedEarly =
  'Docker and Podman kill this container 10 s after SIGTERM by default, before longer jobs are aborted and given back: set stop_grace_period (docker run --stop-timeout) to 30s, or SHUTDOWN_GRACE_MS to 8000; setting SHUTDOWN_GRACE_MS silences this'

/** How many arguments each command takes at most, and what it does. */
const commands: Readonly<
  Record<string, { readonly operands: number; run(...operands: string[]): void | Promise<void> }>
> = {
  serve: { operands: Number.POSITIVE_INFINITY, run: serve },
  init: { operands: 1, run: init },
  verify: { operands: 1, run: verify },
  backup: { operands: 2, run: backup },
  compact: { operands: 1, run: compact },
  migrate: { operands: Number.POSITIVE_INFINITY, run: migrate },
  '--help': { operands: 0, run: () => void process.stdout.write(usage) },
  '-h': { operands: 0, run: () => void process.stdout.write(usage) },
  '--version': { operands: 0, run: () => void process.stdout.write(`${version()}\n`) },
}

// A reader of this process's output may disappear, and its disk may be full: neither ends the process.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})

const [name = 'serve', ...operands] = process.argv.slice(2)
const command = Object.hasOwn(commands, name) ? commands[name] : undefined
if (command && operands.some((operand) => operand === '--help' || operand === '-h')) process.stdout.write(usage)
else if (command && isComplete(command.operands)) await command.run(...operands)
else
  refuse(
    command ? argumentsProblem(name, operands) : `no such command: ${name}${didYouMean(name, Object.keys(commands))}`,
  )

/** Commands that take any number look at their flags themselves; the others have none. */
function isComplete(most: number): boolean {
  return (
    most === Number.POSITIVE_INFINITY || (operands.length <= most && !operands.some((text) => text.startsWith('-')))
  )
}

/** What has been opened so far, to be closed cleanly when a signal comes. */
interface Opened {
  readonly graceMs: number
  system?: JobSystem
  http?: JobsHttp
}

async function serve(...args: string[]): Promise<void> {
  const flags = readServeFlags(args)
  if (flags === null) return refuse(argumentsProblem('serve', args))
  if (typeof flags === 'string') fail(flags, exitStatus.usage)
  const config = configure()
  const processLog = createLog(config.logLevel)
  const { log } = processLog
  process.on('exit', () => processLog.flush(lastLinesMs))
  for (const warning of config.warnings) log.warn({}, warning)
  const opened: Opened = { graceMs: config.settings.shutdownGraceMs }
  // First, because whoever reads `listening` may send a signal before the next statement, which would end the process.
  handleSignals(opened, processLog)
  const system = await open(config, log, flags.acceptLoss, await handlersOf(config, flags.handlers))
  opened.system = system
  handleStrays(opened, processLog)
  const http = serverOf(config, system, processLog)
  opened.http = http
  const { url } = await listen(config, system, http)
  if (!config.isGraceKnown && isKilledEarly(opened.graceMs))
    log.warn({ shutdown_grace_ms: opened.graceMs }, killedEarly)
  log.info(
    {
      url,
      durability: system.durability,
      database: config.postgres ? describeAddress(config.postgres) : config.databasePath,
    },
    'listening',
  )
  await system.start().catch((error: Error) => log.info({ reason: error.message }, 'not started'))
}

function init(folder = '.'): void {
  const parts = { token: randomBytes(32).toString('hex'), node: process.execPath, user: userInfo().username }
  try {
    const { there, text } = initFiles(folder, parts)
    if (there.length > 0)
      fail(`nothing was written, because these exist already: ${there.join(', ')}`, exitStatus.config)
    process.stdout.write(text)
  } catch (error) {
    fail(`the files could not be written: ${(error as Error).message}`, 1)
  }
}

async function verify(given?: string): Promise<void> {
  const { postgres, databasePath } = given === undefined ? configure() : { postgres: null, databasePath: given }
  if (postgres) return verifyPostgres(postgres)
  const path = databasePath
  const problem = databasePathProblem(path)
  if (problem) fail(`the file to verify ${problem}`, exitStatus.config)
  process.exitCode = verifyCommand(path, process.stdout, process.stderr)
}

async function verifyPostgres(postgres: PostgresOptions): Promise<void> {
  const failed = (error: Error) => fail(error.message, exitOf(error))
  const { assertMigrated } = await import('./persistence/postgres/migrate-database.ts')
  await assertMigrated(postgres).catch(failed)
  const system = await createJobSystem({ postgres }).catch(failed)
  process.exitCode = printReport(describeAddress(postgres), await system.verify(), process.stdout)
  await system.stop()
}

async function migrate(...args: string[]): Promise<void> {
  const flags = readMigrateFlags(args, () => readSchema(process.env, dotEnv()))
  if (flags === null) return refuse(argumentsProblem('migrate', args))
  if (typeof flags === 'string') fail(flags, exitStatus.usage)
  if (flags.to) return copyTo(flags.to, flags.file ?? filePath('jobmachine migrate FILE --to'), flags.stopServer)
  const { postgres } = configure()
  if (!postgres)
    fail(
      'migrate needs DATABASE_URL, or --to to move the jobs of a file; its schema is brought up to date by the server that opens it',
      exitStatus.config,
    )
  const { migrateDatabase } = await import('./persistence/postgres/migrate-database.ts')
  const version = await migrateDatabase(postgres, randomUUID()).catch((error: Error) =>
    fail(error.message, exitOf(error)),
  )
  process.stdout.write(`${describeAddress(postgres)}: the schema has version ${version}\n`)
}

async function copyTo(postgres: PostgresOptions, path: string, stopServer: boolean): Promise<void> {
  const problem = databasePathProblem(path) ?? (existsSync(path) ? undefined : 'does not exist')
  if (problem) fail(`the file to migrate, ${path}, ${problem}`, exitStatus.config)
  const options = { stopServer, now: systemClock.now, newDatabaseId: randomUUID() }
  await copyCommand(path, postgres, options, process.stdout, process.stderr).catch((error: Error) =>
    fail(error.message, exitOf(error)),
  )
}

async function backup(...operands: string[]): Promise<void> {
  const target = operands.at(-1)
  if (target === undefined) return refuse('backup needs a TARGET: the file that becomes the copy')
  const path = operands.length === 2 ? operands[0]! : filePath('pg_dump')
  for (const file of [path, target]) {
    const problem = databasePathProblem(file)
    if (problem) fail(`a file of the backup ${problem}`, exitStatus.config)
  }
  process.exitCode = await backupCommand(path, target, process.stdout, process.stderr)
}

/** The database of the settings, which must be a file; `instead`: what does the same for PostgreSQL. */
function filePath(instead: string): string {
  const { postgres, databasePath } = configure()
  if (postgres) fail(`this command is for a file; for PostgreSQL use ${instead}`, exitStatus.config)
  return databasePath
}

function compact(path = filePath('VACUUM')): void {
  const problem = databasePathProblem(path)
  if (problem) fail(`the file to compact ${problem}`, exitStatus.config)
  try {
    compactCommand(path, { newDatabaseId: randomUUID(), now: systemClock.now() }, process.stdout, process.stderr)
  } catch (error) {
    fail(error instanceof Error ? error.message : String(error), exitOf(error))
  }
}

function configure(): ServerConfig {
  try {
    return readEnvironment(process.env, dotEnv())
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    for (const problem of error.problems) complain(problem)
    process.exit(exitStatus.config)
  }
}

function dotEnv(): string {
  try {
    return readFileSync('.env', 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
    fail(`.env cannot be read: ${(error as Error).message}`, exitStatus.config)
  }
}

/** The built-in handlers, except for types that one of the user's handlers has. */
async function handlersOf({ settings, smtp, webhook }: ServerConfig, files: readonly string[]) {
  try {
    const own = await loadHandlers(files)
    const types = new Set(own.map(({ type }) => type))
    const builtin = builtinHandlers({ smtp, webhook, retryMaxMs: settings.retryMaxMs, now: systemClock.now })
    return [...builtin.filter(({ type }) => !types.has(type)), ...own]
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    fail(error.problems.join('\n'), exitStatus.config)
  }
}

async function open(
  config: ServerConfig,
  log: ProcessLog['log'],
  acceptLoss: string | undefined,
  handlers: Awaited<ReturnType<typeof handlersOf>>,
): Promise<JobSystem> {
  const { settings, databasePath, secureDelete, retention, keepLogs, postgres } = config
  try {
    return await createJobSystem({
      ...settings,
      ...(postgres ? { postgres } : { database: databasePath, secureDelete }),
      keepLogs,
      ...(retention ? { retention } : {}),
      handlers,
      log,
      ...(acceptLoss === undefined ? {} : { acceptLoss }),
      onFatal(error) {
        log.fatal({ err: error }, 'the system cannot continue; ending the process; the next start recovers')
        process.exit(error instanceof DatabaseLostError ? exitStatus.lost : 1)
      },
    })
  } catch (error) {
    fail(error instanceof Error ? error.message : String(error), exitOf(error))
  }
}

function argumentsProblem(name: string, given: readonly string[]): string {
  return `${name} does not accept these arguments: ${given.join(' ')}`
}

/** Says what is wrong with the words of the command line, and how they are written. */
function refuse(problem: string): void {
  process.exitCode = exitStatus.usage
  complain(`${problem}\n\n${usage.trimEnd()}`)
}

function exitOf(error: unknown): number {
  if (error instanceof DatabaseLockedError) return exitStatus.locked
  return error instanceof LostJobsError ? exitStatus.missing : 1
}

/** The server that the library's `createHttp` makes, in its own process. */
function serverOf(config: ServerConfig, system: JobSystem, { log, dropped }: ProcessLog): JobsHttp {
  const { apiToken, allowedHosts, basePath, maxRequestBytes, maxInFlightRequests } = config
  try {
    return assembleHttp({
      system,
      log,
      now: systemClock.now,
      random: Math.random,
      allowedHosts,
      basePath,
      pages: true,
      readOnly: false,
      apiToken,
      version: version(),
      droppedLogLines: dropped,
      maxRequestBytes,
      maxRequestValues: requestPayloadsMax * config.settings.maxPayloadValues,
      maxInFlightRequests,
      ownsProcess: true,
    })
  } catch (error) {
    if (error instanceof ConfigError) fail(error.problems.join('\n'), exitStatus.config)
    throw error
  }
}

async function listen({ host, port, settings }: ServerConfig, system: JobSystem, http: JobsHttp) {
  try {
    return await http.listen({ host, port, maxConnections: connectionsMax(settings.workers) })
  } catch (error) {
    await system.stop()
    const taken = (error as NodeJS.ErrnoException).code === 'EADDRINUSE'
    const why = taken ? 'it is in use; set PORT to another, or 0 for a free one' : (error as Error).message
    fail(`cannot listen on ${host} port ${port}: ${why}`, 1)
  }
}

/** The first signal stops cleanly; a second ends the process at once. */
function handleSignals(opened: Opened, processLog: ProcessLog): void {
  let firstAt: number | undefined
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      const now = systemClock.now()
      if (firstAt === undefined) {
        firstAt = now
        void shutDown(opened, processLog, signal)
      } else if (now - firstAt > sameSignalMs) {
        processLog.log.warn({ signal }, 'a second signal: ending at once; the next start recovers')
        process.exit(1)
      }
    })
  }
}

/** An error that nobody handles leaves the process in an unknown state, so it stops cleanly. */
function handleStrays(opened: Opened, processLog: ProcessLog): void {
  const { log } = processLog
  const end = (error: unknown, message: string) => {
    const job = currentJob.getStore()
    log.fatal({ err: error, ...(job ? { job_id: job.id, type: job.type } : {}) }, message)
    endAfterGrace(opened, processLog)
    const exit = () => process.exit(1)
    opened.system?.stop({ crashing: true }).then(exit, exit)
  }
  process.on('uncaughtException', (error) => end(error, 'uncaught exception; stopping'))
  process.on('unhandledRejection', (error) => end(error, 'unhandled promise rejection; stopping'))
}

async function shutDown(opened: Opened, processLog: ProcessLog, reason: string): Promise<void> {
  const { log } = processLog
  log.info({ reason }, 'stopping')
  endAfterGrace(opened, processLog)
  await opened.system?.stop()
  await opened.http?.close()
  log.info({}, 'stopped')
  process.exit(0)
}

/** Ends the process if anything delays the stop for too long; the next start recovers. */
function endAfterGrace({ graceMs }: Opened, { log, flush }: ProcessLog): void {
  const end = () => {
    log.fatal({}, 'stopping takes too long; ending the process with SIGKILL; the next start recovers')
    flush(lastLinesMs)
    process.kill(process.pid, 'SIGKILL')
  }
  setTimeout(end, graceMs + beyondGraceMs).unref()
}

function fail(message: string, code: number): never {
  complain(message)
  process.exit(code)
}

function complain(message: string): void {
  try {
    process.stderr.write(`jobmachine: ${escapeLines(message)}\n`)
  } catch {
    // The log fails too; the exit code still says what it was.
  }
}
