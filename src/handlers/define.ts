import { isAsyncFunction, isGeneratorFunction } from 'node:util/types'
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { namePattern, retriesMax, shown, timeoutMaxMs } from '../config.ts'
import { type InputIssue, PayloadError } from '../errors.ts'
import type { TransactionClient } from '../job/client.ts'
import { didYouMean } from '../job/did-you-mean.ts'
import type { Backoff } from './backoff.ts'

/**
 * Structured lines, with the id and type of the job, in the log of the process. They are also kept with the job, at most 1,000 lines and
 * 256 KiB, the newest, unless `keepLog` or `keepLogs` is false. Never log a payload or a secret.
 */
interface JobLog {
  /** With fields and a message, or with a message alone. */
  info(fields: object | string, message?: string): void
  warn(fields: object | string, message?: string): void
  error(fields: object | string, message?: string): void
}

/** The schedule that made a job, and what the job stands for; instants in epoch ms. */
interface JobSchedule {
  readonly name: string
  /** The tick for which the job was made, also if that was late; null if a user triggered the schedule beside its ticks. */
  readonly tick: number | null
  /**
   * How many missed ticks the job stands for, its own included; 0 if it stands for its own tick alone. A lower bound if more than 10,000
   * ticks were missed.
   */
  readonly missed: number
  /** The first of them; null if there is none, or an earlier version made the job. */
  readonly firstMissed: number | null
}

/** What a handler knows about its attempt. */
export interface JobContext {
  readonly jobId: number
  /** From 1. */
  readonly attempt: number
  /** The retries of the job (`maxRetries`) and its first attempt: with `attempt === maxAttempts` this is the last one that may fail. */
  readonly maxAttempts: number
  /**
   * The same for every attempt of the job, and different from that of any other job in any database: for effects that must not be repeated.
   */
  readonly idempotencyToken: string
  /**
   * Fires when the attempt should end: on timeout, cancellation, a lost lease, or the end of the grace period at shutdown. `reason` says
   * which.
   */
  readonly signal: AbortSignal
  readonly log: JobLog
  /**
   * Stores a line with the end of this attempt in the history, such as a receiver's answer or a result. The job's page and `explain` show
   * it. At most 1,000 characters; the last note counts. Never note a payload or a secret.
   */
  readonly note: (text: string) => void
  /**
   * Reports how far the job is: a number from 0 to 100 (percent), `{ done, total }`, or any JSON value of at most 4,096 bytes. Its page
   * shows it, and `find` returns it. The last value is kept, also when a new attempt begins; it is stored within a second, and with the end
   * of the attempt. It never fails a job: a value that cannot be kept is reported in the log.
   */
  readonly progress: (value: unknown) => void
  /**
   * Lets this job succeed with a transaction that you have begun on `client`: if it commits, the job has succeeded, together with all else
   * that it wrote; if it does not, neither has happened. `result` is what the job's result is then; what the handler returns is not. Call
   * it once, before you commit, and then return. Rejects with `ResultError` if that cannot be kept. Rejects with `LeaseLostError` if
   * the job is another worker's now, or was cancelled; that transaction cannot commit any more. If that happens later, its commit fails.
   * If the handler returns and the transaction was not committed, the attempt has failed. Needs PostgreSQL; rejects with
   * `InvalidInputError` on SQLite, and if the client is not in a transaction on the database of this system.
   */
  readonly complete: (client: TransactionClient, result?: unknown) => Promise<void>
  /**
   * Reads which schedule made the job, and for which tick, from the first event of the job; null if none did. The same in each attempt.
   * Rejects with `UnavailableError` if the store cannot be read now.
   */
  readonly schedule: () => Promise<JobSchedule | null>
}

/** Runs the jobs of one type. Made by `defineHandler`. */
export interface Handler<
  Output = unknown,
  Input = unknown,
  Type extends string = string,
  Result = unknown,
  Returned = unknown,
> {
  readonly type: Type
  readonly payload: StandardSchemaV1<Input, Output>
  /**
   * Checks what `run` returns. What it makes of it is kept as the result, and types it for `system.result` and `enqueueAndWait`. Without a
   * schema any JSON is kept.
   */
  readonly result?: StandardSchemaV1<Returned, Result>
  /**
   * Makes one attempt. If it resolves, the job has succeeded. If it throws, the attempt failed and is retried while attempts remain.
   * `PermanentError` stops the retries, `RetryAfterError` sets the delay, `SnoozeError` runs the job later without counting the attempt.
   * The returned value is the result of the job: JSON of at most `maxResultBytes`, or undefined for none. Anything else is a `ResultError`,
   * which no retry can help.
   */
  // A method, not a property, so that handlers of different payloads fit into one list.
  run(payload: Output, context: JobContext): NoInfer<Returned> | Promise<NoInfer<Returned>>
  /**
   * Limit for one attempt in ms. The job's own limit overrides it; if neither is given, `jobTimeoutMs` of the settings applies. Time in
   * which the process did not run does not count.
   */
  readonly timeoutMs?: number
  /** How often an attempt that fails is repeated, unless the job says otherwise; 3 by default. */
  readonly maxRetries?: number
  /** The delay before the next attempt; by default the exponential backoff of the settings. */
  readonly backoffMs?: Backoff
  /** Whether the lines of `context.log` are kept with the job; true by default. The log of the process has them anyway. */
  readonly keepLog?: boolean
}

/**
 * Declares the handler of a type; its schema, any Standard Schema (zod, valibot, arktype), types the payload of `run`. Throws `TypeError`
 * at once if the declaration cannot work. That includes a schema that validates asynchronously, because `enqueue` checks jobs
 * synchronously.
 */
export function defineHandler<Output, Input, const Type extends string, Result = unknown, Returned = unknown>(
  handler: Handler<Output, Input, Type, Result, Returned>,
): Handler<Output, Input, Type, Result, Returned> {
  const wrongKind = kindOf(handler)
  if (wrongKind) throw new TypeError(`a handler must be an object of type, payload and run, got ${wrongKind}`)
  const { type, payload, result, run, timeoutMs, maxRetries, backoffMs, keepLog } = handler
  const name = type === undefined ? 'handler without a type' : `handler ${JSON.stringify(type)}`
  assertKnown(name, handler)
  if (typeof type !== 'string' || !namePattern.test(type)) {
    throw new TypeError(
      `${name}: type must be 1 to 64 letters, digits and . _ : - that begin with a letter or digit, got ${shown(type)}`,
    )
  }
  if (typeof run !== 'function' || isClass(run)) {
    const called = run instanceof Promise ? ': write the function itself, without calling it' : ''
    throw new TypeError(`${name}: run must be a function, got ${isClass(run) ? 'a class' : shown(run)}${called}`)
  }
  if (isGeneratorFunction(run)) {
    throw new TypeError(`${name}: run is a generator function, whose body would not run; use an async function`)
  }
  assertSchema(name, 'payload', payload)
  if (result !== undefined) assertSchema(name, 'result', result)
  assertWithin(name, 'timeoutMs', timeoutMs, 1, timeoutMaxMs)
  assertWithin(name, 'maxRetries', maxRetries, 0, retriesMax)
  if (backoffMs !== undefined && (typeof backoffMs !== 'function' || isAsyncOrGenerator(backoffMs))) {
    throw new TypeError(`${name}: backoffMs must be a function that returns a number of milliseconds`)
  }
  if (keepLog !== undefined && typeof keepLog !== 'boolean')
    throw new TypeError(`${name}: keepLog must be true or false, got ${shown(keepLog)}`)
  return handler
}

/** What was passed instead of a handler, and what to do; undefined for an object. */
function kindOf(given: unknown): string | undefined {
  if (isClass(given)) return `the class ${given.name}; pass an instance of it: new ${given.name}()`
  if (typeof given === 'function') {
    const { name } = given
    return name
      ? `the function ${name}; wrap it: defineHandler({ type, payload, run: ${name} })`
      : 'a function; wrap it: defineHandler({ type, payload, run })'
  }
  if (given instanceof Promise) return 'a promise; await it first'
  if (Array.isArray(given)) return 'an array; list its handlers themselves: [...handlers]'
  if (typeof given !== 'object' || given === null) return shown(given)
  return 'default' in given && !('run' in given) ? 'a module; use its default export' : undefined
}

function isClass(given: unknown): given is { readonly name: string } {
  return typeof given === 'function' && /^class\b/.test(Function.prototype.toString.call(given))
}

const members: Readonly<Record<keyof Handler, true>> = {
  type: true,
  payload: true,
  result: true,
  run: true,
  timeoutMs: true,
  maxRetries: true,
  backoffMs: true,
  keepLog: true,
}

/** An instance of a user's class may have more members, which its `run` needs. */
function assertKnown(name: string, handler: object): void {
  const prototype = Object.getPrototypeOf(handler)
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) return
  const known = Object.keys(members)
  const unknown = Object.keys(handler).find((member) => !known.includes(member))
  if (unknown === undefined) return
  throw new TypeError(
    `${name}: ${unknown} is not a property of a handler${didYouMean(unknown, known) || `; they are ${known.join(', ')}`}`,
  )
}

function assertSchema(name: string, field: 'payload' | 'result', schema: StandardSchemaV1 | undefined): void {
  if (!isSchema(schema)) {
    throw new TypeError(`${name}: ${field} must be a Standard Schema (zod, valibot, arktype, …), ${adviceOn(schema)}`)
  }
  if (isPromise(schema!['~standard'].validate(undefined))) {
    throw new TypeError(
      `${name}: ${field}'s schema validates asynchronously, or throws; jobs are checked synchronously`,
    )
  }
}

function adviceOn(schema: unknown): string {
  if (schema === undefined) return 'but there is none; with zod, z.unknown() accepts any payload'
  const isShape = typeof schema === 'object' && schema !== null && Object.values(schema).some(isSchema)
  return isShape ? 'got an object of schemas; wrap it: z.strictObject({ … })' : `got ${shown(schema)}`
}

function isSchema(value: unknown): boolean {
  return typeof Object(value)['~standard']?.validate === 'function'
}

function isAsyncOrGenerator(given: (...given: never[]) => unknown): boolean {
  return isAsyncFunction(given) || isGeneratorFunction(given)
}

type Checked<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly InputIssue[] }

/** The payload as the handler accepts it, or its faults, with paths below `at`. */
export function checkPayload<Output>(handler: Handler<Output>, payload: unknown, at: string): Checked<Output> {
  return checkBy(handler.payload, handler.type, payload, at)
}

/** A value as a schema of the handler of `type` accepts it, or its faults. */
export function checkBy<Output>(
  schema: StandardSchemaV1<unknown, Output>,
  type: string,
  value: unknown,
  at: string,
): Checked<Output> {
  const result = schema['~standard'].validate(value)
  if (isPromise(result)) throw new TypeError(`the schema of ${type} threw, or validates asynchronously`)
  if (!result.issues) return result
  // A library may report one fault for each member.
  const issues = result.issues.slice(0, PayloadError.issuesMax)
  return { issues: issues.map((issue) => ({ path: pathOf(at, issue), message: issue.message })) }
}

/** If a check throws, zod answers with a promise that rejects; unhandled, that rejection would end the process. */
function isPromise<T>(result: T | Promise<T>): result is Promise<T> {
  // The promise may be from any library or realm, so its class says nothing.
  if (typeof (result as Partial<Promise<T>> | null)?.then !== 'function') return false
  Promise.resolve(result).catch(() => {})
  return true
}

function pathOf(at: string, { path = [] }: StandardSchemaV1.Issue): InputIssue['path'] {
  return path.reduce<string>((parent, segment) => {
    const key = typeof segment === 'object' ? segment.key : segment
    return `${parent}.${String(key)}`
  }, at)
}

function assertWithin(name: string, field: string, value: number | undefined, min: number, max: number): void {
  if (value === undefined || (Number.isSafeInteger(value) && value >= min && value <= max)) return
  throw new TypeError(`${name}: ${field} must be a whole number from ${min} to ${max}, got ${value}`)
}

// biome-ignore lint/suspicious/noExplicitAny: handlers of different payloads stand in one registry; each checks its own
export type AnyHandler = Handler<any, any>
