import {
  basePathPattern,
  defaults,
  type Job,
  type JobSystem,
  noopLog,
  requestDefaults,
  requestPayloadsMax,
  type SystemLog,
  shown,
  snakeCase,
} from '../engine/front-door.ts'
import { ConfigError } from '../errors.ts'
import { didYouMean } from '../job/did-you-mean.ts'
import type { Authorize } from './access.ts'

/** The options of `createHttp`. All are optional. */
export interface HttpOptions {
  /** The path that browsers see, such as `/admin/jobs`, with the prefix of a proxy, if there is one. The root by default. */
  readonly basePath?: string
  /** Whether to serve a dashboard beside the API; true by default. */
  readonly pages?: boolean
  /** If true, everything is shown and nothing can be changed, by anyone. */
  readonly readOnly?: boolean
  /**
   * Says who sent a request and what they may do, or null if they may see nothing. By default everyone may do everything. The history keeps
   * their name.
   */
  readonly authorize?: Authorize
  /** What is shown instead of a job's payload. It also turns off searches for text. */
  readonly redact?: (job: Job) => unknown
  /**
   * Names that the `Host` header may have. `listen` allows these in addition to this machine's own. An app that mounts it checks its own
   * host names, unless names are given here.
   */
  readonly allowedHosts?: readonly string[]
  /**
   * The API token, at least 16 characters. A client that sends it, as a bearer token or in the login form, may do everything. By default
   * none is required.
   */
  readonly apiToken?: string
  /** One request's body in bytes; 8,388,608 by default. */
  readonly maxRequestBytes?: number
  /** Members and elements of one request's JSON; 100,000 by default. */
  readonly maxRequestValues?: number
  /** Write requests that are served at the same time; 1,000 by default. */
  readonly maxInFlightRequests?: number
  /** Logs requests that fail here, and wrong tokens; without it nothing is logged. A pino logger fits. */
  readonly log?: SystemLog
}

/** The name of an option for the user: in `jobmachine serve`, which owns its process, its variable. */
export function settingName(option: 'allowedHosts' | 'basePath' | 'apiToken', ownsProcess: boolean): string {
  return ownsProcess ? snakeCase(option).toUpperCase() : `${option} of createHttp`
}

/** What a value must be, or false if it is that. */
type Check = (value: unknown) => string | false

const mustBe = (what: string, isThat: (value: unknown) => boolean) => (value: unknown) => !isThat(value) && what
const isTrueOrFalse = mustBe('true or false', (value) => typeof value === 'boolean')
const isFunction = mustBe('a function', (value) => typeof value === 'function')
const isWhole = mustBe('a whole number from 1', (value) => Number.isSafeInteger(value) && (value as number) > 0)
const isLog = mustBe('a logger such as pino', (value) => typeof value === 'object' && value !== null)
const isText = (pattern: RegExp) => (value: unknown) => typeof value === 'string' && pattern.test(value)

const checks: Readonly<Record<keyof HttpOptions, Check>> = {
  basePath: mustBe('a path such as /admin/jobs: letters, digits and . _ ~ - between slashes', (value) =>
    isText(basePathPattern)(typeof value === 'string' ? withoutSlash(value) : value),
  ),
  pages: isTrueOrFalse,
  readOnly: isTrueOrFalse,
  authorize: isFunction,
  redact: isFunction,
  allowedHosts: mustBe(
    'an array of host names',
    (value) => Array.isArray(value) && value.every(isText(/^[A-Za-z0-9_.:[\]-]+$/)),
  ),
  apiToken: mustBe('at least 16 characters, without spaces', isText(/^[\x21-\x7e]{16,}$/)),
  maxRequestBytes: isWhole,
  maxRequestValues: isWhole,
  maxInFlightRequests: isWhole,
  log: isLog,
}

/** Fills in the defaults; throws `ConfigError` with a line for each unknown or invalid option. */
export function completeOptions(system: JobSystem, options: HttpOptions) {
  const problems = [...problemsOfSystem(system), ...problemsOf(options)]
  if (problems.length > 0) throw new ConfigError(problems)
  return {
    pages: options.pages ?? true,
    readOnly: options.readOnly ?? false,
    authorize: options.authorize,
    redact: options.redact,
    allowedHosts: options.allowedHosts ?? [],
    apiToken: options.apiToken ?? null,
    maxRequestBytes: options.maxRequestBytes ?? requestDefaults.maxRequestBytes,
    maxRequestValues: options.maxRequestValues ?? requestPayloadsMax * defaults.maxPayloadValues,
    maxInFlightRequests: options.maxInFlightRequests ?? requestDefaults.maxInFlightRequests,
    log: options.log ?? noopLog,
    basePath: withoutSlash(options.basePath ?? ''),
  }
}

function problemsOfSystem(system: unknown): string[] {
  if (typeof (system as Partial<JobSystem> | null | undefined)?.find === 'function') return []
  const hint = system instanceof Promise ? '; await it' : ''
  return [`the first argument of createHttp is ${shown(system)}; it must be the system of createJobSystem${hint}`]
}

function problemsOf(options: unknown): string[] {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    return [`the second argument of createHttp is ${shown(options)}; it must be an object of options`]
  }
  const names = Object.keys(checks)
  return Object.entries(options).flatMap(([name, value]) => {
    if (!Object.hasOwn(checks, name)) {
      const hint = didYouMean(name, names) || `; they are ${names.join(', ')}`
      return [`${name} is not an option of createHttp${hint}`]
    }
    const mustBe = value !== undefined && checks[name as keyof HttpOptions](value)
    const got = name === 'apiToken' ? 'one that cannot be used' : shown(value)
    return mustBe ? [`${name} is ${got}; it must be ${mustBe}`] : []
  })
}

function withoutSlash(path: string): string {
  return path.replace(/\/$/, '')
}
