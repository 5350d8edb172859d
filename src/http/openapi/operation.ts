import type { Context } from 'hono'
import type { z } from 'zod'
import { commands } from '../../engine/front-door.ts'
import { type ApiErrorCode, apiErrorCodes } from '../api-errors.ts'
import type { ReadLimit } from '../read-limits.ts'
import { type Env, parametersOf } from '../request.ts'

export const tags = {
  Jobs: `Create jobs, see what they do, ${new Intl.ListFormat('en-GB').format(commands)} them.`,
  Machines: 'The state machines that decide all, with what is in them.',
  Server: 'How the server is doing.',
  Description: 'This, for programs.',
}

/** The answers if all went well, and error answers that are not problem documents. */
interface Answer {
  readonly description: string
  /** Of JSON; one that has a name. */
  readonly body?: z.ZodType
  /** The media types of what is no JSON. */
  readonly texts?: readonly string[]
  /** Those that it has besides every answer's; openapi.ts describes them. */
  readonly headers?: readonly string[]
}

/** One request that is taken, with `status`, once the requests of the operations before it were made. */
interface Example {
  readonly summary: string
  readonly status: number
  /** Of one job, or an array of jobs. */
  readonly body?: unknown
  readonly query?: string
  /** Its answer never ends by itself. */
  readonly isEndless?: true
}

/** The description of one method of one path, for people and programs. */
export interface Operation {
  readonly method: 'GET' | 'POST'
  /** As the routes have it: `/jobs/:id`. */
  readonly path: string
  readonly id: string
  readonly tag: keyof typeof tags
  readonly summary: string
  readonly description?: string
  /** The schema that the handler parses its query by; without one the query is not looked at. */
  readonly query?: z.ZodObject
  /** One that has a name. */
  readonly body?: z.ZodType
  /** It may be left out: `undefined` for the handler. */
  readonly isBodyOptional?: true
  readonly answers: Readonly<Record<number, Answer>>
  /** Besides those that follow from what stands here: see `errorCodesOf`. */
  readonly errors?: readonly ApiErrorCode[]
  /** The first is the one shown as a command. */
  readonly examples: readonly [Example, ...Example[]]
  /** Of a read: what bounds its answers. */
  readonly limit?: ReadLimit | ((c: Context<Env>) => ReadLimit)
  /** It answers without the token, and whatever the system does. */
  readonly isOpen?: true
}

/** Every error that an operation may be answered with, by rising status. `needsToken`: the server asks for a token. */
export function errorCodesOf(operation: Operation, needsToken: boolean): ApiErrorCode[] {
  const { method, path, query, body, limit = 'none', errors = [], isOpen = false } = operation
  const all = new Set<ApiErrorCode>(['bad_request', 'forbidden_host', 'foreign_origin', ...errors])
  if (needsToken && !isOpen) for (const code of ['unauthorized', 'too_many_guesses'] as const) all.add(code)
  if (!isOpen) for (const code of ['forbidden', 'unavailable'] as const) all.add(code)
  for (const { error } of parametersOf(path)) all.add(error)
  if (query) all.add('invalid_input')
  if (limit !== 'none') all.add('backpressure')
  if (method === 'POST') for (const code of ['backpressure', 'storage_full', 'outcome_unknown'] as const) all.add(code)
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

/** The examples but for those with a job of a type that has no handler here. */
export function examplesOf({ examples }: Operation, types: readonly string[]): Example[] {
  const isKnown = ({ type }: { readonly type?: string }) => type === undefined || types.includes(type)
  return examples.filter(({ body = [] }) => [body].flat().every((part) => isKnown(part as object)))
}

/** A path of the route table as OpenAPI writes it: `/jobs/{id}`. */
export function templateOf(path: string): string {
  return path.replace(/:(\w+)/g, '{$1}')
}
