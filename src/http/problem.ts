import { STATUS_CODES } from 'node:http'
import {
  BackpressureError,
  BulkStateError,
  IdempotencyConflictError,
  IllegalTransitionError,
  type InputIssue,
  InvalidInputError,
  JobSystemError,
  UnavailableError,
} from '../errors.ts'
import { refusalOf } from './refusals.ts'
import { reply } from './reply.ts'

/** Characters of one text in an answer, which may quote what the caller sent: megabytes come back as a line. */
const textMax = 1_000

/** A request that is refused before it reaches the system. */
export class HttpError extends JobSystemError {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>

  constructor(status: number, code: string, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(code, message)
    this.status = status
    this.headers = headers
  }
}

/** A refusal as it is told: RFC 9457, with `code` and `message` for programs and people. */
export interface Problem {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: {
    readonly type: string
    readonly title: string
    readonly status: number
    readonly detail: string
    readonly code: string
    readonly message: string
    readonly errors?: readonly InputIssue[]
  }
}

/** The answer to a request that failed. */
export function problem(error: unknown): Response {
  const { status, headers, body } = toProblem(error)
  return reply(body, status, { ...headers, 'content-type': 'application/problem+json' })
}

export function toProblem(error: unknown): Problem {
  if (error instanceof HttpError) return describe(error.status, error.code, error.message, {}, error.headers)
  const refusal = error instanceof JobSystemError ? refusalOf(error.code) : undefined
  if (!(error instanceof JobSystemError) || !refusal) {
    return describe(500, 'internal_error', 'something went wrong here; the log says what')
  }
  return describe(refusal.status, error.code, error.message, membersOf(error), headersOf(error))
}

/** Whether an error is a fault of ours, which the log must tell. */
export function isOurFault(error: unknown): boolean {
  return !(error instanceof HttpError) && !(error instanceof JobSystemError && refusalOf(error.code))
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
  code: string,
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
