import { ranges, type Settings, shown } from '../config.ts'
import { ConfigError } from '../errors.ts'
import type { AnyHandler } from '../handlers/define.ts'
import { defineHandler } from '../handlers/define.ts'
import { didYouMean } from '../job/did-you-mean.ts'
import { type Retention, retentionProblems } from '../job/retention.ts'
import { databasePathProblem } from '../persistence/database-path.ts'
import { type PostgresOptions, postgresProblems } from '../persistence/postgres-options.ts'
import type { Clock } from '../runtime/clock.ts'
import type { NewSchedule, ScheduledJob } from '../schedule/fields.ts'
import type { Inspector, JobFor, SystemLog } from './job-system.ts'

/** The options of `createJobSystem`: the database, the handlers, and any of the settings. */
export interface JobSystemOptions<Handlers extends readonly AnyHandler[] = readonly AnyHandler[]>
  extends Partial<Settings> {
  /** The path of the SQLite file, which is created, with its folder, if it is missing. `:memory:` and URLs are not allowed. */
  readonly database?: string
  /**
   * A PostgreSQL database instead of a file, which many processes may share: its address, or more of it. It needs the package `pg`: `npm
   * install pg`.
   */
  readonly postgres?: string | PostgresOptions
  /** Without handlers the system is a producer: it enqueues and reads beside a running server, and runs nothing. */
  readonly handlers?: Handlers
  /**
   * The `acceptance` of a `LostJobsError`: starts without the jobs that are missing. It names that one loss, so you may leave it set: it
   * accepts no other.
   */
  readonly acceptLoss?: string
  /**
   * Overwrites removed jobs with zeros in the database, so that they cannot be read there any more; false by default. The log may contain
   * them until it is overwritten, or the last process stops cleanly.
   */
  readonly secureDelete?: boolean
  /**
   * How long ended jobs are kept, by state, type, age and number: what differs from `retentionMs`, such as `{ dead: { ms: 7776000000 },
   * types: { mail: { succeeded: { count: 1000 } } } }`. Dead jobs are kept for ever by default.
   */
  readonly retention?: Retention
  /** Whether the lines that handlers write to `context.log` are kept with their jobs; true by default. A handler may say otherwise. */
  readonly keepLogs?: boolean
  /**
   * Schedules of this program. At its start those that changed are edited, and those that it declared before and no longer does end; what users
   * made stays. Left out, it leaves all as they are.
   */
  readonly schedules?: readonly NewSchedule<ScheduledJob<JobFor<NoInfer<Handlers>>>>[]
  /** Structured log, such as a pino logger; without it nothing is logged. Errors that it throws or rejects with are ignored. */
  readonly log?: SystemLog
  /**
   * Called once if the system cannot continue: the disk failed, every worker is stuck, or an invariant broke. End the process with a
   * non-zero code; the next start recovers. By default the error is thrown as an uncaught exception. Open calls are rejected with
   * `OutcomeUnknownError`, later ones with `UnavailableError`.
   */
  readonly onFatal?: (error: Error) => void
  /** The clock; the machine's by default. For tests. */
  readonly clock?: Clock
  /** Uniform in [0, 1), for the backoff's jitter; the usual random source by default. For tests. */
  readonly random?: () => number
  /**
   * Gets every event and snapshot of the dispatcher and its workers as they happen, payloads included, in the format of XState: for tools
   * such as Stately's inspector. It is called synchronously by the engine, so a slow one delays jobs. Errors that it throws are logged.
   */
  readonly inspect?: Inspector
}

/** What is wrong with an option; empty if nothing is. */
type Check = (value: unknown) => readonly string[]

/** The options that are not settings. */
const checks: Readonly<Record<Exclude<keyof JobSystemOptions, keyof Settings>, Check>> = {
  database: (path) => {
    const problem = databasePathProblem(path)
    return problem === null ? [] : [`database ${problem}`]
  },
  postgres: (given) => postgresProblems(given).map((problem) => `postgres ${problem}`),
  handlers: problemsOfHandlers,
  acceptLoss: (given) =>
    typeof given === 'string' ? [] : [`acceptLoss is ${shown(given)}; it must be the acceptance of a LostJobsError`],
  secureDelete: (given) =>
    typeof given === 'boolean' ? [] : [`secureDelete is ${shown(given)}; it must be true or false`],
  retention: retentionProblems,
  keepLogs: (given) => (typeof given === 'boolean' ? [] : [`keepLogs is ${shown(given)}; it must be true or false`]),
  // Each is checked when the handlers are known.
  schedules: (given) =>
    Array.isArray(given) ? [] : [`schedules is ${shown(given)}; it must be an array of schedules`],
  // Messages for a missing method are dropped, as is what a method throws.
  log: (log) =>
    typeof log === 'object' && log !== null ? [] : [`log is ${shown(log)}; it must be a logger such as pino`],
  clock: (clock) =>
    typeof (clock as Partial<Clock> | null)?.now === 'function' ? [] : [`clock is ${shown(clock)}; it must be a Clock`],
  onFatal: (given) => problemsOfFunction('onFatal', given),
  random: (given) => problemsOfFunction('random', given),
  inspect: (given) => problemsOfFunction('inspect', given),
}

export const optionNames: readonly string[] = [...Object.keys(checks), ...Object.keys(ranges)]

/** Throws `ConfigError` with a line for each option that is unknown or invalid, because callers in JavaScript have no type check. */
export function checkOptions(options: unknown): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new ConfigError([
      `createJobSystem needs an object of options with at least database, but got ${shown(options)}`,
    ])
  }
  const given = options as Readonly<Record<string, unknown>>
  const unknown = Object.keys(given).filter((name) => !optionNames.includes(name))
  const problems = [
    ...unknown.map(
      (name) =>
        `${name} is not an option of createJobSystem${didYouMean(name, optionNames) || `; they are ${optionNames.join(', ')}`}`,
    ),
    ...Object.entries(checks).flatMap(([name, check]) => (isLeftOut(name, given) ? [] : check(given[name]))),
    ...conflictsIn(given),
    ...problemsOfSettings(given),
  ]
  if (problems.length > 0) throw new ConfigError(problems)
}

/** One of the databases is needed; a variable that is not set is the usual reason for one that is given as undefined. */
function isLeftOut(name: string, given: Readonly<Record<string, unknown>>): boolean {
  if (given[name] !== undefined) return false
  const isMeant = 'postgres' in given && !('database' in given)
  if (name === 'database') return given.postgres !== undefined || isMeant
  return name !== 'postgres' || !isMeant
}

/** What is for a file alone. */
function conflictsIn({ postgres, ...given }: Readonly<Record<string, unknown>>): string[] {
  if (postgres === undefined) return []
  return [
    ...(given.database === undefined ? [] : ['database and postgres are both given; the jobs are in one of them']),
    ...['acceptLoss', 'secureDelete']
      .filter((name) => given[name] !== undefined)
      .map((name) => `${name} is for a file; with postgres it must be left out`),
  ]
}

/** A line for each setting that is out of its range. */
function problemsOfSettings(given: Readonly<Record<string, unknown>>): string[] {
  return Object.entries(ranges).flatMap(([name, { min, max }]) => {
    const value = given[name]
    if (value === undefined || (Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max))
      return []
    return [`${name} is ${shown(value)}; it must be a whole number from ${min} to ${max}`]
  })
}

function problemsOfHandlers(handlers: unknown): string[] {
  if (!Array.isArray(handlers)) {
    return [
      `handlers is ${shown(handlers)}; it must be an array of handlers from defineHandler${waysToArray(handlers)}; a producer leaves it out`,
    ]
  }
  const problems = Array.from(handlers, (handler: unknown, index) => {
    if (handler === undefined)
      return `handlers[${index}] is undefined, as what two modules import from each other may be`
    try {
      defineHandler(handler as never)
      return null
    } catch (error) {
      return `handlers[${index}]: ${(error as Error).message}`
    }
  }).filter((problem) => problem !== null)
  if (problems.length > 0) return problems
  const types = handlers.map(({ type }) => type as string)
  const twice = new Set(types.filter((type, index) => types.indexOf(type) !== index))
  return [...twice].map((type) => `handlers has more than one for type ${JSON.stringify(type)}`)
}

function waysToArray(given: unknown): string {
  if (given instanceof Promise) return ': await it first'
  if (given instanceof Map) return ': [...handlers.values()]'
  if (typeof given !== 'object' || given === null) return ''
  return 'run' in given ? ': [handler]' : ': Object.values(handlers)'
}

function problemsOfFunction(name: string, value: unknown): string[] {
  return typeof value === 'function' ? [] : [`${name} is ${shown(value)}; it must be a function`]
}
