import { z } from 'zod'
import {
  commandFacts,
  commands,
  type EnqueuedJob,
  filterFields,
  fromWire,
  historyLimitMax,
  type JobSystem,
  listLimitDefault,
  listLimitMax,
} from '../../engine/front-door.ts'
import { InvalidInputError, JobNotFoundError } from '../../errors.ts'
import { renderJob } from '../dashboard/charts/render.ts'
import { noQuery, pathQuery, whole } from '../query.ts'
import type { RefusalCode } from '../refusals.ts'
import { reply } from '../reply.ts'
import { idOf } from '../request.ts'
import { explanation, explanationView } from '../wire/explanation.ts'
import { history, historyView } from '../wire/history.ts'
import {
  enqueuedJob,
  enqueuedJobOrJobs,
  enqueuedView,
  job,
  jobList,
  jobListView,
  jobView,
  newJob,
  newJobOrJobs,
} from '../wire/job.ts'
import { replySvg, svg } from './machines.ts'
import { type ApiRoute, get, post } from './route.ts'

const later = { type: 'sleep', payload: { ms: 5 }, delay_ms: 60_000 }
const takesJobs: readonly RefusalCode[] = ['invalid_input', 'invalid_payload', 'unknown_type', 'idempotency_conflict']
const created = 'The job is on disk.'
const replayed = 'The idempotency key was used before with the same content; this is that job.'

/** What is done with one job: cancel, requeue. */
const commandRoutes = commands.map((command) => {
  const { summary, description, answer } = commandFacts(command)
  return post({
    path: `/jobs/:id/${command}`,
    id: `${command}Job`,
    tag: 'Jobs',
    summary,
    description,
    answers: { 200: { description: answer, body: job } },
    refusals: ['illegal_transition'],
    examples: [{ summary: 'the first', status: 200 }],
    handle: async ({ system }, c) => reply(jobView(await system[command](idOf(c)))),
  })
})

export const jobRoutes: readonly ApiRoute[] = [
  post({
    path: '/createJob',
    id: 'createJob',
    tag: 'Jobs',
    summary: 'Create one job',
    body: newJob,
    answers: {
      201: { description: created, body: enqueuedJob, headers: ['Location'] },
      200: { description: replayed, body: enqueuedJob, headers: ['Location', 'Idempotent-Replayed'] },
    },
    refusals: takesJobs,
    examples: [
      { summary: 'a job that runs in a minute', status: 201, body: later },
      { summary: 'a job with a key', status: 201, body: { ...later, idempotency_key: 'order-4711', max_retries: 5 } },
    ],
    handle: ({ system }, _, body) => createOne(system, body),
  }),
  get({
    path: '/jobs',
    id: 'listJobs',
    tag: 'Jobs',
    summary: 'List jobs, newest first',
    description:
      'One request searches until it finds a job, through ten million ids at most, and returns a few megabytes at most: continue with `next_cursor` until it is `null`.',
    answers: { 200: { description: 'A page of jobs.', body: jobList } },
    examples: [{ summary: 'the newest', status: 200, query: 'type=sleep&limit=10' }],
    pace: 'list',
    query: z.strictObject({
      ...filterFields,
      limit: whole(1, listLimitMax, listLimitDefault).describe('Jobs on one page.'),
      cursor: z.string().exactOptional().describe('`next_cursor` of the page before.'),
    }),
    async handle({ system }, _, query, gone) {
      return reply(jobListView(await system.list(fromWire(query), { signal: gone })))
    },
  }),
  post({
    path: '/jobs',
    id: 'createJobs',
    tag: 'Jobs',
    summary: 'Create one job or many',
    description: 'An array is one transaction: all of its jobs are stored or none, and it is answered in its order.',
    body: newJobOrJobs,
    answers: {
      201: {
        description: 'All jobs are on disk, and at least one is new.',
        body: enqueuedJobOrJobs,
        headers: ['Location'],
      },
      200: {
        description: 'None is new: each has a key that was used before with the same content.',
        body: enqueuedJobOrJobs,
        headers: ['Location', 'Idempotent-Replayed'],
      },
    },
    refusals: takesJobs,
    examples: [{ summary: 'two jobs', status: 201, body: [later, { ...later, delay_ms: 120_000, priority: 10 }] }],
    handle({ system, outflow }, { env }, body) {
      // Of an array the answer may be large.
      if (Array.isArray(body)) return outflow.serve(env.outgoing, () => createAll(system, body))
      return createOne(system, body)
    },
  }),
  get({
    path: '/jobs/:id',
    id: 'showJob',
    tag: 'Jobs',
    summary: 'Show one job',
    answers: { 200: { description: 'The job.', body: job } },
    examples: [{ summary: 'the first', status: 200 }],
    pace: 'read',
    async handle({ system }, c) {
      const id = idOf(c)
      const found = await system.find(id)
      if (!found) throw new JobNotFoundError(id)
      return reply(jobView(found))
    },
  }),
  get({
    path: '/jobs/:id/history',
    id: 'showHistory',
    tag: 'Jobs',
    summary: 'Show every transition that a job made',
    answers: { 200: { description: 'Its transitions.', body: history } },
    examples: [{ summary: 'of the first job', status: 200, query: 'limit=100' }],
    pace: 'read',
    query: z.strictObject({
      after: whole(0, Number.MAX_SAFE_INTEGER, 0).describe('Only transitions after the one with this `seq`.'),
      limit: whole(1, historyLimitMax, historyLimitMax).describe('Transitions on one page.'),
    }),
    handle: async ({ system }, c, query) => reply(historyView(await system.history(idOf(c), query))),
  }),
  get({
    path: '/jobs/:id/explain',
    id: 'explainJob',
    tag: 'Jobs',
    summary: 'Explain why a job is in its state, what can happen next and what prevents it',
    answers: { 200: { description: 'As it is now.', body: explanation } },
    examples: [{ summary: 'the first job', status: 200 }],
    pace: 'read',
    query: noQuery,
    handle: async ({ system }, c) => reply(explanationView(await system.explain(idOf(c)))),
  }),
  get({
    path: '/jobs/:id/machine.svg',
    id: 'drawJob',
    tag: 'Jobs',
    summary: 'Draw the path that a job took through its machine',
    answers: { 200: { description: 'A picture.', texts: svg } },
    examples: [{ summary: 'of the first job, when it was new', status: 200, query: 'at=1' }],
    pace: 'chart',
    query: pathQuery,
    handle: async ({ system }, c, query) => replySvg(await renderJob(system, idOf(c), query)),
  }),
  ...commandRoutes,
]

async function createOne(system: JobSystem, body: unknown): Promise<Response> {
  if (Array.isArray(body))
    throw new InvalidInputError([{ path: '', message: 'must be one job; POST /jobs accepts an array' }])
  const [job] = (await system.submit(body)) as [EnqueuedJob]
  const headers: Record<string, string> = { location: `/jobs/${job.id}` }
  if (!job.created) headers['idempotent-replayed'] = 'true'
  return reply(enqueuedView(job), job.created ? 201 : 200, headers)
}

/** All or nothing, answered in the array's order. */
async function createAll(system: JobSystem, body: unknown): Promise<Response> {
  const jobs = await system.submit(body)
  return reply(jobs.map(enqueuedView), jobs.some(({ created }) => created) ? 201 : 200)
}
