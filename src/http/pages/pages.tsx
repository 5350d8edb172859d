import type { Context } from 'hono'
import { type JobSystem, personEvents } from '../../system.ts'
import type { Intake } from '../body.ts'
import { idOf } from '../jobs.ts'
import type { Outflow } from '../outflow.ts'
import { type Env, type Handler, queryOf, type Route, type Routes } from '../routes.ts'
import { jobPage } from './job.tsx'
import { overviewPage } from './overview.tsx'
import { seeOther } from './page.tsx'

/** The dashboard. Every page works without a script; one keeps it moving. */
export function pageRoutes(system: JobSystem, now: () => number, intake: Intake, outflow: Outflow): Routes {
  const reading = (work: (c: Context<Env>) => Promise<Response>): Handler => {
    return (c) => outflow.serve(c.env.outgoing, () => work(c))
  }
  const taking = (work: (form: URLSearchParams, c: Context<Env>) => Promise<Response>): Handler => {
    return (c) => intake.serve(() => intake.withForm(c.env.incoming, (form) => work(form, c)))
  }
  const commands = personEvents.map((event): [string, Route] => [
    `/dashboard/jobs/:id/${event}`,
    {
      POST: taking(async (_, c) => {
        const { id } = await system[event](idOf(c))
        return seeOther(`/dashboard/jobs/${id}`)
      }),
    },
  ])
  return {
    '/': { GET: reading(() => overviewPage(system, now())) },
    '/dashboard/jobs/:id': { GET: reading((c) => jobPage(system, idOf(c), queryOf(c), now())) },
    ...Object.fromEntries(commands),
  }
}
