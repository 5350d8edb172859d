import type { Context } from 'hono'
import { z } from 'zod'
import {
  type EnqueuedJob,
  type EnqueueOptions,
  enqueueBatchMax,
  isDead,
  type JobSystem,
  uniqueOutcomes,
} from '../../engine/front-door.ts'
import { InvalidInputError } from '../../errors.ts'
import type { ApiErrorCode } from '../api-errors.ts'
import { reply, toJson } from '../reply.ts'
import { callerOf, type Env } from '../request.ts'
import { jobId, named, newJob, state, type Wire } from '../wire.ts'
import { type ApiRoute, post } from './route.ts'

const newJobs = named('NewJobs', z.array(newJob).min(1).max(enqueueBatchMax).describe('All are stored or none.'))

const newJobOrJobs = named('NewJobOrJobs', z.union([newJob, newJobs]))

const enqueuedJob = named(
  'EnqueuedJob',
  z.strictObject({
    id: jobId,
    state,
    created: z
      .boolean()
      .describe(
        'False if this is another job: one with the same idempotency key and content, or one that holds the unique key.',
      ),
    unique: z
      .enum(uniqueOutcomes)
      .exactOptional()
      .describe(
        'What became of a request with `unique`. `stored`: the job holds the key. `blocked`: it waits for the one that does. `replaced`, `debounced`: this job was changed to the request. `returned`: this is the job that holds it, unchanged.',
      ),
    replaced: jobId
      .exactOptional()
      .describe('With `replace_dead`: the dead job that was cancelled, and whose idempotency key this one has now.'),
    message: z.string().describe('For people.'),
  }),
)

const enqueuedJobOrJobs = named(
  'EnqueuedJobOrJobs',
  z
    .union([enqueuedJob, z.array(enqueuedJob)])
    .describe('An object for one job, or an array in the same order for an array.'),
)

const later = { type: 'sleep', payload: { ms: 5 }, delay_ms: 60_000 }
const takesJobs: readonly ApiErrorCode[] = [
  'invalid_input',
  'invalid_payload',
  'unknown_type',
  'idempotency_conflict',
  'unique_conflict',
]
const created = 'The job is on disk.'
const replayed =
  'The idempotency key was used before with the same content, or the unique key is held; this is that job.'

export const createJobRoute: ApiRoute = post({
  path: '/createJob',
  id: 'createJob',
  tag: 'Jobs',
  summary: 'Create one job',
  body: newJob,
  answers: {
    201: { description: created, body: enqueuedJob, headers: ['Location'] },
    200: { description: replayed, body: enqueuedJob, headers: ['Location', 'Idempotent-Replayed', 'Dead-Jobs'] },
  },
  role: 'operate',
  errors: takesJobs,
  examples: [
    { summary: 'a job that runs in a minute', status: 201, body: later },
    { summary: 'the only job with a unique key', status: 201, body: { ...later, unique: { key: 'customer-7' } } },
    { summary: 'a job with a key', status: 201, body: { ...later, idempotency_key: 'order-4711', max_retries: 5 } },
  ],
  handle: ({ system }, c, body) => createOne(system, c, body),
})

export const createJobsRoute: ApiRoute = post({
  path: '/jobs',
  id: 'createJobs',
  tag: 'Jobs',
  summary: 'Create one job or many',
  description: 'An array is one transaction: all of its jobs are stored or none, and the answer has the same order.',
  body: newJobOrJobs,
  answers: {
    201: {
      description: 'All jobs are on disk, and at least one is new.',
      body: enqueuedJobOrJobs,
      headers: ['Location', 'Dead-Jobs'],
    },
    200: {
      description: 'None is new: each has an idempotency key that was used before, or a unique key that is held.',
      body: enqueuedJobOrJobs,
      headers: ['Location', 'Idempotent-Replayed', 'Dead-Jobs'],
    },
  },
  role: 'operate',
  errors: takesJobs,
  examples: [{ summary: 'two jobs', status: 201, body: [later, { ...later, delay_ms: 120_000, priority: 10 }] }],
  handle({ system, responseMemory }, c, body) {
    // The answer to an array may be large.
    if (Array.isArray(body))
      return responseMemory.serve(c.env.outgoing, () => answerAll(system.submit(body, clientOf(c))))
    return createOne(system, c, body)
  },
})

function createOne(system: JobSystem, c: Context<Env>, body: unknown): Promise<Response> {
  if (!Array.isArray(body)) return answerOne(system.submit(body, clientOf(c)))
  throw new InvalidInputError([{ path: '', message: 'must be one job; POST /jobs accepts an array' }])
}

/** Without the body, which an async function would keep until its end. */
async function answerOne(stored: Promise<readonly EnqueuedJob[]>): Promise<Response> {
  const jobs = await stored
  const job = jobs[0]!
  const location = `/jobs/${job.id}`
  if (job.created) return reply(job, 201, { location }, textOf(job))
  const headers: Record<string, string> = { location, ...deadJobs(jobs) }
  if (!job.unique) headers['idempotent-replayed'] = 'true'
  return reply(enqueuedView(job), 200, headers)
}

/** All are stored or none; the answers have their order. */
async function answerAll(stored: Promise<readonly EnqueuedJob[]>): Promise<Response> {
  const jobs = await stored
  const status = jobs.some(({ created }) => created) ? 201 : 200
  return reply(jobs, status, deadJobs(jobs), `[${jobs.map(textOf).join()}]`)
}

/** The header that names dead jobs among the answers: a client that looks at the status alone would believe that they run. */
function deadJobs(jobs: readonly EnqueuedJob[]): Record<string, string> {
  const dead = jobs.filter(({ created, state }) => !created && isDead(state))
  return dead.length === 0 ? {} : { 'dead-jobs': dead.map(({ id }) => id).join(', ') }
}

/** The user, and the trace. */
function clientOf(c: Context<Env>): EnqueueOptions {
  const { traceparent, tracestate } = c.env.incoming.headers
  if (traceparent === undefined) return callerOf(c, 'http')
  return { ...callerOf(c, 'http'), traceparent: `${traceparent}`, tracestate: tracestate && `${tracestate}` }
}

/** The JSON of `enqueuedView`; that of a new job, the usual one, takes a third of the time in this way. */
function textOf(job: EnqueuedJob): string {
  const { id, state, created, unique, replaced } = job
  if (!created || unique !== undefined || replaced !== undefined) return toJson(enqueuedView(job))
  return `{"id":${id},"state":"${state}","created":true,"message":"job ${id} is stored"}`
}

function enqueuedView({ id, state, created, unique, replaced }: EnqueuedJob): Wire<typeof enqueuedJob> {
  const known = unique ? sayHolder(id, unique) : `job ${id} was stored before, with this idempotency key`
  const dead = isDead(state) ? '; it is dead and does not run: requeue it, or send replace_dead' : ''
  const instead = replaced === undefined ? '' : ` and has the key of the dead job ${replaced}, which is cancelled`
  const message = created ? `job ${id} is stored${instead}` : `${known}${dead}`
  return { id, state, created, ...(unique && { unique }), ...(replaced !== undefined && { replaced }), message }
}

function sayHolder(id: number, unique: NonNullable<EnqueuedJob['unique']>): string {
  if (unique === 'returned') return `job ${id} holds the unique key`
  return `job ${id} ${unique === 'debounced' ? 'was put off and' : ''} has what this request says`.replace('  ', ' ')
}
