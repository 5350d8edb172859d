import { createHash } from 'node:crypto'
import { isDate } from 'node:util/types'
import canonicalize from 'canonicalize'
import { z } from 'zod'
import { defaultMaxRetries, defaultPriority, defaultQueue, defaults } from './config.ts'
import { didYouMean } from './did-you-mean.ts'
import { type InputIssue, InvalidInputError } from './errors.ts'
import { namePattern, timeoutMaxMs } from './handlers/define.ts'
import type { JobState } from './machines/job.ts'
import { isPlainJson, payloadDepthMax, type StoredPayload, toStoredPayload } from './payload-json.ts'
import type { JobRow, StoredError } from './persistence/store.ts'

/** A job to enqueue, as the library takes it. Zero delays and instants in the past mean now. */
export interface NewJob {
  readonly type: string
  /**
   * Any JSON value, at most 64 levels deep and of at most `maxPayloadValues` members and elements, checked against its handler's schema as it will be stored: members that are undefined are left
   * out, −0 is 0, a Date or whatever has a `toJSON` is what that gives. A value that JSON does not have is refused, by its path.
   */
  readonly payload: unknown
  /** `default` unless given. */
  readonly queue?: string
  /** −100 to 100, higher first within its queue; 0 unless given. */
  readonly priority?: number
  /** Retries after the first attempt, 0 to 1,000; the handler's, else 3, unless given. */
  readonly maxRetries?: number
  /** 1 to 255 printable characters; at most one job of the file has it, as long as that job is kept. */
  readonly idempotencyKey?: string
  /** When it may run first: epoch ms, a Date, or RFC 3339 with an offset. */
  readonly runAt?: number | Date | string
  /** The same, counted from when the job is stored, its `createdAt`, in ms: never from before the call. */
  readonly delayMs?: number
  /** Limit for one attempt, 1 to 86,400,000 ms; the handler's, else the settings', unless given. */
  readonly timeoutMs?: number
}

/** A job as readers see it. Instants are epoch ms; what does not apply is null. */
export interface Job extends Omit<JobRow, 'payload' | 'maxAttempts'> {
  readonly payload: unknown
  readonly maxRetries: number
}

/** What became of one job handed in; `created` false where an earlier job has its key and the same content. */
export interface EnqueuedJob {
  readonly id: number
  readonly state: JobState
  readonly created: boolean
}

/** A checked job; what was left out is undefined, so that handler and settings can fill it in. */
export interface JobRequest {
  readonly type: string
  /** As it will be stored and read back. */
  readonly payload: unknown
  /** By its path below `payload`, the class of what was turned into JSON by its `toJSON`; undefined where nothing was. */
  readonly converted: StoredPayload['converted'] | undefined
  readonly queue: string | undefined
  readonly priority: number | undefined
  readonly maxRetries: number | undefined
  readonly idempotencyKey: string | undefined
  readonly runAt: number | undefined
  readonly delayMs: number | undefined
  readonly timeoutMs: number | undefined
  /** SHA-256 of the request's canonical form less its key, in hex; undefined without a key. */
  readonly content: string | undefined
}

/** How a front door writes field names: the library `maxRetries`, HTTP `max_retries`. */
export type Naming = 'camelCase' | 'snake_case'

export type { StoredError }

/** Unknown fields of one job told of at once. */
const unknownMax = 100
const keyLengthMax = 255
const priorityMax = 100
export const retriesMax = 1_000
const delayMaxMs = 3_155_760_000_000
/** The last instant that ISO 8601 writes with four digits for the year. */
export const instantMax = Date.UTC(9999, 11, 31, 23, 59, 59, 999)

const nameTakes = 'takes 1 to 64 letters, digits and . _ : - and begins with a letter or digit'
const name = z.string(nameTakes).regex(namePattern, nameTakes)
const keyTakes = `takes 1 to ${keyLengthMax} printable characters`
const wholeNumber = (min: number, max: number) => {
  const takes = `takes a whole number from ${min} to ${max}`
  return z.int(takes).min(min, takes).max(max, takes)
}
const instantTakes = 'takes an RFC 3339 instant with an offset, such as 2030-01-31T09:30:00Z, to the year 9999'
export const instantText = z.iso
  .datetime({ offset: true, error: instantTakes })
  .meta({ examples: ['2030-01-31T09:30:00Z'] })
  .transform((text) => Date.parse(text))
  .refine((ms) => ms <= instantMax, instantTakes)
const valueTakes = 'takes epoch ms, a Date or RFC 3339 text with an offset, to the year 9999'
/** Of any realm. */
const date = z.custom<Date>(isDate).transform((given) => given.getTime())
const instantValue = z
  .union([date, z.number()])
  .refine((ms) => Number.isSafeInteger(ms) && Math.abs(ms) <= instantMax, valueTakes)

/** Their descriptions, defaults and examples are what the HTTP API tells of them. */
const fields = {
  type: name.meta({ description: 'The name of the handler that runs it: 1 to 64 letters, digits and `. _ : -`.' }),
  payload: z.unknown().meta({
    description: `Any JSON value, at most ${payloadDepthMax} levels deep and with at most \`MAX_PAYLOAD_VALUES\` members and elements in all, checked by the type's handler before it is stored. Numbers are doubles.`,
  }),
  queue: name.optional().meta({
    description: 'A name as for `type`. Queues take turns, whatever their names and lengths.',
    default: defaultQueue,
    examples: ['mail'],
  }),
  priority: wholeNumber(-priorityMax, priorityMax)
    .optional()
    .meta({ description: 'Higher goes first within its queue.', default: defaultPriority }),
  maxRetries: wholeNumber(0, retriesMax)
    .optional()
    .meta({
      description: `Retries after the first attempt; unless given the handler's own number, as 27 of email, else ${defaultMaxRetries}.`,
    }),
  idempotencyKey: z
    .string(keyTakes)
    .regex(new RegExp(`^\\P{C}{1,${keyLengthMax}}$`, 'u'), keyTakes)
    .optional()
    .meta({
      description: `1 to ${keyLengthMax} printable characters. At most one job of the file has a key, as long as that job is kept: the same request again is answered with it, another one with 409.`,
      examples: ['order-4711-receipt'],
    }),
  delayMs: wholeNumber(0, delayMaxMs)
    .optional()
    .meta({ description: 'When it may run first, in ms from its commit.', default: 0, examples: [60_000] }),
  timeoutMs: wholeNumber(1, timeoutMaxMs)
    .optional()
    .meta({
      description: "Limit for one attempt, in ms; the handler's, else `JOB_TIMEOUT_MS`, where it is left out.",
      examples: [30_000],
    }),
}

const snakeCase = (camel: string) => camel.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
const wireNames = new Map([...Object.keys(fields), 'runAt'].map((field) => [field, snakeCase(field)]))

const runAtOnWire = instantText
  .optional()
  .describe(
    'When it may run first: RFC 3339 with an offset, to the year 9999; the past means now. Not together with `delay_ms`.',
  )

const schemas = {
  camelCase: z.strictObject({ ...fields, runAt: z.union([instantText, instantValue], valueTakes).optional() }),
  snake_case: z
    .strictObject(
      Object.fromEntries(
        Object.entries({ ...fields, runAt: runAtOnWire }).map(([field, schema]) => [snakeCase(field), schema]),
      ),
    )
    .meta({ not: { required: ['run_at', 'delay_ms'] } }),
}

/** One job as HTTP takes it: what describes it is what checks it. That its payload can be stored is checked besides. */
export const newJobSchema: z.ZodType = schemas.snake_case

type Parsed = { readonly request: JobRequest } | { readonly issues: InputIssue[] }

/**
 * Checks one job; every fault is listed, its path in the caller's own names, below `at` where it stands in an array. `valuesMax`: members and
 * elements that its payload may have.
 */
export function parseJob(input: unknown, naming: Naming, at = '', valuesMax = defaults.maxPayloadValues): Parsed {
  const request = parsePlain(input, naming, valuesMax)
  return request ? { request } : parseWhole(input, naming, at, valuesMax)
}

type Field = keyof typeof fields | 'runAt'
/** By the name that a caller gives it, what a field is called here and what it takes. */
const fieldsNamed: Readonly<Record<Naming, ReadonlyMap<string, readonly [Field, z.ZodType]>>> = {
  camelCase: new Map(
    Object.entries(schemas.camelCase.shape).map(([name, schema]) => [name, [name as Field, schema as z.ZodType]]),
  ),
  snake_case: new Map(
    [...wireNames].map(([name, wire]) => [wire, [name as Field, schemas.snake_case.shape[wire] as z.ZodType]]),
  ),
}

/**
 * A job with nothing that is unusual, checked by its fields alone: a third of the time that its whole schema takes, of which most is spent
 * on the fields that are not there. Undefined where `parseWhole` must look at it, which alone finds fault.
 */
function parsePlain(input: unknown, naming: Naming, valuesMax: number): JobRequest | undefined {
  if (typeof input !== 'object' || input === null || Object.getPrototypeOf(input) !== Object.prototype) return
  const given: Partial<Record<Field, never>> = {}
  for (const name of Object.keys(input)) {
    const value = (input as Record<string, unknown>)[name]
    const known = fieldsNamed[naming].get(name)
    if (!known) return
    const [field, schema] = known
    const parsed = field === 'payload' ? { success: true, data: value } : schema.safeParse(value)
    if (!parsed.success) return
    given[field] = parsed.data as never
  }
  const { type, payload, queue, priority, maxRetries, idempotencyKey, runAt, delayMs, timeoutMs } = given
  const isUnusual = type === undefined || idempotencyKey !== undefined || (runAt !== undefined && delayMs !== undefined)
  const stored = isPlainJson(payload, valuesMax) ? undefined : toStoredPayload(payload, valuesMax)
  if (isUnusual || (stored && stored.faults.length > 0)) return
  return {
    type,
    payload: stored ? stored.value : payload,
    converted: stored?.converted,
    queue,
    priority,
    maxRetries,
    idempotencyKey,
    runAt,
    delayMs,
    timeoutMs,
    content: undefined,
  }
}

function parseWhole(input: unknown, naming: Naming, at: string, valuesMax: number): Parsed {
  const isJob = typeof input === 'object' && input !== null && !Array.isArray(input)
  const unknown = isJob ? Object.keys(input).filter((name) => !fieldsNamed[naming].has(name)) : []
  // There are no such jobs: a schema would look at every other field, too.
  if (unknown.length > unknownMax) return { issues: unknownFields(unknown, naming, at) }
  const parsed = schemas[naming].safeParse(input, { reportInput: true })
  const faults = parsed.success ? [] : parsed.error.issues.flatMap((issue) => describe(issue, naming, at))
  const { payload } = (isJob ? input : {}) as { payload?: unknown }
  const stored = !isJob || isPlainJson(payload, valuesMax) ? undefined : toStoredPayload(payload, valuesMax)
  for (const { path, message } of stored?.faults ?? []) faults.push({ path: join(at, `payload${path}`), message })
  // One for each field: a number out of its range may also be none that is safe.
  if (!parsed.success || faults.length > 0)
    return { issues: [...new Map(faults.map((fault) => [fault.path, fault])).values()] }
  const given = parsed.data as Record<string, unknown>
  const field = (camel: string) => given[naming === 'camelCase' ? camel : (wireNames.get(camel) ?? camel)] as never
  const request: JobRequest = {
    type: field('type'),
    payload: stored ? stored.value : payload,
    converted: stored?.converted,
    queue: field('queue'),
    priority: field('priority'),
    maxRetries: field('maxRetries'),
    idempotencyKey: field('idempotencyKey'),
    runAt: field('runAt'),
    delayMs: field('delayMs'),
    timeoutMs: field('timeoutMs'),
    content:
      field('idempotencyKey') === undefined
        ? undefined
        : contentOf({ ...(input as object), payload: stored ? stored.value : payload }, naming),
  }
  if (request.runAt !== undefined && request.delayMs !== undefined) {
    const path = join(at, naming === 'camelCase' ? 'delayMs' : 'delay_ms')
    return { issues: [{ path, message: 'give the instant or the delay, not both' }] }
  }
  return { request }
}

/** Checks one job; throws `InvalidInputError` with every fault. */
export function parseOneJob(input: unknown, naming: Naming, valuesMax: number): JobRequest {
  const parsed = parseJob(input, naming, '', valuesMax)
  if ('request' in parsed) return parsed.request
  throw new InvalidInputError(parsed.issues)
}

/**
 * Checks an array of jobs, in as many steps as there are; throws `InvalidInputError` with every fault of every item. It looks at no
 * further item once it has found as many as are told of at once.
 */
export function* parseJobs(
  input: readonly unknown[],
  naming: Naming,
  batchMax: number,
  valuesMax: number,
): Generator<void, JobRequest[]> {
  if (input.length === 0 || input.length > batchMax) {
    throw new InvalidInputError([{ path: '', message: `takes 1 to ${batchMax} jobs, got ${input.length}` }])
  }
  const requests: JobRequest[] = []
  const issues: InputIssue[] = []
  for (let index = 0; index < input.length; index++) {
    const parsed = parseJob(input[index], naming, `${index}`, valuesMax)
    if ('request' in parsed) requests.push(parsed.request)
    else issues.push(...parsed.issues)
    if (issues.length >= InvalidInputError.issuesMax) break
    // The library's caller may change what it gave as soon as the call returns.
    if (naming === 'snake_case') yield
  }
  if (issues.length > 0) throw new InvalidInputError(issues)
  return requests
}

/** A stored job as readers see it. */
export function toJob({ payload, maxAttempts, ...row }: JobRow): Job {
  return { ...row, payload: JSON.parse(payload), maxRetries: maxAttempts - 1 }
}

/**
 * What two requests with one key must share: the request as sent, less the key, in the canonical form of RFC 8785, by its SHA-256. Both
 * front doors give the same for the same request.
 */
function contentOf(input: Record<string, unknown>, naming: Naming): string {
  const sent = Object.entries(input).flatMap(([field, value]) => {
    const wireName = naming === 'camelCase' ? (wireNames.get(field) ?? field) : field
    if (wireName === 'idempotency_key' || value === undefined) return []
    const instant = wireName === 'run_at' && typeof value !== 'string'
    return [[wireName, instant ? new Date(value as number | Date).toISOString() : value]]
  })
  return createHash('sha256')
    .update(canonicalize(Object.fromEntries(sent)) ?? '')
    .digest('hex')
}

function describe(issue: z.core.$ZodIssue, naming: Naming, at: string): InputIssue[] {
  if (issue.code === 'unrecognized_keys') return unknownFields(issue.keys, naming, at)
  const field = issue.path.join('.')
  const missing = issue.input === undefined && issue.code === 'invalid_type'
  if (field === '') return [{ path: at, message: 'takes an object that describes one job' }]
  return [{ path: join(at, field), message: missing ? 'is required' : issue.message }]
}

function unknownFields(names: readonly string[], naming: Naming, at: string): InputIssue[] {
  const known = [...fieldsNamed[naming].keys()]
  return names
    .slice(0, unknownMax)
    .map((name) => ({ path: join(at, name), message: `is not a known field${didYouMean(name, known)}` }))
}

function join(parent: string, child: string): string {
  return parent === '' ? child : `${parent}.${child}`
}
