import { commands, type JobSystem } from '../../../engine/front-door.ts'
import { callerOf, idOf, queryOf } from '../../request.ts'
import type { Route } from '../../routes/route.ts'
import { allowedTo } from './allowed.ts'
import { bulkRoutes } from './bulk.tsx'
import { changeRoutes } from './change.tsx'
import { jobPage } from './job.tsx'
import { jobsPage } from './jobs.tsx'
import { nodesPage } from './nodes.tsx'
import { renderOverview } from './overview.tsx'
import { replyPage, seeOther } from './page.tsx'
import { scheduleRoutes } from './schedule-routes.ts'
import { showSeries } from './series-data.ts'

/** The overview is rendered at most twice a second, however many people watch. */
const overviewMs = 500

interface PagesOptions {
  /** Epoch ms. */
  readonly now: () => number
  /** A token is required. */
  readonly needsToken: boolean
  /** Parts of payloads are not shown. */
  readonly hidesPayloads: boolean
}

/** The dashboard. Every page works without a script; the script updates it. */
export function pageRoutes(system: JobSystem, { now, needsToken, hidesPayloads }: PagesOptions): readonly Route[] {
  const overview = shared(overviewMs, () => renderOverview(system, now, needsToken))
  const jobCommands = commands.map((command): Route => {
    return {
      method: 'POST',
      path: `/dashboard/jobs/:id/${command}`,
      role: 'operate',
      takes: 'form',
      async handle(_, c, form) {
        const { id } = await system[command](idOf(c), callerOf(c, 'dashboard', { reason: form.get('reason') }))
        return seeOther(`/dashboard/jobs/${id}`)
      },
    }
  })
  return [
    { method: 'GET', path: '/', limit: 'read', handle: async () => replyPage(await overview()) },
    { method: 'GET', path: '/dashboard', limit: 'none', handle: () => seeOther('/') },
    { method: 'GET', path: '/dashboard/series', limit: 'read', handle: () => showSeries(system) },
    {
      method: 'GET',
      path: '/dashboard/jobs',
      limit: 'list',
      handle: (_, c, __, gone) => jobsPage(system, queryOf(c), allowedTo(system, c), now, gone),
    },
    {
      method: 'GET',
      path: '/dashboard/jobs/:id',
      limit: 'read',
      handle: (_, c) => jobPage(system, idOf(c), queryOf(c), allowedTo(system, c)),
    },
    { method: 'GET', path: '/dashboard/nodes', limit: 'read', handle: () => nodesPage(system) },
    ...jobCommands,
    ...changeRoutes(hidesPayloads),
    ...bulkRoutes(system),
    ...scheduleRoutes(system, now, hidesPayloads),
  ]
}

/** Shares one result among many callers: all that ask within `ms` of its start get the same. A failure is not kept. */
function shared<T>(ms: number, make: () => Promise<T>): () => Promise<T> {
  let made: { readonly at: number; readonly value: Promise<T> } | undefined
  return () => {
    const now = performance.now()
    if (made && now - made.at < ms) return made.value
    const value = make()
    made = { at: now, value }
    value.catch(() => {
      if (made?.value === value) made = undefined
    })
    return value
  }
}
