import assert from 'node:assert/strict'
import type { IncomingMessage } from 'node:http'
import type { Context } from 'hono'
import { z } from 'zod'
import { type CallerOptions, type EventCause, issuesOf } from '../engine/front-door.ts'
import { InvalidInputError } from '../errors.ts'
import type { Access } from './access.ts'
import type { ApiErrorCode } from './api-errors.ts'
import type { Exchange } from './exchange.ts'
import type { Hosts } from './guard.ts'
import { HttpError } from './problem.ts'
import { jobId } from './wire.ts'

/** A request with what belongs to it. */
export interface Arrival extends Exchange {
  /** The host names that a request may have; null if somebody else has checked them. */
  readonly hosts: Hosts | null
  /** Node's own request, if there is one. */
  readonly node?: IncomingMessage
  /** The access of the sender; `defaultAccess` until that is known. */
  access: Access
}

export interface Env {
  Bindings: Arrival
}

/** The parameters in a path: their schemas, and the error for one that does not exist. */
const pathParameters: Readonly<Record<string, { readonly schema: z.ZodType; readonly error: ApiErrorCode }>> = {
  id: { schema: jobId.describe('The job.'), error: 'job_not_found' },
  bulk: { schema: z.string().describe('The `id` of the bulk action.'), error: 'bulk_not_found' },
  name: { schema: z.string().describe('The name of the schedule.'), error: 'schedule_not_found' },
}

/** The parameters of a path of the API: `id` of `/jobs/:id`. */
export function parametersOf(path: string) {
  return [...path.matchAll(/:(\w+)/g)].map(([, name = '']) => {
    const parameter = pathParameters[name]
    assert(parameter, `the path ${path} has a parameter that request.ts does not know`)
    return { name, ...parameter }
  })
}

/** The job id from the path; anything but a positive safe integer matches no job. */
export function idOf(c: Context<Env>): number {
  // Not hono's value without escapes: see `pathOf` in app.ts.
  const text = c.req.path.includes('%') ? c.req.path : (c.req.param('id') ?? '')
  const id = /^[1-9][0-9]{0,15}$/.test(text) ? Number(text) : Number.NaN
  if (!Number.isSafeInteger(id)) throw new HttpError(404, 'job_not_found', `no job has the id ${JSON.stringify(text)}`)
  return id
}

export function queryOf(c: Context<Env>): URLSearchParams {
  const at = c.req.url.indexOf('?')
  return new URLSearchParams(at < 0 ? '' : c.req.url.slice(at))
}

/**
 * The user to record in the history. `said`: what they say about themselves, empty if nothing. Throws `InvalidInputError` if that is a
 * different name from the one that the app knows.
 */
export function callerOf(
  { env: { access } }: Context<Env>,
  cause: EventCause['cause'],
  said: { readonly actor?: string; readonly reason?: string | null } = {},
): CallerOptions {
  if (said.actor !== undefined && access.actor !== undefined && said.actor !== access.actor) {
    throw new InvalidInputError([{ path: 'actor', message: `must be left out: you are ${access.actor} here` }])
  }
  const { actor = access.actor, reason } = said
  return { by: { cause, ...(actor === undefined ? {} : { actor }), ...(reason ? { reason } : {}) } }
}

/** An object body; throws `InvalidInputError` with every fault. */
export function parseBody<Schema extends z.ZodObject>(schema: Schema, body: unknown): z.output<Schema> {
  const parsed = schema.safeParse(body)
  if (parsed.success) return parsed.data
  throw new InvalidInputError(issuesOf(parsed.error, Object.keys(schema.shape)))
}

/**
 * Whether the browser used https: to us, or according to the nearest proxy or the form's own request. Anyone can send these headers, so
 * they may only make things stricter, or be shown.
 */
export function usesTls(c: Context<Env>): boolean {
  const nearest = (c.req.header('x-forwarded-proto') ?? '').split(',')[0]!.trim().toLowerCase()
  return (
    nearest === 'https' ||
    c.env.incoming.socket.encrypted === true ||
    c.req.header('origin')?.startsWith('https://') === true
  )
}
