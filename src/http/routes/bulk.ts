import type { Context } from 'hono'
import { type Bulk, fromWire, type JobSystem } from '../../engine/front-door.ts'
import { HttpError } from '../problem.ts'
import { parseBody } from '../query.ts'
import { reply } from '../reply.ts'
import { bulkConfirmation, bulkListView, bulkRequest, bulkView } from '../wire/bulk.ts'
import type { Env } from './route.ts'

/** `POST /bulk`: answered while it counts. */
export async function prepareBulk(system: JobSystem, body: unknown): Promise<Response> {
  const { command, ...filter } = parseBody(bulkRequest, body)
  const bulk = await system.prepareBulk(command, fromWire(filter))
  return reply(bulkView(bulk), 202, { location: `/bulk/${bulk.id}` })
}

/** `GET /bulk` */
export async function listBulks(system: JobSystem): Promise<Response> {
  return reply(bulkListView(system.bulks()))
}

/** `GET /bulk/:bulk` */
export async function showBulk(system: JobSystem, id: string): Promise<Response> {
  return reply(bulkView(bulkOf(system, id)))
}

/** `POST /bulk/:bulk/run`: the count that was shown confirms it. Answered when it has begun. */
export async function runBulk(system: JobSystem, id: string, body: unknown): Promise<Response> {
  const bulk = bulkOf(system, id)
  bulk.run(parseBody(bulkConfirmation, body).matched)
  return reply(bulkView(bulk), 202)
}

/** `POST /bulk/:bulk/stop`: answered when nothing of it is under way; one that has ended stays as it is. */
export async function stopBulk(system: JobSystem, id: string): Promise<Response> {
  const bulk = bulkOf(system, id)
  await bulk.stop()
  return reply(bulkView(bulk))
}

/** The command over many jobs that a path names, as `idOf` is for a job. */
export function bulkIdOf(c: Context<Env>): string {
  return c.req.param('bulk') ?? ''
}

export function bulkOf(system: JobSystem, id: string): Bulk {
  const bulk = system.findBulk(id)
  if (bulk) return bulk
  throw new HttpError(
    404,
    'bulk_not_found',
    'that command is no longer known; a restart forgets them, and the oldest make room',
  )
}
