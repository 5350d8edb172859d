import type { IncomingMessage } from 'node:http'
import type { Job, JobSystem } from '../engine/front-door.ts'
import { InvalidInputError } from '../errors.ts'
import { actorPattern } from '../job/cause.ts'
import { HttpError } from './problem.ts'

/** What somebody may do, each more than the one before: see jobs; create, cancel and requeue them; act on many at once. */
const roles = ['read', 'operate', 'admin'] as const
export type Role = (typeof roles)[number]

/** Who asks, and what they may do. */
export interface Access {
  /** Kept in the history of what they do: 1 to 255 printable characters. */
  readonly actor?: string
  readonly role: Role
}

/**
 * Says who sent a request, or null if they may see nothing. `incoming` is Node's own request if there is one, with what earlier middleware has put
 * on it, such as `user`.
 */
export type Authorize = (
  request: Request,
  incoming: IncomingMessage | undefined,
) => Access | null | Promise<Access | null>

export interface AccessOptions {
  /** Left out: whoever gets here may do all. */
  readonly authorize?: Authorize | undefined
  /** Nothing changes anything. */
  readonly readOnly: boolean
}

/** Gives what finds out what the sender of a request may do. It throws `HttpError` if that is nothing. */
export function createAccess({
  authorize,
  readOnly,
}: AccessOptions): (request: Request, node: IncomingMessage | undefined) => Access | Promise<Access> {
  const all: Access = { role: readOnly ? 'read' : 'admin' }
  if (!authorize) return () => all
  return async (request, node) => {
    const access: unknown = await authorize(request, node)
    if (access === null || access === undefined || access === false) {
      throw new HttpError(403, 'forbidden', 'you may not see the jobs of this app')
    }
    if (!isAccess(access)) {
      throw new TypeError(`authorize must return { actor, role }, with one of the roles ${roles.join(', ')}, or null`)
    }
    return readOnly ? { ...access, role: 'read' } : access
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

/** The same system, with what `redact` makes of each payload in its place. Texts cannot be searched for: that would tell what is hidden. */
export function redacted(system: JobSystem, redact: (job: Job) => unknown): JobSystem {
  const shown = (job: Job): Job => {
    const payload: unknown = redact(job) ?? null
    if (payload instanceof Promise) throw new TypeError('redact must return what to show, and returned a promise')
    return { ...job, payload }
  }
  const assertNoText = (filter: { readonly text?: string } = {}) => {
    if (filter.text === undefined) return
    throw new InvalidInputError([
      { path: 'text', message: 'cannot be searched for here: parts of payloads are hidden' },
    ])
  }
  const changed: Partial<JobSystem> = {
    async find(id) {
      const job = await system.find(id)
      return job && shown(job)
    },
    async list(filter, options) {
      assertNoText(filter)
      const { jobs, nextCursor } = await system.list(filter, options)
      return { jobs: jobs.map(shown), nextCursor }
    },
    cancel: async (id, options) => shown(await system.cancel(id, options)),
    requeue: async (id, options) => shown(await system.requeue(id, options)),
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
