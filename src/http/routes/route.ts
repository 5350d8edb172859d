import type { Context } from 'hono'
import type { z } from 'zod'
import type { JobSystem } from '../../engine/front-door.ts'
import type { Role } from '../access.ts'
import type { EventFeed } from '../events/event-feed.ts'
import type { Family } from '../metrics/prometheus.ts'
import type { Docs } from '../openapi/docs.ts'
import type { Operation } from '../openapi/operation.ts'
import type { ReadLimit, ResponseMemory } from '../read-limits.ts'
import type { Env } from '../request.ts'
import type { Sessions } from '../session.ts'

/** The services of a handler. */
export interface Parts {
  readonly system: JobSystem
  readonly feed: EventFeed
  /** Null if no token is required. */
  readonly sessions: Sessions | null
  /** Whether someone decides who gets in: a token, or an app with its own rules. */
  readonly isGuarded: boolean
  readonly docs: Docs
  readonly responseMemory: ResponseMemory
  /** What is counted outside the system. */
  readonly ownFamilies: () => readonly Family[]
}

/** `given`: the input that its route declares; for a read also the signal that fires when its client leaves. */
type Handle<Given extends unknown[], Answer = Response | Promise<Response>> = (
  parts: Parts,
  c: Context<Env>,
  ...given: Given
) => Answer

interface AnyRoute {
  /** In hono's form: `/jobs/:id`. */
  readonly path: string
  /** Whether it answers everyone, without the token. */
  readonly isOpen?: true
}

interface ReadRoute extends AnyRoute {
  readonly method: 'GET'
  readonly limit: ReadLimit | ((c: Context<Env>) => ReadLimit)
  /** The schema that parses `given`; without one the query is ignored. */
  readonly query?: z.ZodObject
  readonly handle: Handle<[query: never, gone: AbortSignal]>
}

/**
 * A route that changes something: `role` is the role that it needs. All such requests count towards the limit of simultaneous ones, and are
 * refused above it.
 */
type WriteRoute = AnyRoute & {
  readonly method: 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  readonly role: Exclude<Role, 'read'>
} & (
    | {
        readonly takes: 'json'
        readonly isBodyOptional?: true
        readonly handle: Handle<[body: unknown], Promise<Response>>
      }
    | { readonly takes: 'form'; readonly handle: Handle<[form: URLSearchParams], Promise<Response>> }
    | { readonly takes: 'nothing'; readonly handle: Handle<[body: undefined], Promise<Response>> }
  )

/** The login: it changes nothing but who is logged in, and limits its requests itself. */
interface LoginRoute extends AnyRoute {
  readonly method: 'POST'
  readonly takes: 'itself'
  readonly isOpen: true
  readonly handle: Handle<[body: undefined]>
}

/** One method of one path. A method that no route has is answered with 405. */
export type Route = ReadRoute | WriteRoute | LoginRoute

/** A route for programs, with its whole description. */
export type ApiRoute = Route & Operation

type Described = Omit<Operation, 'method' | 'query' | 'body'>

export function get<Query extends z.ZodObject>(
  route: Described &
    Pick<ReadRoute, 'limit'> & {
      readonly query?: Query
      readonly handle: Handle<[query: z.output<Query>, gone: AbortSignal]>
    },
): ApiRoute {
  return { method: 'GET', ...route }
}

type DescribedWrite = Omit<Described, 'limit' | 'isOpen'> & {
  readonly role: Exclude<Role, 'read'>
  readonly body?: z.ZodType
  readonly handle: Handle<[body: unknown], Promise<Response>>
}

/** With a `body` it accepts JSON, which the handler checks; without one it ignores the body. */
export function post(route: DescribedWrite): ApiRoute {
  return { method: 'POST', takes: route.body ? 'json' : 'nothing', ...route }
}

export function patch(route: DescribedWrite & { readonly body: z.ZodType }): ApiRoute {
  return { method: 'PATCH', takes: 'json', ...route }
}

export function put(route: DescribedWrite & { readonly body: z.ZodType }): ApiRoute {
  return { method: 'PUT', takes: 'json', ...route }
}

/** DELETE, without a body. */
export function remove(route: Omit<DescribedWrite, 'body' | 'isBodyOptional'>): ApiRoute {
  return { method: 'DELETE', takes: 'nothing', ...route }
}
