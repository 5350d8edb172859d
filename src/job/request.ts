import { createHash } from 'node:crypto'
import { defaultMaxRetries, enqueueBatchMax, type Settings } from '../config.ts'
import { type InputIssue, InvalidInputError, PayloadError } from '../errors.ts'
import { canonicalJson } from './canonical-json.ts'
import { didYouMean } from './did-you-mean.ts'
import {
  fieldsNamed,
  type MutableName,
  type NamedField,
  type Naming,
  type NewJob,
  type StoredName,
  snakeCase,
  storedFields,
} from './fields.ts'
import { toStoredPayload } from './payload.ts'
import { Rejection } from './rejection.ts'
import type { NewJobRow } from './row.ts'
import type { UniqueTerms } from './unique.ts'

/** What a job must satisfy besides the limits of its fields. */
interface Rules {
  readonly settings: Pick<Settings, 'maxPayloadBytes' | 'maxPayloadValues'>
  /** The system's handlers; null for a producer, which cannot check payloads and stores any type. */
  readonly registry: {
    check(
      type: string,
      payload: unknown,
      at: string,
      converted?: Converted,
    ): { readonly maxRetries?: number } | Rejection
  } | null
}

/** By path below `payload`, the class of the value that its `toJSON` converted to JSON. */
type Converted = ReadonlyMap<string, string>

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] }

/** A job whose fields were checked. */
interface JobRequest {
  /** Complete, except for the payload, the cause, and the attempts unless the caller set them. */
  readonly row: Mutable<NewJobRow>
  readonly payload: unknown
  /** Undefined if nothing was converted. */
  readonly converted: Converted | undefined
  /** The length of the payload's text, once it was made. */
  size: number
}

/** In a row, until its handler or the default fills it in. */
const attemptsUnset = 0
/** The most unknown fields of one job that one error lists. */
const unknownMax = 100

/** What an item of an array counts besides its payload's characters, and after how many characters `toRows` pauses. */
const itemSize = 1_024
const pauseSize = 16_384

const fieldNames = [...fieldsNamed.camelCase.keys()]

// Each row is a copy of this one: building an object field by field takes ten times as long.
const emptyRow = {
  ...Object.fromEntries(
    storedFields.map(([name, { unset, isJson }]) => [name, isJson ? JSON.stringify(unset) : unset]),
  ),
  payload: '',
  maxAttempts: attemptsUnset,
  runAt: null,
  delayMs: null,
  idempotency: null,
  unique: null,
  cause: null,
  trace: null,
} as unknown as Mutable<NewJobRow>

/**
 * Converts a caller's input into a row to store; `cause` is stored in the row. Throws `InvalidInputError`, `UnknownTypeError` or
 * `PayloadError` with every fault.
 */
export function toRow(input: unknown, naming: Naming, cause: string, rules: Rules): NewJobRow {
  const parsed = parse(input, naming, '', rules)
  if (Array.isArray(parsed)) throw new InvalidInputError(parsed)
  const row = checked(parsed, cause, '', rules)
  if (row instanceof Rejection) throw row.toError()
  return row
}

/**
 * The same for an array of jobs. Throws `InvalidInputError` with the faults of the fields of all items, or else with what their handlers
 * refuse (if only one item fails its handler, `UnknownTypeError` or `PayloadError`). It stops once it has as many faults as one error
 * lists. If nobody else can change the input meanwhile, as with HTTP, it pauses after every few items, or a large one.
 */
export function* toRows(
  input: readonly unknown[],
  naming: Naming,
  cause: string,
  rules: Rules,
): Generator<void, NewJobRow[]> {
  if (input.length === 0 || input.length > enqueueBatchMax) {
    throw new InvalidInputError([{ path: '', message: `must be 1 to ${enqueueBatchMax} jobs, got ${input.length}` }])
  }
  const isPaced = naming === 'snake_case'
  const rows: NewJobRow[] = []
  const issues: InputIssue[] = []
  const refused: InputIssue[] = []
  const rejections: Rejection[] = []
  let size = 0
  for (let index = 0; index < input.length && issues.length < InvalidInputError.issuesMax; index++) {
    const parsed = parse(input[index], naming, `${index}`, rules)
    size += itemSize
    if (Array.isArray(parsed)) issues.push(...parsed)
    else if (issues.length === 0 && refused.length < InvalidInputError.issuesMax) {
      const row = checked(parsed, cause, `${index}`, rules)
      size += parsed.size
      if (row instanceof Rejection) {
        rejections.push(row)
        refused.push(...row.issues)
      } else rows.push(row)
    }
    if (!isPaced || size < pauseSize) continue
    size = 0
    yield
  }
  if (issues.length > 0) throw new InvalidInputError(issues)
  if (rejections.length === 1) throw rejections[0]!.toError()
  if (rejections.length > 1) throw new InvalidInputError(refused)
  return rows
}

/** What may be changed of a job that waits, by the names of its fields, as the store calls it. */
const storedAs = {
  payload: 'payload',
  priority: 'priority',
  maxRetries: 'maxAttempts',
  runAt: 'runAt',
  delayMs: 'delayMs',
} as const satisfies Readonly<Record<MutableName, keyof NewJobRow>>
const changeable: ReadonlyMap<string, keyof NewJobRow> = new Map(Object.entries(storedAs))

/** Stands for a payload that stays as it is. */
const unchanged = { payload: null }

/** Converts what a caller wants to change of a job of `type` into JSON text for the store. Throws as `toRow` does. */
export function toChanges(input: unknown, type: string, naming: Naming, rules: Rules): string {
  const given = typeof input === 'object' && input !== null && !Array.isArray(input) ? input : {}
  const set = Object.entries(given).filter(([, value]) => value !== undefined)
  const known = fieldsNamed[naming]
  const names = [...known].flatMap(([name, { field }]) => (changeable.has(field) ? [name] : []))
  if (set.length === 0) throw new InvalidInputError([{ path: '', message: `must set one of ${names.join(', ')}` }])
  const fixed = set.filter(([name]) => known.has(name) && !names.includes(name))
  if (fixed.length > 0)
    throw new InvalidInputError(
      fixed.map(([name]) => ({ path: name, message: `cannot be changed; ${names.join(', ')} can` })),
    )
  const parsed = parse({ ...unchanged, ...Object.fromEntries(set), type }, naming, '', rules)
  if (Array.isArray(parsed)) throw new InvalidInputError(parsed)
  const row = set.some(([name]) => name === 'payload') ? checked(parsed, '', '', rules) : parsed.row
  if (row instanceof Rejection) throw row.toError()
  const fields = set.map(([name]) => changeable.get(known.get(name)!.field)!)
  return JSON.stringify(Object.fromEntries(fields.map((name) => [name, row[name]])))
}

/**
 * Checks the fields of one job and lists every fault, with its path in the caller's names, below `at` if it is in an array. It visits only
 * the fields that are present, because a schema of the whole job would spend most of its time on the others.
 */
function parse(input: unknown, naming: Naming, at: string, { settings }: Rules): JobRequest | InputIssue[] {
  if (typeof input !== 'object' || input === null || Array.isArray(input))
    return [{ path: at, message: 'must be an object that describes one job' }]
  const known = fieldsNamed[naming]
  const job = input as Record<string, unknown>
  const row = { ...emptyRow }
  let key: string | undefined
  let replaceDead = false
  let wrong: Wrong[] | undefined
  let unknown: string[] | undefined
  // Nothing is allocated for a job without a fault, so neither does `Object.keys`.
  for (const name in job) {
    if (!Object.hasOwn(job, name)) continue
    const about = known.get(name)
    if (!about) unknown = added(unknown, name)
    const value = job[name]
    if (!about || about.field === 'payload' || value === undefined) continue
    const { field, stored } = about
    const data = about.read(value)
    if (data === undefined) wrong = added(wrong, faultOf(about, name, value))
    else if (stored) row[field as StoredName] = (stored.isJson ? JSON.stringify(data) : data) as never
    else if (field === 'idempotencyKey') key = data as string
    else if (field === 'replaceDead') replaceDead = data as boolean
    else if (field === 'unique') row.unique = data as UniqueTerms
    else if (field === 'maxRetries') row.maxAttempts = (data as number) + 1
    else row[field as 'runAt' | 'delayMs'] = data as number
  }
  if (row.type === '' && !wrong?.some(({ field }) => field === 'type'))
    wrong = added(wrong, { field: 'type', name: 'type', message: 'is required' })
  const { payload } = job
  const stored = toStoredPayload(payload, settings.maxPayloadValues)
  if (wrong || unknown || (stored && stored.faults.length > 0))
    return describe(wrong ?? [], unknown ?? [], stored?.faults ?? [], naming, at)
  const misfit = replaceDead && key === undefined ? replacesNothing(naming) : misfitOf(row, naming)
  if (misfit) return [{ path: join(at, misfit.path), message: misfit.message }]
  const kept = stored ? stored.value : payload
  if (key !== undefined) {
    const content = contentOf({ ...job, payload: kept }, naming)
    row.idempotency = replaceDead ? { key, content, replaceDead } : { key, content }
  }
  return { row, payload: kept, converted: stored?.converted, size: 0 }
}

/**
 * Converts a request into a row to store, checked against its handler. A job's own fields override its handler's, and those override the
 * settings; a timeout is filled in only when the job runs. `at` is the prefix of the faults' paths.
 */
function checked(request: JobRequest, cause: string, at: string, { settings, registry }: Rules): NewJobRow | Rejection {
  const { row, converted } = request
  const payload = JSON.stringify(request.payload)
  request.size = payload.length
  // Checked before a schema sees it. Most payloads need not be counted, because no UTF-16 unit takes more than three bytes.
  const tooLarge = payload.length * 3 > settings.maxPayloadBytes && refuseSize(payload, settings.maxPayloadBytes, at)
  if (tooLarge) return tooLarge
  const handler = registry?.check(row.type, request.payload, at, converted)
  if (handler instanceof Rejection) return handler
  row.payload = payload
  if (row.maxAttempts === attemptsUnset) row.maxAttempts = (handler?.maxRetries ?? defaultMaxRetries) + 1
  row.cause = cause
  return row
}

function refuseSize(json: string, maxBytes: number, at: string): Rejection | undefined {
  const bytes = Buffer.byteLength(json)
  if (bytes <= maxBytes) return
  const issues = [{ path: join(at, 'payload'), message: `has ${bytes} bytes as JSON; the limit is ${maxBytes}` }]
  return new Rejection(issues, () => new PayloadError(issues))
}

/**
 * What two requests with one key must have in common: the SHA-256 of the request as sent, without the key and `replace_dead`, in the canonical form of RFC
 * 8785. Both front doors give the same result for the same request.
 */
function contentOf(input: Record<string, unknown>, naming: Naming): string {
  const sent = Object.entries(input).flatMap(([field, value]) => {
    const wireName = naming === 'camelCase' ? snakeCase(field) : field
    if (wireName === 'idempotency_key' || wireName === 'replace_dead' || value === undefined) return []
    const instant = wireName === 'run_at' && typeof value !== 'string'
    return [[wireName, instant ? new Date(value as number | Date).toISOString() : value]]
  })
  return createHash('sha256')
    .update(canonicalJson(Object.fromEntries(sent)))
    .digest('hex')
}

/** A field with a wrong value, by its own name and by the caller's. */
interface Wrong {
  readonly field: keyof NewJob
  readonly name: string
  readonly message: string
}

function added<T>(list: T[] = [], item: T): T[] {
  list.push(item)
  return list
}

function replacesNothing(naming: Naming): InputIssue {
  return { path: naming === 'camelCase' ? 'replaceDead' : 'replace_dead', message: 'needs an idempotency key' }
}

/** What is wrong with fields that are each valid by themselves. */
function misfitOf(
  { runAt, delayMs, unique }: Pick<NewJobRow, 'runAt' | 'delayMs' | 'unique'>,
  naming: Naming,
): InputIssue | undefined {
  // Names only if there is a fault: this runs for every job, and `snakeCase` takes 0.2 µs.
  const named = (camel: string) => (naming === 'camelCase' ? camel : snakeCase(camel))
  if (runAt !== null && delayMs !== null)
    return { path: named('delayMs'), message: `set either ${named('runAt')} or ${named('delayMs')}, not both` }
  if (!unique) return
  const isDebounced = unique.onConflict === 'debounce'
  if (isDebounced && runAt === null && delayMs === null) {
    const message = 'is required with debounce: for how long the job waits for the next request'
    return { path: named('delayMs'), message }
  }
  if (!isDebounced && unique.maxWaitMs !== undefined)
    return { path: `unique.${named('maxWaitMs')}`, message: 'is only for debounce' }
  return
}

function faultOf(about: NamedField, name: string, value: unknown): Wrong {
  const { message, below } = about.faultOf(value)
  return { field: about.field, name: `${name}${below}`, message }
}

/** In the order of the fields, whatever the caller's order. */
function describe(
  wrong: readonly Wrong[],
  unknown: readonly string[],
  payloadFaults: readonly InputIssue[],
  naming: Naming,
  at: string,
): InputIssue[] {
  // No valid job has that many fields.
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
