import { createHash } from 'node:crypto'
import canonicalize from 'canonicalize'
import { defaults } from '../config.ts'
import { type InputIssue, InvalidInputError } from '../errors.ts'
import { didYouMean } from './did-you-mean.ts'
import {
  type FieldName,
  fieldNames,
  fieldsNamed,
  type GivenFields,
  type Mutable,
  type Naming,
  snakeCase,
} from './fields.ts'
import { isPlainJson, type StoredPayload, toStoredPayload } from './payload.ts'

/** A checked job; what was left out is undefined, so that handler and settings can fill it in. */
export interface JobRequest extends GivenFields {
  readonly type: string
  /** As it will be stored and read back. */
  readonly payload: unknown
  /** By its path below `payload`, the class of what was turned into JSON by its `toJSON`; undefined where nothing was. */
  readonly converted: StoredPayload['converted'] | undefined
  /** SHA-256 of the request's canonical form less its key, in hex; undefined without a key. */
  readonly content: string | undefined
}

type Parsed = { readonly request: JobRequest } | { readonly issues: InputIssue[] }

/** Unknown fields of one job told of at once. */
const unknownMax = 100

/** Each request is a copy of it: an object that is made field by field takes ten times as long. */
const nothingGiven = {
  ...Object.fromEntries(fieldNames.map((name) => [name, undefined])),
  converted: undefined,
  content: undefined,
} as unknown as Mutable<JobRequest>

/**
 * Checks one job; every fault is listed, its path in the caller's own names, below `at` where it stands in an array. `valuesMax`: members and
 * elements that its payload may have. It looks at the fields that are there: a schema of the whole would spend most of its time on the others.
 */
export function parseJob(input: unknown, naming: Naming, at = '', valuesMax = defaults.maxPayloadValues): Parsed {
  if (typeof input !== 'object' || input === null || Array.isArray(input))
    return { issues: [{ path: at, message: 'must be an object that describes one job' }] }
  const known = fieldsNamed[naming]
  const job = input as Record<string, unknown>
  const request = { ...nothingGiven }
  const wrong: Wrong[] = []
  const unknown: string[] = []
  for (const name of Object.keys(job)) {
    const about = known.get(name)
    if (!about) unknown.push(name)
    const value = job[name]
    if (!about || about.field === 'payload' || value === undefined) continue
    const parsed = about.takes.safeParse(value)
    if (parsed.success) request[about.field] = parsed.data as never
    // One for each field: a number out of its range may also be none that is safe.
    else wrong.push({ field: about.field, name, message: parsed.error.issues[0]!.message })
  }
  if (request.type === undefined && !wrong.some(({ field }) => field === 'type'))
    wrong.push({ field: 'type', name: 'type', message: 'is required' })
  const { payload } = job
  const stored = isPlainJson(payload, valuesMax) ? undefined : toStoredPayload(payload, valuesMax)
  if (wrong.length + unknown.length > 0 || (stored && stored.faults.length > 0))
    return { issues: describe(wrong, unknown, stored?.faults ?? [], naming, at) }
  if (request.runAt !== undefined && request.delayMs !== undefined) {
    const path = join(at, naming === 'camelCase' ? 'delayMs' : 'delay_ms')
    return { issues: [{ path, message: 'give the instant or the delay, not both' }] }
  }
  request.payload = stored ? stored.value : payload
  if (stored) request.converted = stored.converted
  if (request.idempotencyKey !== undefined) request.content = contentOf({ ...job, payload: request.payload }, naming)
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
    throw new InvalidInputError([{ path: '', message: `must be 1 to ${batchMax} jobs, got ${input.length}` }])
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

/**
 * What two requests with one key must share: the request as sent, less the key, in the canonical form of RFC 8785, by its SHA-256. Both
 * front doors give the same for the same request.
 */
function contentOf(input: Record<string, unknown>, naming: Naming): string {
  const sent = Object.entries(input).flatMap(([field, value]) => {
    const wireName = naming === 'camelCase' ? snakeCase(field) : field
    if (wireName === 'idempotency_key' || value === undefined) return []
    const instant = wireName === 'run_at' && typeof value !== 'string'
    return [[wireName, instant ? new Date(value as number | Date).toISOString() : value]]
  })
  return createHash('sha256')
    .update(canonicalize(Object.fromEntries(sent)) ?? '')
    .digest('hex')
}

/** A field whose value is wrong, by its own name and by the one that the caller gave it. */
interface Wrong {
  readonly field: FieldName
  readonly name: string
  readonly message: string
}

/** In the order of the fields, whatever order the caller has them in. */
function describe(
  wrong: readonly Wrong[],
  unknown: readonly string[],
  payloadFaults: StoredPayload['faults'],
  naming: Naming,
  at: string,
): InputIssue[] {
  // There are no such jobs.
  if (unknown.length > unknownMax) return unknownFields(unknown, naming, at)
  return [
    ...wrong
      .toSorted((a, b) => fieldNames.indexOf(a.field) - fieldNames.indexOf(b.field))
      .map(({ name, message }) => ({ path: join(at, name), message })),
    ...unknownFields(unknown, naming, at),
    ...payloadFaults.map(({ path, message }) => ({ path: join(at, `payload${path}`), message })),
  ]
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
