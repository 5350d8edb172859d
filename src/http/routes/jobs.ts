import type { Context } from 'hono'
import { type Command, type EnqueuedJob, fromWire, type JobSystem } from '../../engine/front-door.ts'
import { InvalidInputError, JobNotFoundError } from '../../errors.ts'
import { HttpError } from '../problem.ts'
import { historyQuery, listQuery, parseQuery } from '../query.ts'
import { reply } from '../reply.ts'
import { historyView } from '../wire/history.ts'
import { enqueuedView, jobListView, jobView } from '../wire/job.ts'
import type { Env } from './route.ts'

/** A job's id from the path; what is no positive safe integer names no job. */
export function idOf(c: Context<Env>): number {
  const text = c.req.param('id') ?? ''
  const id = /^[1-9][0-9]{0,15}$/.test(text) ? Number(text) : Number.NaN
  if (!Number.isSafeInteger(id)) throw new HttpError(404, 'job_not_found', `no job has the id ${JSON.stringify(text)}`)
  return id
}

/** `POST /createJob`, and `POST /jobs` with one object. */
export async function createJob(system: JobSystem, body: unknown): Promise<Response> {
  if (Array.isArray(body))
    throw new InvalidInputError([{ path: '', message: 'takes one job; POST /jobs takes an array' }])
  const [job] = (await system.submit(body)) as [EnqueuedJob]
  const headers: Record<string, string> = { location: `/jobs/${job.id}` }
  if (!job.created) headers['idempotent-replayed'] = 'true'
  return reply(enqueuedView(job), job.created ? 201 : 200, headers)
}

/** `POST /jobs`: an array is all or nothing, and answered in its order. */
export async function createJobs(system: JobSystem, body: unknown): Promise<Response> {
  if (!Array.isArray(body)) return createJob(system, body)
  const jobs = await system.submit(body)
  return reply(jobs.map(enqueuedView), jobs.some(({ created }) => created) ? 201 : 200)
}

/** `GET /jobs` */
export async function listJobs(system: JobSystem, query: URLSearchParams, gone: AbortSignal): Promise<Response> {
  const page = await system.list(fromWire(parseQuery(listQuery, query)), { signal: gone })
  return reply(jobListView(page))
}

/** `GET /jobs/:id` */
export async function showJob(system: JobSystem, id: number): Promise<Response> {
  const job = await system.find(id)
  if (!job) throw new JobNotFoundError(id)
  return reply(jobView(job))
}

/** `GET /jobs/:id/history` */
export async function showHistory(system: JobSystem, id: number, query: URLSearchParams): Promise<Response> {
  const history = await system.history(id, parseQuery(historyQuery, query))
  return reply(historyView(history))
}

/** `POST /jobs/:id/cancel` and the other commands. */
export async function commandJob(system: JobSystem, command: Command, id: number): Promise<Response> {
  return reply(jobView(await system[command](id)))
}
