import { isAsyncFunction, isGeneratorFunction } from 'node:util/types'
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { namePattern, timeoutMaxMs } from '../config.ts'
import { type InputIssue, PayloadError } from '../errors.ts'
import { didYouMean } from '../job/did-you-mean.ts'
import type { Backoff } from './backoff.ts'

/** Structured, one line each, with the job's id and type; never put a payload in it. */
interface JobLog {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** What a handler knows of the attempt it makes. */
export interface JobContext {
  readonly jobId: number
  /** From 1. */
  readonly attempt: number
  readonly maxAttempts: number
  /** The same for every attempt of the job and for no other job of any database: for effects that must not be repeated. */
  readonly idempotencyToken: string
  /** Fires when the attempt should end: its timeout, a cancellation, a lost lease, the end of a shutdown's grace. `reason` tells which. */
  readonly signal: AbortSignal
  readonly log: JobLog
}

/** What runs the jobs of one type. Made by `defineHandler`. */
export interface Handler<Output = unknown, Input = unknown, Type extends string = string> {
  readonly type: Type
  readonly payload: StandardSchemaV1<Input, Output>
  /**
   * Makes one attempt. Resolving means done. Throwing means failed, to be retried while attempts remain; `PermanentError` means never
   * again, `RetryAfterError` sets the delay, `SnoozeError` means later, without counting. The returned value is not kept.
   */
  // A method, so that handlers of different payloads fit one list.
  run(payload: Output, context: JobContext): unknown
  /**
   * Limit for one attempt in ms; the job's own wins over it, the settings' `jobTimeoutMs` stands where neither is given. Time in which the
   * process did not run does not count.
   */
  readonly timeoutMs?: number
  /** Attempts in all where the job does not say; 4 unless given. */
  readonly maxAttempts?: number
  /** The delay before the next attempt; the settings' exponential backoff unless given. */
  readonly backoffMs?: Backoff
}

/** One more than the retries that a job may have. */
const attemptsMax = 1_001

/**
 * Declares what runs the jobs of a type; `run`'s payload is typed by the schema, any Standard Schema (zod, valibot, arktype). Throws
 * `TypeError` at once where the declaration cannot work, a schema that validates asynchronously included: jobs are checked inside `enqueue`.
 */
export function defineHandler<Output, Input, const Type extends string>(
  handler: Handler<Output, Input, Type>,
): Handler<Output, Input, Type> {
  if (typeof handler !== 'object' || handler === null) {
    throw new TypeError(
      `a handler must be an object of type, payload and run, got ${handler === null ? 'null' : typeof handler}`,
    )
  }
  const { type, payload, run, timeoutMs, maxAttempts, backoffMs } = handler
  const name = `handler ${JSON.stringify(type)}`
  if (typeof type !== 'string' || !namePattern.test(type))
    throw new TypeError(`${name}: type must match ${namePattern}`)
  assertKnown(name, handler)
  if (typeof run !== 'function') throw new TypeError(`${name}: run must be a function`)
  if (isGeneratorFunction(run)) {
    throw new TypeError(`${name}: run is a generator function, of which nothing would run; use an async function`)
  }
  assertSchema(name, payload)
  assertWithin(name, 'timeoutMs', timeoutMs, timeoutMaxMs)
  assertWithin(name, 'maxAttempts', maxAttempts, attemptsMax)
  if (backoffMs !== undefined && (typeof backoffMs !== 'function' || isAsyncOrGenerator(backoffMs))) {
    throw new TypeError(`${name}: backoffMs must be a function that returns a number of milliseconds`)
  }
  return handler
}

const members: Readonly<Record<keyof Handler, true>> = {
  type: true,
  payload: true,
  run: true,
  timeoutMs: true,
  maxAttempts: true,
  backoffMs: true,
}

/** An instance of a class of the user's may have more: what it needs to run. */
function assertKnown(name: string, handler: object): void {
  const prototype = Object.getPrototypeOf(handler)
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) return
  const known = Object.keys(members)
  const unknown = Object.keys(handler).find((member) => !known.includes(member))
  if (unknown === undefined) return
  throw new TypeError(
    `${name}: ${unknown} is no member of a handler${didYouMean(unknown, known) || `; they are ${known.join(', ')}`}`,
  )
}

function assertSchema(name: string, schema: StandardSchemaV1 | undefined): void {
  if (typeof schema?.['~standard']?.validate !== 'function') {
    throw new TypeError(`${name}: payload must be a Standard Schema (zod, valibot, arktype, …)`)
  }
  if (isPromise(schema['~standard'].validate(undefined))) {
    throw new TypeError(`${name}: payload's schema validates asynchronously, or throws; jobs are checked synchronously`)
  }
}

function isAsyncOrGenerator(given: (...given: never[]) => unknown): boolean {
  return isAsyncFunction(given) || isGeneratorFunction(given)
}

type Checked<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly InputIssue[] }

/** The payload as the handler takes it, or what is wrong with it, the paths below `at`. */
export function checkPayload<Output>(handler: Handler<Output>, payload: unknown, at: string): Checked<Output> {
  const result = handler.payload['~standard'].validate(payload)
  if (isPromise(result)) throw new TypeError(`the schema of ${handler.type} threw, or validates asynchronously`)
  if (!result.issues) return result
  // A library may have found one for each member.
  const issues = result.issues.slice(0, PayloadError.issuesMax)
  return { issues: issues.map((issue) => ({ path: pathOf(at, issue), message: issue.message })) }
}

/** Zod answers a check that throws with a promise that rejects: left alone, that rejection would end the process. */
function isPromise<T>(result: T | Promise<T>): result is Promise<T> {
  // Of any library or realm, so not by its class.
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

function assertWithin(name: string, field: string, value: number | undefined, max: number): void {
  if (value === undefined || (Number.isSafeInteger(value) && value >= 1 && value <= max)) return
  throw new TypeError(`${name}: ${field} must be a whole number from 1 to ${max}, got ${value}`)
}

// biome-ignore lint/suspicious/noExplicitAny: handlers of different payloads stand in one registry; each checks its own
export type AnyHandler = Handler<any, any>
