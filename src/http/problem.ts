import { STATUS_CODES } from 'node:http'
import {
  BackpressureError,
  BulkStateError,
  IdempotencyConflictError,
  IllegalTransitionError,
  InvalidInputError,
  JobSystemError,
  UnavailableError,
} from '../errors.ts'
import { isRefusalCode, type RefusalCode, refusals } from './refusals.ts'
import { reply } from './reply.ts'
import type { problem as problemSchema } from './wire/problem.ts'
import type { Wire } from './wire/wire.ts'

type ProblemBody = Wire<typeof problemSchema>

/** Characters of one text in an answer, which may quote what the caller sent: megabytes come back as a line. */
const textMax = 1_000

/** A request that is refused before it reaches the system. */
export class HttpError extends JobSystemError {
  declare readonly code: RefusalCode
  readonly status: number
  readonly headers: Readonly<Record<string, string>>

  constructor(status: number, code: RefusalCode, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(code, message)
    this.status = status
    this.headers = headers
  }
}

/** A refusal as it is told: RFC 9457, with `code` and `message` for programs and people. */
export interface Problem {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: ProblemBody
}

/** The answer to a request that failed. */
export function problem(error: unknown): Response {
  const { status, headers, body } = toProblem(error)
  return reply(body, status, { ...headers, 'content-type': 'application/problem+json' })
}

export function toProblem(error: unknown): Problem {
  if (error instanceof HttpError) return describe(error.status, error.code, error.message, {}, error.headers)
  if (!(error instanceof JobSystemError && isRefusalCode(error.code))) {
    return describe(500, 'internal_error', 'something went wrong here; the log says what')
  }
  return describe(refusals[error.code].status, error.code, error.message, membersOf(error), headersOf(error))
}

/** Whether an error is a fault of ours, which the log must tell. */
export function isServerError(error: unknown): boolean {
  return !(error instanceof HttpError) && !(error instanceof JobSystemError && isRefusalCode(error.code))
}

function membersOf(error: JobSystemError): object {
  if (error instanceof InvalidInputError) return { errors: error.issues }
  if (error instanceof IllegalTransitionError) return { id: error.jobId, state: error.state, events: error.events }
  if (error instanceof BulkStateError) return { phase: error.phase, matched: error.matched }
  if (error instanceof IdempotencyConflictError) {
    const errors = error.index === null ? [] : [{ path: `${error.index}.idempotency_key`, message: error.message }]
    return { id: error.jobId, ...(errors.length > 0 ? { errors } : {}) }
  }
  return {}
}

function headersOf(error: JobSystemError): Record<string, string> {
  if (!(error instanceof BackpressureError || error instanceof UnavailableError)) return {}
  return { 'retry-after': `${Math.ceil(error.retryAfterMs / 1_000)}` }
}

function shortened(text: string): string {
  return text.length > textMax ? `${text.slice(0, textMax)}…`.toWellFormed() : text
}

function describe(
  status: number,
  code: RefusalCode,
  text: string,
  members: object = {},
  headers: Readonly<Record<string, string>> = {},
): Problem {
  const message = shortened(text)
  const title = STATUS_CODES[status] ?? 'Error'
  return {
    status,
    headers,
    body: { type: `urn:jobmachine:${code}`, title, status, detail: message, code, message, ...members },
  }
}
