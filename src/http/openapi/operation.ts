import type { Context } from 'hono'
import type { z } from 'zod'
import { commands } from '../../engine/front-door.ts'
import { type ApiErrorCode, apiErrorCodes } from '../api-errors.ts'
import type { ReadLimit } from '../read-limits.ts'
import { type Env, parametersOf } from '../request.ts'

export const tags = {
  Jobs: `Create jobs, see what they do, ${commands.join(' and ')} them.`,
  Schedules: 'What makes jobs at given times.',
  Machines: 'The state machines of the system, with current counts.',
  Server: 'How the server is doing.',
  Description: 'This, for programs.',
}

/** The successful answers, and error answers that are not problem documents. */
interface Answer {
  readonly description: string
  /** A named schema of JSON. */
  readonly body?: z.ZodType
  /** The media types of answers other than JSON. */
  readonly texts?: readonly string[]
  /** The headers besides those of every answer; openapi.ts describes them. */
  readonly headers?: readonly string[]
}

/** One valid request, answered with `status` after the requests of the operations before it. */
interface Example {
  readonly summary: string
  readonly status: number
  /** One job, or an array of jobs. */
  readonly body?: unknown
  readonly query?: string
  /** Whether the answer never ends by itself. */
  readonly isEndless?: true
}

/** The description of one method of one path, for people and programs. */
export interface Operation {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** As in the routes: `/jobs/:id`. */
  readonly path: string
  readonly id: string
  readonly tag: keyof typeof tags
  readonly summary: string
  readonly description?: string
  /** The schema with which the handler parses its query; without one the query is ignored. */
  readonly query?: z.ZodObject
  /** A named schema. */
  readonly body?: z.ZodType
  /** Whether it may be left out, which is `undefined` for the handler. */
  readonly isBodyOptional?: true
  readonly answers: Readonly<Record<number, Answer>>
  /** In addition to those that follow from the other members: see `errorCodesOf`. */
  readonly errors?: readonly ApiErrorCode[]
  /** The first is shown as a command. */
  readonly examples: readonly [Example, ...Example[]]
  /** For a read: what limits its answers. */
  readonly limit?: ReadLimit | ((c: Context<Env>) => ReadLimit)
  /** Whether it answers without the token, and whatever the system does. */
  readonly isOpen?: true
}

/** Every error code of an operation, by rising status. `needsToken`: a token is required. */
export function errorCodesOf(operation: Operation, needsToken: boolean): ApiErrorCode[] {
  const { method, path, query, body, limit = 'none', errors = [], isOpen = false } = operation
  const all = new Set<ApiErrorCode>(['bad_request', 'forbidden_host', 'foreign_origin', ...errors])
  if (needsToken && !isOpen) for (const code of ['unauthorized', 'too_many_guesses'] as const) all.add(code)
  if (!isOpen) for (const code of ['forbidden', 'unavailable'] as const) all.add(code)
  for (const { error } of parametersOf(path)) all.add(error)
  if (query) all.add('invalid_input')
  if (limit !== 'none') all.add('backpressure')
  if (method !== 'GET') for (const code of ['backpressure', 'storage_full', 'outcome_unknown'] as const) all.add(code)
  if (body) for (const code of ofBodies) all.add(code)
  return apiErrorCodes.filter((code) => all.has(code))
}

const ofBodies = [
  'incomplete_body',
  'invalid_json',
  'invalid_input',
  'payload_too_large',
  'unsupported_media_type',
] as const

/** The examples, except those with a job of a type without a handler here. */
export function examplesOf({ examples }: Operation, types: readonly string[]): Example[] {
  const isKnown = ({ type }: { readonly type?: string }) => type === undefined || types.includes(type)
  return examples.filter(({ body = [] }) => [body].flat().every((part) => isKnown(part as object)))
}

/** A route's path as OpenAPI writes it: `/jobs/{id}`. */
export function templateOf(path: string): string {
  return path.replace(/:(\w+)/g, '{$1}')
}
