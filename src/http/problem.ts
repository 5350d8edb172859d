import { STATUS_CODES } from 'node:http'
import { z } from 'zod'
import { bulkPhases, eventTypes } from '../engine/front-door.ts'
import {
  BackpressureError,
  BulkStateError,
  IdempotencyConflictError,
  IllegalTransitionError,
  InvalidInputError,
  JobCancelledError,
  JobFailedError,
  JobSystemError,
  UnavailableError,
  UniqueConflictError,
} from '../errors.ts'
import { type ApiErrorCode, apiErrorCodes, apiErrors } from './api-errors.ts'
import { reply } from './reply.ts'
import { count, jobId, named, state, type Wire } from './wire.ts'

const fault = named(
  'Fault',
  z.strictObject({
    path: z.string().describe('The field or parameter; for an item of an array it begins with its index.'),
    message: z.string().describe('What it must be.'),
  }),
)

export const problemSchema = named(
  'Problem',
  z
    .strictObject({
      type: z.string(),
      title: z.string(),
      status: z.int(),
      detail: z.string().describe('The same as `message`.'),
      code: z.enum(apiErrorCodes).describe('For programs: it is stable.'),
      message: z.string().describe('For people: it may change.'),
      errors: z.array(fault).optional().describe('For wrong input: one for each fault, at most 100.'),
      id: jobId.nullable().optional().describe('For a conflict: the job.'),
      phase: z.enum(bulkPhases).optional().describe('The phase of the bulk action.'),
      matched: count.optional().describe('The count of the bulk action.'),
      state: state.optional().describe('For an illegal transition: the state of the job.'),
      events: z
        .array(z.enum(eventTypes))
        .optional()
        .describe('For an illegal transition: the events that the machine allows in that state.'),
    })
    .describe('An error, as RFC 9457 defines it.'),
)

/** Characters of one text in an answer, which may quote what the caller sent, so that megabytes come back as a line. */
const textMax = 1_000

/** A request that is refused before it reaches the system. */
export class HttpError extends JobSystemError {
  declare readonly code: ApiErrorCode
  readonly status: number
  readonly headers: Readonly<Record<string, string>>

  constructor(status: number, code: ApiErrorCode, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(code, message)
    this.status = status
    this.headers = headers
  }
}

/** An error answer: RFC 9457, with `code` and `message` for programs and people. */
interface Problem {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Wire<typeof problemSchema>
}

/** The answer to a request that failed. */
export function problem(error: unknown): Response {
  const { status, headers, body } = toProblem(error)
  return reply(body, status, { ...headers, 'content-type': 'application/problem+json' })
}

export function toProblem(error: unknown): Problem {
  if (error instanceof HttpError) return describe(error.status, error.code, error.message, {}, error.headers)
  if (!(error instanceof JobSystemError && isApiErrorCode(error.code))) {
    return describe(500, 'internal_error', 'an internal error occurred; see the server log')
  }
  return describe(apiErrors[error.code].status, error.code, error.message, membersOf(error), headersOf(error))
}

/** Whether an error is a bug of the server, which must be logged. */
export function isServerError(error: unknown): boolean {
  return !(error instanceof HttpError) && !(error instanceof JobSystemError && isApiErrorCode(error.code))
}

function isApiErrorCode(code: string): code is ApiErrorCode {
  return Object.hasOwn(apiErrors, code)
}

function membersOf(error: JobSystemError): object {
  if (error instanceof InvalidInputError) return { errors: error.issues }
  if (error instanceof IllegalTransitionError) return { id: error.jobId, state: error.state, events: error.events }
  if (error instanceof JobFailedError || error instanceof JobCancelledError) return { id: error.jobId ?? null }
  if (error instanceof BulkStateError) return { phase: error.phase, matched: error.matched }
  if (error instanceof IdempotencyConflictError) return conflictMembers(error, 'idempotency_key')
  if (error instanceof UniqueConflictError) return conflictMembers(error, 'unique')
  return {}
}

function conflictMembers({ jobId, index, message }: IdempotencyConflictError | UniqueConflictError, field: string) {
  return { id: jobId, ...(index === null ? {} : { errors: [{ path: `${index}.${field}`, message }] }) }
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
  code: ApiErrorCode,
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
