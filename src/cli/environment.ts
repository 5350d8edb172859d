import { isIP } from 'node:net'
import { parseEnv } from 'node:util'
import { z } from 'zod'
import { basePathPattern, completeSettings, defaults, ranges, requestDefaults, type Settings } from '../config.ts'
import { ConfigError } from '../errors.ts'
import { type SmtpSettings, tlsModes } from '../handlers/smtp.ts'
import { keyOf, secretPattern } from '../handlers/webhook-signature.ts'
import { didYouMean } from '../job/did-you-mean.ts'
import { type Retention, retentionJson, retentionProblems } from '../job/retention.ts'
import { databasePathProblem } from '../persistence/database-path.ts'
import { isPostgresAddress, type PostgresOptions, validPostgres } from '../persistence/postgres-options.ts'
import { tokenProblem } from './token-strength.ts'

/** The whole configuration of the server. */
export interface ServerConfig {
  readonly settings: Settings
  /** Whether someone has chosen the grace of a stop, or Kubernetes runs this, whose own grace is longer than the default. */
  readonly isGraceKnown: boolean
  readonly host: string
  /** 0 means any free port. */
  readonly port: number
  /** Further names that the `Host` header may carry. */
  readonly allowedHosts: readonly string[]
  /** The path at which a proxy serves the pages, such as `/jobs-admin`; empty for the root. */
  readonly basePath: string
  readonly databasePath: string
  /** Instead of the file. */
  readonly postgres: PostgresOptions | null
  /** Overwrites removed data with zeros. */
  readonly secureDelete: boolean
  /** What differs from `retentionMs`. */
  readonly retention: Retention | undefined
  /** Whether the lines that handlers log are kept with their jobs. */
  readonly keepLogs: boolean
  readonly apiToken: string | null
  /** One request's body. */
  readonly maxRequestBytes: number
  /** Write requests that are served at the same time. */
  readonly maxInFlightRequests: number
  readonly logLevel: string
  readonly smtp: SmtpSettings
  readonly webhook: { readonly allowPrivate: boolean; readonly secret: string | undefined }
  /** What is valid, but probably not what was meant; in sentences. */
  readonly warnings: readonly string[]
}

/** Variables whose invalid values must not be repeated in an error. */
const secrets = new Set(['API_TOKEN', 'DATABASE_URL', 'SMTP_PASSWORD', 'GMAIL_APP_PASSWORD', 'WEBHOOK_SECRET'])
const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const

const whole = (min: number, max: number) =>
  z
    .string()
    .regex(/^[0-9]{1,15}$/)
    .transform(Number)
    .refine((value) => value >= min && value <= max)
    .describe(`a whole number from ${min} to ${max}`)
const setting = (name: keyof Settings) => whole(ranges[name].min, ranges[name].max).default(defaults[name])
const text = (takes: string, pattern = /^[^\p{Cc}]+$/u) => z.string().regex(pattern).describe(takes)
const trueOrFalse = (byDefault: boolean) =>
  z
    .enum(['true', 'false'])
    .transform((value) => value === 'true')
    .describe('true or false')
    .default(byDefault)
const hostName = /^[A-Za-z0-9_.:[\]-]+$/

/** One entry per variable; its description is what the error says it must be. */
const variables = {
  HOST: text('an address or a host name', hostName).default('127.0.0.1'),
  PORT: whole(0, 65_535).default(8_080),
  ALLOWED_HOSTS: z
    .string()
    .regex(/^[A-Za-z0-9_.:[\], -]+$/)
    .transform((list) => list.split(/[\s,]+/).filter((name) => name !== ''))
    .describe('host names, separated by commas')
    .default([]),
  BASE_PATH: z
    .string()
    .transform((path) => path.replace(/\/$/, ''))
    .refine((path) => basePathPattern.test(path))
    .describe('a path such as /jobs-admin: letters, digits and . _ ~ - between slashes')
    .default(''),
  DATABASE_PATH: text('a path').default('./data/jobs.db'),
  DATABASE_URL: z.string().refine(isPostgresAddress).describe(validPostgres.address).optional(),
  DATABASE_SCHEMA: text(validPostgres.schema, validPostgres.schemaPattern).optional(),
  SECURE_DELETE: trueOrFalse(false),
  KEEP_JOB_LOGS: trueOrFalse(true),
  WORKER_COUNT: setting('workers'),
  API_TOKEN: text('at least 16 characters, without spaces', /^[\x21-\x7e]{16,}$/).optional(),
  LEASE_MS: setting('leaseMs'),
  JOB_TIMEOUT_MS: setting('jobTimeoutMs'),
  RETRY_BASE_MS: setting('retryBaseMs'),
  RETRY_MAX_MS: setting('retryMaxMs'),
  RETENTION_MS: setting('retentionMs'),
  RETENTION: z
    .string()
    .refine((text) => parseJson(text) !== undefined)
    .transform((text) => parseJson(text) as Retention)
    .describe(`JSON, such as ${retentionJson}`)
    .optional(),
  MAX_REQUEST_BYTES: whole(1_024, 1_073_741_824).default(requestDefaults.maxRequestBytes),
  MAX_IN_FLIGHT_REQUESTS: whole(1, 100_000).default(requestDefaults.maxInFlightRequests),
  MAX_QUEUE_DEPTH: setting('maxQueueDepth'),
  MAX_DEPTH_PER_QUEUE: whole(ranges.maxDepthPerQueue.min, ranges.maxDepthPerQueue.max).optional(),
  MAX_PAYLOAD_BYTES: setting('maxPayloadBytes'),
  MAX_PAYLOAD_VALUES: setting('maxPayloadValues'),
  MAX_RESULT_BYTES: setting('maxResultBytes'),
  SHUTDOWN_GRACE_MS: setting('shutdownGraceMs'),
  LOG_LEVEL: z
    .enum(logLevels)
    .describe(`one of: ${logLevels.join(', ')}`)
    .default('info'),
  SMTP_HOST: text('an address or a host name', hostName).optional(),
  SMTP_PORT: whole(1, 65_535).default(587),
  SMTP_TLS: z
    .enum(tlsModes)
    .describe(`one of: ${tlsModes.join(', ')}`)
    .optional(),
  SMTP_USER: text('a user name').optional(),
  SMTP_PASSWORD: text('a password').optional(),
  SMTP_FROM: text('a mail address', /^[^\s@]+@[^\s@]+$/).optional(),
  GMAIL_USER: text('a mail address', /^[^\s@]+@[^\s@]+$/).optional(),
  GMAIL_APP_PASSWORD: text('a password').optional(),
  WEBHOOK_ALLOW_PRIVATE: trueOrFalse(false),
  WEBHOOK_SECRET: text('ASCII text, or whsec_ and base64 with its padding', secretPattern).optional(),
}
const schema = z.object(variables)
/** Shorter names are near to many others: HOME is two letters from HOST. */
const misspeltMin = 6
/** https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md asks for 24 to 64. */
const secretBytesMin = 24
/** Whoever writes API_TOKEN= believes that the server is protected, and whoever writes DATABASE_URL= that the jobs are not in a file. */
const mustNotBeEmpty = new Set(['API_TOKEN', 'DATABASE_URL'])

/**
 * Reads the configuration. `env` overrides `dotEnv`, the text of a `.env` file, and an empty value counts as not set. Throws `ConfigError`
 * with a line for each bad value: the variable, its value, what it must be.
 */
export function readEnvironment(env: Readonly<Record<string, string | undefined>>, dotEnv: string): ServerConfig {
  const given: Record<string, string> = {}
  const problems: string[] = []
  const fromFile = parseDotEnv(dotEnv)
  for (const name of Object.keys(variables)) {
    const value = env[name] || fromFile[name]
    if (value) given[name] = value
    if (mustNotBeEmpty.has(name) && (env[name] ?? fromFile[name]) === '')
      problems.push(
        `${name} is set but empty; it must be ${takes(variables[name as keyof typeof variables])}, or be left out`,
      )
  }
  const parsed = schema.safeParse(given)
  const badNames = new Set(parsed.success ? [] : parsed.error.issues.map(({ path }) => String(path[0])))
  for (const name of badNames) {
    problems.push(describeProblem(name as keyof typeof variables, given[name] ?? ''))
    // Treated as not set, so that conflicts are reported together with it.
    delete given[name]
  }
  const isGraceKnown = given.SHUTDOWN_GRACE_MS !== undefined || Boolean(env.KUBERNETES_SERVICE_HOST)
  const warnings = warningsOf([...Object.keys(env), ...Object.keys(fromFile)], given.WEBHOOK_SECRET)
  const config = { ...toConfig(parsed.success ? parsed.data : schema.parse(given)), isGraceKnown, warnings }
  problems.push(...conflictsIn(config))
  if (given.DATABASE_URL && given.DATABASE_PATH)
    problems.push('DATABASE_URL and DATABASE_PATH are both set; the jobs are in one of them')
  if (given.SECURE_DELETE && given.DATABASE_URL)
    problems.push('SECURE_DELETE is for a file; with DATABASE_URL it must be left out')
  if (given.DATABASE_SCHEMA && !given.DATABASE_URL) problems.push('DATABASE_SCHEMA is set without DATABASE_URL')
  if (problems.length > 0) throw new ConfigError(problems)
  return config
}

/** The schema that DATABASE_SCHEMA names, whatever the rest says: a file may move to a database that is not in use yet. */
export function readSchema(env: Readonly<Record<string, string | undefined>>, dotEnv: string): string | undefined {
  return env.DATABASE_SCHEMA || parseDotEnv(dotEnv).DATABASE_SCHEMA || undefined
}

// Some editors begin a file with a byte order mark.
function parseDotEnv(text: string) {
  return parseEnv(text.replace(/^\uFEFF/, ''))
}

function describeProblem(name: keyof typeof variables, value: string): string {
  const got = secrets.has(name) ? `a value of ${value.length} characters` : JSON.stringify(value)
  return `${name} is ${got}; it must be ${takes(variables[name])}`
}

/** The description is on the schema itself or on the one inside its default. */
function takes(schema: z.ZodType): string {
  if (schema.description) return schema.description
  const inner = (schema as { def?: { innerType?: z.ZodType } }).def?.innerType
  return inner ? takes(inner) : 'another value'
}

/** Undefined if it is none. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function conflictsIn({ host, apiToken, settings, databasePath, retention }: ServerConfig): string[] {
  const conflicts = (retention === undefined ? [] : retentionProblems(retention)).map((problem) =>
    problem.replace(/^retention/, 'RETENTION'),
  )
  const pathProblem = databasePathProblem(databasePath)
  if (pathProblem) conflicts.push(`DATABASE_PATH ${pathProblem}`)
  const tokenFlaw = apiToken === null ? undefined : tokenProblem(apiToken)
  if (!isLoopback(host) && (apiToken === null || tokenFlaw)) {
    const reached = `HOST is ${JSON.stringify(host)}, which others can reach`
    conflicts.push(
      tokenFlaw
        ? `${reached}, and API_TOKEN ${tokenFlaw}; create one with: openssl rand -hex 32`
        : `${reached}; that requires an API_TOKEN of at least 16 characters`,
    )
  }
  if (settings.retryMaxMs < settings.retryBaseMs) {
    conflicts.push(`RETRY_MAX_MS is ${settings.retryMaxMs}; it must be at least RETRY_BASE_MS, ${settings.retryBaseMs}`)
  }
  return conflicts
}

function warningsOf(names: readonly string[], secret: string | undefined): string[] {
  const known = Object.keys(variables)
  const warnings = [...new Set(names)].flatMap((name) => {
    const meant = name.length < misspeltMin || known.includes(name) ? '' : didYouMean(name, known)
    return meant === '' ? [] : [`${name} is not a setting${meant}`]
  })
  if (secret === undefined || keyOf(secret).length >= secretBytesMin) return warnings
  const asked = `WEBHOOK_SECRET is shorter than the ${secretBytesMin} to 64 bytes that Standard Webhooks asks for`
  return [...warnings, `${asked}; create one with: echo whsec_$(openssl rand -base64 32)`]
}

function toConfig(given: z.infer<typeof schema>): Omit<ServerConfig, 'isGraceKnown' | 'warnings'> {
  return {
    settings: completeSettings({
      workers: given.WORKER_COUNT,
      leaseMs: given.LEASE_MS,
      jobTimeoutMs: given.JOB_TIMEOUT_MS,
      retryBaseMs: given.RETRY_BASE_MS,
      retryMaxMs: given.RETRY_MAX_MS,
      retentionMs: given.RETENTION_MS,
      maxQueueDepth: given.MAX_QUEUE_DEPTH,
      maxDepthPerQueue: given.MAX_DEPTH_PER_QUEUE,
      maxPayloadBytes: given.MAX_PAYLOAD_BYTES,
      maxPayloadValues: given.MAX_PAYLOAD_VALUES,
      maxResultBytes: given.MAX_RESULT_BYTES,
      shutdownGraceMs: given.SHUTDOWN_GRACE_MS,
    }),
    host: given.HOST.replace(/^\[(.*)\]$/, '$1'),
    port: given.PORT,
    allowedHosts: given.ALLOWED_HOSTS,
    basePath: given.BASE_PATH,
    databasePath: given.DATABASE_PATH,
    postgres: given.DATABASE_URL === undefined ? null : toPostgres(given.DATABASE_URL, given.DATABASE_SCHEMA),
    secureDelete: given.SECURE_DELETE,
    retention: given.RETENTION,
    keepLogs: given.KEEP_JOB_LOGS,
    apiToken: given.API_TOKEN ?? null,
    maxRequestBytes: given.MAX_REQUEST_BYTES,
    maxInFlightRequests: given.MAX_IN_FLIGHT_REQUESTS,
    logLevel: given.LOG_LEVEL,
    smtp: {
      host: given.SMTP_HOST,
      port: given.SMTP_PORT,
      tls: given.SMTP_TLS,
      user: given.SMTP_USER ?? given.GMAIL_USER,
      password: given.SMTP_PASSWORD ?? given.GMAIL_APP_PASSWORD,
      from: given.SMTP_FROM,
    },
    webhook: { allowPrivate: given.WEBHOOK_ALLOW_PRIVATE, secret: given.WEBHOOK_SECRET },
  }
}

function toPostgres(connectionString: string, schema: string | undefined): PostgresOptions {
  return schema === undefined ? { connectionString } : { connectionString, schema }
}

/** Whether only this machine can reach a server that listens on `host`. */
function isLoopback(host: string): boolean {
  const bare = host.replace(/^\[|\]$/g, '').toLowerCase()
  if (isIP(bare) === 4) return bare.startsWith('127.')
  return bare === '::1' || bare === 'localhost'
}
