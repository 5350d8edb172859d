import { type Context, Hono } from 'hono'
import type { Job, JobSystem, SystemLog } from '../engine/front-door.ts'
import { InvalidInputError } from '../errors.ts'
import { type AccessOptions, assertMay, createAccess, type Role, redacted } from './access.ts'
import { AuthFailures } from './auth-failures.ts'
import { type BodyLimits, RequestLimits } from './body.ts'
import { assetRoute } from './dashboard/assets.ts'
import { loginRoutes } from './dashboard/pages/login.tsx'
import { pageRoutes } from './dashboard/pages/pages.tsx'
import { problemFor } from './dashboard/pages/problem.tsx'
import type { EventFeed } from './events/event-feed.ts'
import { createGuard } from './guard.ts'
import { serverFamilies } from './metrics/prometheus.ts'
import { Mount } from './mount.ts'
import { Docs } from './openapi/docs.ts'
import { settingName } from './options.ts'
import { HttpError, isServerError, problem } from './problem.ts'
import { clientGone, ReadLimits, ResponseMemory } from './read-limits.ts'
import type { Arrival, Env } from './request.ts'
import { apiRoutes } from './routes/api.ts'
import { docsRoute } from './routes/docs.ts'
import type { Parts, Route } from './routes/route.ts'
import { createServe } from './serve.ts'
import { Sessions } from './session.ts'

export interface AppOptions extends BodyLimits, AccessOptions {
  readonly system: JobSystem
  readonly log: SystemLog
  /** Epoch ms. */
  readonly now: () => number
  /** Null if no token is required. */
  readonly apiToken: string | null
  /** True for `jobmachine serve`: nothing else uses the global `Request` and `Response`, and settings are environment variables. */
  readonly ownsProcess: boolean
  /** The path that browsers see, such as `/admin/jobs`; empty for the root. */
  readonly basePath: string
  /** Whether to serve the dashboard, and the API's description as a page. */
  readonly pages: boolean
  /** What is shown of a job's payload; all of it by default. */
  readonly redact?: ((job: Job) => unknown) | undefined
  /** This program's version, for the API's description. */
  readonly version: string
  /** Log lines that could not be written so far; left out if nobody counts them. */
  readonly droppedLogLines?: () => number
  /** How the answer to a wrong token waits for this many ms; for tests. */
  readonly pause?: (ms: number) => Promise<unknown>
}

/** Answers a request: the API and the pages over a system. `arrival` is what it is read from. */
export type Answer = (request: Request, arrival: Arrival) => Response | Promise<Response>

interface App {
  readonly answer: Answer
  readonly routes: readonly Route[]
}

/** The HTTP API and the dashboard over a system. The caller closes `feed`. Throws `ConfigError` on an invalid `basePath`. */
export function createApp(options: AppOptions, feed: EventFeed): App {
  const { log, now, apiToken, basePath, version, ownsProcess } = options
  const system = options.redact ? redacted(options.system, options.redact) : options.system
  const authFailures = new AuthFailures(options)
  const sessions = apiToken === null ? null : new Sessions({ token: apiToken, now, basePath, authFailures })
  const limits = new RequestLimits(options)
  const responseMemory = new ResponseMemory(limits.heldBytesMax)
  const parts: Parts = {
    system,
    feed,
    sessions,
    isGuarded: sessions !== null || options.authorize !== undefined,
    docs: new Docs({
      operations: apiRoutes,
      system,
      version,
      basePath,
      sessions,
      tokenSetting: settingName('apiToken', ownsProcess),
      isAuthorized: options.authorize !== undefined,
    }),
    responseMemory,
    ownFamilies: () => serverFamilies(options.droppedLogLines, sessions && authFailures.counts),
  }
  const pages = [
    docsRoute,
    ...loginRoutes(settingName('apiToken', ownsProcess)),
    assetRoute(),
    ...pageRoutes(system, { now, needsToken: sessions !== null, hidesPayloads: options.redact !== undefined }),
  ]
  const routes: readonly Route[] = options.pages ? [...apiRoutes, ...pages] : apiRoutes
  const mount = new Mount(
    basePath,
    [...apiRoutes, ...pages].map(({ path }) => path),
  )
  const app = new Hono<Env>({ getPath: (request) => mount.takeOff(pathOf(request)) })
  const openPaths = routes.filter(({ isOpen }) => isOpen).map(({ path }) => path.replace(/:\w+/g, '[^/]+'))
  const guard = createGuard(
    sessions,
    new RegExp(`^(${openPaths.join('|')})$`),
    settingName('allowedHosts', ownsProcess),
  )

  // One handler for a request and no middleware: hono then calls it without a chain of promises, which would take a tenth of a small
  // request's time. It always returns a promise, so that @hono/node-server reports errors while the answer is written.
  const accessOf = createAccess(options)
  type Handler = (c: Context<Env>) => Response | Promise<Response>
  const guarded = (handler: Handler, needed: Role | null) => async (c: Context<Env>) => {
    const refusal = guard(c)
    if (refusal) await refusal
    if (needed !== null) {
      const access = accessOf(c)
      if (access instanceof Promise) {
        c.env.access = await access
        // Nobody waits for an answer any more, and the rest of the body may never arrive.
        if (c.env.incoming.socket.destroyed) throw clientGone
      } else c.env.access = access
      assertMay(c.env.access, needed)
    }
    return handler(c)
  }
  const serve = createServe(parts, limits, new ReadLimits(responseMemory))
  for (const route of routes) app.on(route.method, route.path, guarded(serve(route), roleFor(route)))
  const tell = ({ req }: Context<Env>, error: unknown) => {
    if (!options.pages) return problem(error)
    return problemFor(error, { method: req.method, path: req.path, target: mount.takeOff(targetOf(req)) })
  }
  const refuse = async (c: Context<Env>, error: unknown) => {
    // The only error answer that may be longer than a line.
    if (!(error instanceof InvalidInputError)) return tell(c, error)
    return responseMemory.serve(c.env.outgoing, () => tell(c, error)).catch((full) => tell(c, full))
  }
  const isTaken = (method: string, path: string) => app.router.match(method, path)[0].length > 0
  const hintFor = (path: string) => {
    const prefix = `/${path.split('/')[1]}`
    const rest = path.slice(prefix.length)
    const isOurs = prefix !== '/' && rest !== '' && (isTaken('GET', rest) || isTaken('POST', rest))
    return isOurs
      ? `; if a proxy serves this under ${prefix}, set ${settingName('basePath', ownsProcess)} to ${prefix}`
      : ''
  }
  app.notFound(
    guarded((c) => {
      const { path } = c.req
      const taken = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'].filter((method) => isTaken(method, path))
      const allow = taken.flatMap((method) => (method === 'GET' ? ['GET', 'HEAD'] : [method])).join(', ')
      if (!allow) throw new HttpError(404, 'not_found', `there is nothing at ${path}${hintFor(path)}`)
      throw new HttpError(405, 'method_not_allowed', `${c.req.method} is not allowed here; use ${allow}`, { allow })
    }, 'read'),
  )
  app.onError((error, c) => {
    if (isServerError(error)) log.error({ err: error, method: c.req.method, path: c.req.path }, 'a request failed')
    return refuse(c, error)
  })
  const answer: Answer = (request, arrival) => app.fetch(request, arrival)
  if (basePath === '') return { answer, routes }
  return { answer: async (request, arrival) => mount.putUnder(await answer(request, arrival)), routes }
}

/** The role that a request needs; null if nobody is asked. */
function roleFor(route: Route): Role | null {
  if (route.isOpen) return null
  return 'role' in route ? route.role : 'read'
}

/** The path as sent: our paths have no escapes, and `authorize` must see the same path as the router. */
function pathOf(request: Pick<Request, 'url'>): string {
  return upTo('#', upTo('?', targetOf(request)))
}

function upTo(mark: string, text: string): string {
  const end = text.indexOf(mark)
  return end < 0 ? text : text.slice(0, end)
}

/** The requested path and query, as sent. */
function targetOf({ url }: Pick<Request, 'url'>): string {
  return url.slice(url.indexOf('/', url.indexOf('//') + 2))
}
