import type { Context } from 'hono'
import { commands, type JobSystem } from '../../../engine/front-door.ts'
import type { Intake } from '../../body.ts'
import { bulkIdOf } from '../../routes/bulk.ts'
import { idOf } from '../../routes/jobs.ts'
import { type Env, type Handler, queryOf, type Route, type Routes } from '../../routes/route.ts'
import { beginBulk, bulkPage, commandBulk } from './bulk.tsx'
import { jobPage } from './job.tsx'
import { jobsPage } from './jobs.tsx'
import { renderOverview } from './overview.tsx'
import { replyPage, seeOther } from './page.tsx'
import { showSeries } from './series-data.ts'
import { shared } from './shared.ts'

/** However many watch, the overview is made twice a second. */
const overviewMs = 500

/** What the pages need besides the system. */
export interface PageParts {
  /** Epoch ms. */
  readonly now: () => number
  readonly intake: Intake
  readonly reading: (work: (c: Context<Env>) => Response | Promise<Response>) => Handler
  /** For what walks through jobs, until `gone` fires. */
  readonly listing: (work: (c: Context<Env>, gone: AbortSignal) => Promise<Response>) => Handler
  /** A token is asked for. */
  readonly isGuarded: boolean
}

/** The dashboard. Every page works without a script; one keeps it moving. */
export function pageRoutes(system: JobSystem, { now, intake, reading, listing, isGuarded }: PageParts): Routes {
  const taking = (work: (form: URLSearchParams, c: Context<Env>) => Promise<Response>): Handler => {
    return (c) => intake.withForm(c.env.incoming, (form) => work(form, c))
  }
  const overview = shared(overviewMs, () => renderOverview(system, now, isGuarded))
  const commandRoutes = commands.map((event): [string, Route] => [
    `/dashboard/jobs/:id/${event}`,
    {
      POST: taking(async (_, c) => {
        const { id } = await system[event](idOf(c))
        return seeOther(`/dashboard/jobs/${id}`)
      }),
    },
  ])
  const bulkCommands = (['run', 'stop'] as const).map((command): [string, Route] => [
    `/dashboard/bulk/:bulk/${command}`,
    { POST: taking((form, c) => commandBulk(system, bulkIdOf(c), command, form)) },
  ])
  return {
    '/': { GET: reading(async () => replyPage(await overview())) },
    '/dashboard': { GET: () => seeOther('/') },
    '/dashboard/series': { GET: reading(() => showSeries(system)) },
    '/dashboard/jobs': { GET: listing((c, gone) => jobsPage(system, queryOf(c), now, gone)) },
    '/dashboard/jobs/:id': { GET: reading((c) => jobPage(system, idOf(c), queryOf(c), now)) },
    ...Object.fromEntries(commandRoutes),
    '/dashboard/bulk': { POST: taking((form) => beginBulk(system, form)) },
    '/dashboard/bulk/:bulk': { GET: reading((c) => bulkPage(system, bulkIdOf(c))) },
    ...Object.fromEntries(bulkCommands),
  }
}
