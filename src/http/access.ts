import type { IncomingMessage } from 'node:http'
import { actorPattern, type Job, type JobSystem, shown } from '../engine/front-door.ts'
import { InvalidInputError } from '../errors.ts'
import { HttpError } from './problem.ts'
import { redactedSchedules } from './redacted-schedules.ts'

/** What a user may do, each role more than the one before: see jobs; create, change, cancel and requeue them, and write schedules; act on many at once. */
const roles = ['read', 'operate', 'admin'] as const
export type Role = (typeof roles)[number]

/** Who sent a request, and what they may do. */
export interface Access {
  /** Stored in the history of what they do: 1 to 255 printable characters. */
  readonly actor?: string
  readonly role: Role
}

/**
 * Says who sent a request, or null if they may see nothing. The request's method and the end of its path show what it is for. `incoming` is
 * Node's own request if there is one, with what earlier middleware has put on it, such as `user`.
 */
export type Authorize = (
  request: Request,
  incoming: IncomingMessage | undefined,
) => Access | null | Promise<Access | null>

export interface AccessOptions {
  /** If left out, everyone may do everything. */
  readonly authorize?: Authorize | undefined
  /** Refuses every change. */
  readonly readOnly: boolean
}

/** The access of a request whose sender is not known yet. */
export const defaultAccess: Access = { role: 'read' }

/** A request as its routes get it. hono makes `req` when it is first read. */
interface Asked {
  readonly req: { readonly raw: Request }
  readonly env: { readonly node?: IncomingMessage }
}

/** Returns a function that finds out what the sender of a request may do. It throws `HttpError` if that is nothing. */
export function createAccess({ authorize, readOnly }: AccessOptions): (asked: Asked) => Access | Promise<Access> {
  const all: Access = { role: readOnly ? 'read' : 'admin' }
  if (!authorize) return () => all
  return async ({ req, env }) => {
    const access: unknown = await ask(authorize, req.raw, env.node)
    if (access === null || access === undefined || access === false) {
      throw new HttpError(403, 'forbidden', 'you may not see the jobs of this app')
    }
    if (!isAccess(access)) {
      throw new TypeError(`authorize must return { actor, role }, with one of the roles ${roles.join(', ')}, or null`)
    }
    return readOnly ? { ...access, role: 'read' } : access
  }
}

/** A thrown value that is not an `Error`, such as a `Response`, is a mistake too: it lets nobody in. */
async function ask(authorize: Authorize, ...asked: Parameters<Authorize>): Promise<unknown> {
  try {
    return await authorize(...asked)
  } catch (error) {
    if (error instanceof Error) throw error
    const what = error instanceof Response ? `a Response with the status ${error.status}` : shown(error)
    throw new TypeError(`authorize threw ${what}; to let nobody in, return null`)
  }
}

function isAccess(value: unknown): value is Access {
  if (typeof value !== 'object' || value === null) return false
  const { actor, role } = value as Partial<Access>
  return (
    roles.includes(role as Role) && (actor === undefined || (typeof actor === 'string' && actorPattern.test(actor)))
  )
}

export function may({ role }: Access, needed: Role): boolean {
  return roles.indexOf(role) >= roles.indexOf(needed)
}

export function assertMay(access: Access, needed: Role): void {
  if (may(access, needed)) return
  throw new HttpError(403, 'forbidden', `this needs the role ${needed}, and yours is ${access.role}`)
}

/**
 * The same system, with what `redact` returns in place of each payload. It refuses searches for text, which would reveal what is hidden, and
 * results, which may repeat it.
 */
export function redacted(system: JobSystem, redact: (job: Job) => unknown): JobSystem {
  const lessOf = (job: Job): unknown => {
    const shown: unknown = redact(job) ?? null
    if (shown instanceof Promise) throw new TypeError('redact must return what to show, and returned a promise')
    return shown
  }
  const withLess = (job: Job): Job => ({ ...job, payload: lessOf(job) })
  const asItWas = (job: Job, payload: unknown) => lessOf({ ...job, payload })
  const assertNoText = (filter: { readonly text?: string } = {}) => {
    if (filter.text === undefined) return
    throw new InvalidInputError([
      { path: 'text', message: 'cannot be searched for here: parts of payloads are hidden' },
    ])
  }
  const changed: Partial<JobSystem> = {
    get schedules() {
      return redactedSchedules(system.schedules, lessOf)
    },
    async find(id) {
      const job = await system.find(id)
      return job && withLess(job)
    },
    async list(filter, options) {
      assertNoText(filter)
      const { jobs, nextCursor } = await system.list(filter, options)
      return { jobs: jobs.map(withLess), nextCursor }
    },
    result: () => Promise.reject(new HttpError(403, 'forbidden', 'results are not shown here: redact hides them')),
    cancel: async (id, options) => withLess(await system.cancel(id, options)),
    requeue: async (id, options) => withLess(await system.requeue(id, options)),
    submitChanges: async (id, body, options) => withLess(await system.submitChanges(id, body, options)),
    async payloadAt(id, at) {
      const [job, was] = await Promise.all([system.find(id), system.payloadAt(id, at)])
      return job && asItWas(job, was)
    },
    async prepareBulk(command, filter, options) {
      assertNoText(filter)
      return system.prepareBulk(command, filter, options)
    },
  }
  return new Proxy(system, {
    get(target, name) {
      if (Object.hasOwn(changed, name)) return changed[name as keyof JobSystem]
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}
