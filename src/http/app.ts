import { type Context, Hono } from 'hono'
import { commands, type JobSystem, type SystemLog } from '../engine/front-door.ts'
import { InvalidInputError } from '../errors.ts'
import { contentTypeFor } from './accept.ts'
import { type BodyLimits, bodiesHeldMax, Intake } from './body.ts'
import { assetRoutes } from './dashboard/assets.ts'
import { pageRoutes } from './dashboard/pages/pages.tsx'
import { isPage, pageProblem } from './dashboard/pages/problem.tsx'
import type { EventFeed } from './events/event-feed.ts'
import { createGuard, type GuardOptions } from './guard.ts'
import { Guesses } from './guesses.ts'
import { loginRoutes } from './login.ts'
import { guessFamilies, logFamilies } from './metrics/metric-families.ts'
import { openMetrics, plainText, showPrometheus } from './metrics/prometheus.ts'
import { assertMountable, firstSegmentOf } from './mount.ts'
import { Outflow } from './outflow.ts'
import { HttpError, isOurFault, problem } from './problem.ts'
import { bulkIdOf, listBulks, prepareBulk, runBulk, showBulk, stopBulk } from './routes/bulk.ts'
import { Docs } from './routes/docs.ts'
import { streamEvents } from './routes/events.ts'
import { showExplanation } from './routes/explain.ts'
import { commandJob, createJob, createJobs, idOf, listJobs, showHistory, showJob } from './routes/jobs.ts'
import { showJobChart, showMachine, showMachineChart } from './routes/machines.ts'
import { type Env, type Handler, originOf, queryOf, type Route, type Routes } from './routes/route.ts'
import { showLive, showMetrics, showReady } from './routes/status.ts'
import { Sessions } from './session.ts'
import { Turns } from './turns.ts'

export interface AppOptions extends BodyLimits, GuardOptions {
  readonly system: JobSystem
  readonly log: SystemLog
  /** Epoch ms. */
  readonly now: () => number
  /** Null: nobody has to show one. */
  readonly apiToken: string | null
  /** Where a proxy serves this, such as `/jobs-admin`; empty: at the root. */
  readonly basePath: string
  /** Of this program, as the API's description tells it. */
  readonly version: string
  /** Lines of the log that could not be written so far; left out: nobody counts them. */
  readonly droppedLogLines?: () => number
  /** How the answer to a wrong token waits for so many ms; for tests. */
  readonly pause?: (ms: number) => Promise<unknown>
}

/** Bytes of scrapes that wait to be read; of their own, so that monitoring goes on where other answers fill what they may. */
const scrapesHeldMax = 8_388_608

/**
 * The HTTP API and the dashboard over a system, at the root, to be served by @hono/node-server and put elsewhere by `mount`. `feed` is the
 * server's to close. Throws `ConfigError` where `basePath` cannot be.
 */
export function createApp(options: AppOptions, feed: EventFeed): Hono<Env> {
  const { system, log, now, apiToken, basePath, version } = options
  const app = new Hono<Env>()
  const guesses = new Guesses(options)
  const sessions = apiToken === null ? null : new Sessions({ token: apiToken, now, basePath, guesses })
  const guard = createGuard(options, sessions)
  const intake = new Intake(options)
  const outflow = new Outflow(bodiesHeldMax * options.maxRequestBytes)
  const docs = new Docs(system, version, basePath, sessions)
  const reading = (work: (c: Context<Env>) => Response | Promise<Response>): Handler => {
    return (c) => outflow.serve(c.env.outgoing, () => work(c))
  }
  const lists = new Turns()
  const charts = new Turns()
  const listing = (work: (c: Context<Env>, gone: AbortSignal) => Promise<Response>): Handler => {
    return (c) => lists.take(c.env.outgoing, (gone) => outflow.serve(c.env.outgoing, () => work(c, gone)))
  }
  const scrapes = new Outflow(scrapesHeldMax)
  const scrapeTurns = new Turns()
  const scraping = (c: Context<Env>, format: string) => {
    const ofServer = () => [...logFamilies(options.droppedLogLines), ...(sessions ? guessFamilies(guesses.counts) : [])]
    const { outgoing } = c.env
    return scrapeTurns.take(outgoing, () => scrapes.serve(outgoing, () => showPrometheus(system, format, ofServer)))
  }
  const posting = (work: (body: unknown, c: Context<Env>) => Promise<Response>): Handler => {
    return (c) => intake.withJson(c.env.incoming, (body) => work(body, c))
  }
  const commandRoutes = commands.map((command): [string, Route] => [
    `/jobs/:id/${command}`,
    { POST: (c) => intake.serve(() => commandJob(system, command, idOf(c))) },
  ])
  const routes: Routes = {
    '/createJob': { POST: posting((body) => createJob(system, body)) },
    '/jobs': {
      GET: listing((c, gone) => listJobs(system, queryOf(c), gone)),
      POST: posting((body, c) => {
        const create = () => createJobs(system, body)
        return Array.isArray(body) ? outflow.serve(c.env.outgoing, create) : create()
      }),
    },
    '/jobs/:id': { GET: reading((c) => showJob(system, idOf(c))) },
    '/jobs/:id/history': { GET: reading((c) => showHistory(system, idOf(c), queryOf(c))) },
    '/jobs/:id/explain': { GET: reading((c) => showExplanation(system, idOf(c), queryOf(c))) },
    ...Object.fromEntries(commandRoutes),
    '/jobs/:id/machine.svg': {
      GET: (c) => {
        const { outgoing } = c.env
        const draw = () => showJobChart(system, idOf(c), queryOf(c))
        return charts.take(outgoing, () => outflow.serve(outgoing, draw))
      },
    },
    '/machine': { GET: reading((c) => showMachine(system, queryOf(c))) },
    '/machine.svg': { GET: reading((c) => showMachineChart(system, queryOf(c))) },
    '/bulk': {
      GET: reading(() => listBulks(system)),
      POST: posting((body) => prepareBulk(system, body)),
    },
    '/bulk/:bulk': { GET: reading((c) => showBulk(system, bulkIdOf(c))) },
    '/bulk/:bulk/run': { POST: posting((body, c) => runBulk(system, bulkIdOf(c), body)) },
    '/bulk/:bulk/stop': { POST: (c) => intake.serve(() => stopBulk(system, bulkIdOf(c))) },
    '/events': { GET: (c) => streamEvents(feed, c.env, queryOf(c), sessions?.sessionOf(c.env.incoming) ?? null) },
    '/metrics': {
      GET: (c) => {
        const type = contentTypeFor(c, 'application/json', [plainText, openMetrics])
        return type === 'application/json' ? showMetrics(system) : scraping(c, type)
      },
    },
    '/metrics/prometheus': {
      GET: (c) => scraping(c, contentTypeFor(c, plainText, [openMetrics])),
    },
    '/livez': { GET: showLive },
    '/readyz': { GET: async (c) => showReady(system, sessions === null || (await sessions.admits(c.env.incoming))) },
    '/openapi.json': { GET: reading((c) => docs.showDocument(c.env.incoming)) },
    '/docs': { GET: reading((c) => docs.showPage(c.env.incoming, `${originOf(c)}${basePath}`)) },
    ...loginRoutes(sessions, feed),
    ...assetRoutes(),
    ...pageRoutes(system, { now, intake, reading, listing, isGuarded: sessions !== null }),
  }
  assertMountable(basePath, routes)

  // One handler to a request and no middleware: hono then calls it without a chain of promises, which is a tenth of a small request's time.
  // Always a promise, for which @hono/node-server hears of what goes wrong while the answer is written.
  const guarded = (handler: Handler) => async (c: Context<Env>) => {
    const refusal = guard(c.env.incoming, c.req.path)
    if (refusal) await refusal
    return handler(c)
  }
  for (const [path, { GET, POST }] of Object.entries(routes)) {
    if (GET) app.get(path, guarded(GET))
    if (POST) app.post(path, guarded(POST))
  }
  const tell = (c: Context<Env>, error: unknown) => (isPage(c.req.path) ? pageProblem(error, c) : problem(error))
  const refuse = async (c: Context<Env>, error: unknown) => {
    // The one refusal that may have more than a line.
    if (!(error instanceof InvalidInputError)) return tell(c, error)
    return outflow.serve(c.env.outgoing, () => tell(c, error)).catch((full) => tell(c, full))
  }
  const isTaken = (method: string, path: string) => app.router.match(method, path)[0].length > 0
  const hintFor = (path: string) => {
    const prefix = `/${firstSegmentOf(path)}`
    const rest = path.slice(prefix.length)
    const isOurs = prefix !== '/' && rest !== '' && (isTaken('GET', rest) || isTaken('POST', rest))
    return isOurs ? `; if a proxy serves this under ${prefix}, set BASE_PATH=${prefix}` : ''
  }
  app.notFound(
    guarded((c) => {
      const { path } = c.req
      const allow = [...(isTaken('GET', path) ? ['GET', 'HEAD'] : []), ...(isTaken('POST', path) ? ['POST'] : [])].join(
        ', ',
      )
      if (!allow) throw new HttpError(404, 'not_found', `there is nothing at ${path}${hintFor(path)}`)
      throw new HttpError(405, 'method_not_allowed', `${c.req.method} is not taken here; ${allow} is`, { allow })
    }),
  )
  app.onError((error, c) => {
    if (isOurFault(error)) log.error({ err: error, method: c.req.method, path: c.req.path }, 'a request failed')
    return refuse(c, error)
  })
  return app
}
