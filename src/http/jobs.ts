import type { Context } from 'hono'
import { InvalidInputError, JobNotFoundError } from '../errors.ts'
import {
  type EnqueuedJob,
  type HistoryEvent,
  type Job,
  type JobFilter,
  type JobState,
  type JobSystem,
  jobStates,
} from '../system.ts'
import { HttpError } from './problem.ts'
import { reply } from './reply.ts'
import type { Env } from './routes.ts'

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
export async function listJobs(system: JobSystem, query: URLSearchParams): Promise<Response> {
  assertKnown(query, ['state', 'type', 'queue', 'limit', 'cursor'])
  const { jobs, nextCursor } = await system.list({
    ...textOf(query, 'type'),
    ...textOf(query, 'queue'),
    ...textOf(query, 'cursor'),
    ...stateOf(query),
    ...wholeOf(query, 'limit'),
  } satisfies JobFilter)
  return reply({ jobs: jobs.map(jobView), next_cursor: nextCursor })
}

/** `GET /jobs/:id` */
export async function showJob(system: JobSystem, id: number): Promise<Response> {
  const job = await system.find(id)
  if (!job) throw new JobNotFoundError(id)
  return reply(jobView(job))
}

/** `GET /jobs/:id/history` */
export async function showHistory(system: JobSystem, id: number, query: URLSearchParams): Promise<Response> {
  assertKnown(query, ['after', 'limit'])
  const history = await system.history(id, { ...wholeOf(query, 'after'), ...wholeOf(query, 'limit') })
  return reply({ history: history.map(eventView) })
}

/** `POST /jobs/:id/cancel` and `/requeue` */
export async function commandJob(system: JobSystem, command: 'cancel' | 'requeue', id: number): Promise<Response> {
  return reply(jobView(await system[command](id)))
}

function enqueuedView({ id, state, created }: EnqueuedJob) {
  const message = created ? `job ${id} is stored` : `job ${id} was stored before, with this idempotency key`
  return { id, state, created, message }
}

function jobView(job: Job) {
  return {
    id: job.id,
    type: job.type,
    queue: job.queue,
    state: job.state,
    priority: job.priority,
    payload: job.payload,
    attempt: job.attempt,
    max_retries: job.maxRetries,
    idempotency_key: job.idempotencyKey,
    timeout_ms: job.timeoutMs,
    run_at: instant(job.runAt),
    created_at: instant(job.createdAt),
    started_at: instant(job.startedAt),
    finished_at: instant(job.finishedAt),
    error: job.error,
  }
}

function eventView({ seq, event, from, to, attempt, at, error }: HistoryEvent) {
  return { seq, event, from, to, attempt, at: instant(at), ...(error ? { error } : {}) }
}

export function instant(at: number | null): string | null {
  return at === null ? null : new Date(at).toISOString()
}

export function assertKnown(query: URLSearchParams, known: readonly string[]): void {
  const issues = [...new Set(query.keys())].flatMap((name) => {
    if (!known.includes(name))
      return [{ path: name, message: `is not a known parameter; there are ${known.join(', ') || 'none'}` }]
    return query.getAll(name).length > 1 ? [{ path: name, message: 'is given twice' }] : []
  })
  if (issues.length > 0) throw new InvalidInputError(issues)
}

function textOf<Name extends string>(query: URLSearchParams, name: Name): { [key in Name]?: string } {
  const value = query.get(name)
  return value === null ? {} : ({ [name]: value } as { [key in Name]: string })
}

export function wholeOf<Name extends string>(query: URLSearchParams, name: Name): { [key in Name]?: number } {
  const value = query.get(name)
  if (value === null) return {}
  if (!/^[0-9]{1,15}$/.test(value)) throw new InvalidInputError([{ path: name, message: 'takes a whole number' }])
  return { [name]: Number(value) } as { [key in Name]: number }
}

function stateOf(query: URLSearchParams): { state?: JobState } {
  const state = query.get('state')
  if (state === null) return {}
  const known = jobStates.find((name) => name === state)
  if (!known) throw new InvalidInputError([{ path: 'state', message: `takes one of ${jobStates.join(', ')}` }])
  return { state: known }
}
