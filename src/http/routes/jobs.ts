import type { Context } from 'hono'
import { z } from 'zod'
import {
  callerFields,
  commandFacts,
  commands,
  filterFields,
  fromWire,
  type Job,
  type JobList,
  type JobSystem,
  mutableFields,
  pageSizes,
  snakeCase,
  storedFields,
} from '../../engine/front-door.ts'
import { JobNotFoundError } from '../../errors.ts'
import { eventView, historyEvent, jobError } from '../history-event.ts'
import { whole } from '../query.ts'
import { reply } from '../reply.ts'
import { callerOf, type Env, idOf, parseBody } from '../request.ts'
import { count, instant, instantOf, jobId, named, state, traceId, type Wire } from '../wire.ts'
import { createJobRoute, createJobsRoute } from './create-jobs.ts'
import { explainRoute } from './explain.ts'
import { logRoute } from './log.ts'
import { renderJobRoute } from './machines.ts'
import { resultRoute } from './result.ts'
import { type ApiRoute, get, patch, post } from './route.ts'

const job = named(
  'Job',
  z
    .strictObject({
      id: jobId,
      state,
      ...Object.fromEntries(storedFields.map(([name, { read }]) => [snakeCase(name), read])),
      payload: z.unknown().describe('As it was sent.'),
      attempt: count.describe(
        'Attempts made since it was created or requeued; those that a crash broke off do not count.',
      ),
      max_retries: count,
      crashes: count.describe(
        'How often the process ended while it ran, since it was created or requeued or an attempt last ended by itself. From the second time on it runs first and alone; the fourth is its last.',
      ),
      idempotency_key: z.string().nullable(),
      unique_key: z.string().nullable().describe('The key that it holds, or held, among the jobs of its type.'),
      run_at: instant.describe('The time from which it can run.'),
      created_at: instant,
      started_at: instant.nullable().describe('When its last attempt started.'),
      finished_at: instant.nullable(),
      error: jobError.nullable().describe('The error of the last failed attempt.'),
      trace_id: traceId,
      progress: z
        .unknown()
        .describe(
          'What its handler reported last: a number from 0 to 100, `{ done, total }` or any other JSON value; `null` if nothing.',
        ),
      progress_at: instant.nullable().describe('When that was stored.'),
      progress_attempt: count
        .nullable()
        .describe('The attempt that reported it: a new one leaves it until it reports something itself.'),
    })
    .describe('Values that do not apply are `null`.'),
)

const jobList = named(
  'JobList',
  z.strictObject({
    jobs: z.array(job).describe('Newest first. A short page need not be the last.'),
    next_cursor: z.string().nullable().describe('`cursor` of the next page; `null` is the end.'),
  }),
)

const history = named('History', z.strictObject({ history: z.array(historyEvent).describe('Oldest first.') }))

const earlierPayload = named(
  'EarlierPayload',
  z.strictObject({ id: jobId, payload: z.unknown().describe('As it was sent.') }),
)

export const commandRequest = named(
  'CommandRequest',
  z.strictObject(callerFields, 'must be an object with a reason').describe('The user and the reason, for the history.'),
)

const amendRequest = named(
  'AmendRequest',
  z
    .strictObject({ ...mutableFields, ...callerFields }, 'must be an object with what to change')
    .meta({ not: { required: ['run_at', 'delay_ms'] } })
    .describe('What to change, the user and the reason. What is left out stays.'),
)

/** Changes a job as a body says that also names the user. */
async function change(system: JobSystem, c: Context<Env>, body: unknown, requeue: boolean): Promise<Response> {
  const id = idOf(c)
  const { actor, reason, ...changes } = Object(body) as Record<string, unknown>
  const said = Object.fromEntries(Object.entries({ actor, reason }).filter(([, value]) => value !== undefined))
  const caller = callerOf(c, 'http', parseBody(commandRequest, said))
  if (requeue && Object.keys(changes).length === 0) return reply(jobView(await system.requeue(id, caller)))
  return reply(jobView(await system.submitChanges(id, Array.isArray(body) ? body : changes, { ...caller, requeue })))
}

/** The routes of the commands for one job. */
const commandRoutes = commands.map((command) => {
  const { summary, description, answer } = commandFacts(command)
  return post({
    path: `/jobs/:id/${command}`,
    id: `${command}Job`,
    tag: 'Jobs',
    summary,
    description,
    answers: { 200: { description: answer, body: job } },
    role: 'operate',
    errors: [
      'illegal_transition',
      'unique_conflict',
      'not_a_server',
      ...(command === 'requeue' ? (['unknown_type', 'invalid_payload'] as const) : []),
    ],
    body: command === 'requeue' ? amendRequest : commandRequest,
    isBodyOptional: true,
    examples: [{ summary: 'the first', status: 200, body: { reason: 'the customer asked for it' } }],
    async handle({ system }, c, body = {}) {
      if (command === 'requeue') return change(system, c, body, true)
      const id = idOf(c)
      return reply(jobView(await system[command](id, callerOf(c, 'http', parseBody(commandRequest, body)))))
    },
  })
})

export const jobRoutes: readonly ApiRoute[] = [
  createJobRoute,
  get({
    path: '/jobs',
    id: 'listJobs',
    tag: 'Jobs',
    summary: 'List jobs, newest first',
    description:
      'One request searches until it finds a job, through ten million ids at most, and returns a few megabytes at most: continue with `next_cursor` until it is `null`.',
    answers: { 200: { description: 'A page of jobs.', body: jobList } },
    examples: [{ summary: 'the newest', status: 200, query: 'type=sleep&limit=10' }],
    limit: 'list',
    query: z.strictObject({
      ...filterFields,
      limit: whole(1, pageSizes.list.max, pageSizes.list.byDefault).describe('Jobs on one page.'),
      cursor: z.string().exactOptional().describe('`next_cursor` of the page before.'),
    }),
    async handle({ system }, _, query, gone) {
      return reply(jobListView(await system.list(fromWire(query), { signal: gone })))
    },
  }),
  createJobsRoute,
  get({
    path: '/jobs/:id',
    id: 'showJob',
    tag: 'Jobs',
    summary: 'Show one job',
    answers: { 200: { description: 'The job.', body: job } },
    examples: [{ summary: 'the first', status: 200 }],
    limit: 'read',
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
    limit: 'read',
    query: z.strictObject({
      after: whole(0, Number.MAX_SAFE_INTEGER, 0).describe('Only transitions after the one with this `seq`.'),
      limit: whole(1, pageSizes.history.max, pageSizes.history.byDefault).describe('Transitions on one page.'),
    }),
    handle: async ({ system }, c, query) => {
      const events = await system.history(idOf(c), query)
      return reply({ history: events.map(eventView) } satisfies Wire<typeof history>)
    },
  }),
  logRoute,
  resultRoute,
  get({
    path: '/jobs/:id/payload',
    id: 'showPayload',
    tag: 'Jobs',
    summary: 'Show the payload of a job as it was',
    description:
      'Of the payloads that an `amend` replaced, a job keeps the first and the newest: 100 of them, up to 1 MiB.',
    errors: ['payload_not_kept'],
    answers: { 200: { description: 'The payload after that transition.', body: earlierPayload } },
    examples: [{ summary: 'as it was enqueued', status: 200, query: 'at=1' }],
    limit: 'read',
    query: z.strictObject({
      at: whole(1, Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER).describe(
        'The `seq` of a transition; by default the last.',
      ),
    }),
    async handle({ system }, c, { at }) {
      const id = idOf(c)
      const found = await system.find(id)
      if (!found) throw new JobNotFoundError(id)
      return reply(earlierView(found, await system.payloadAt(id, at)))
    },
  }),
  explainRoute,
  renderJobRoute,
  patch({
    path: '/jobs/:id',
    id: 'amendJob',
    tag: 'Jobs',
    summary: 'Change a job that waits',
    description:
      'Its payload is checked as at its enqueue. A `run_at` ahead makes the job wait for it; one that has passed lets it run now. The history keeps what was changed, by whom and why, and the payload before it.',
    answers: { 200: { description: 'The job, changed.', body: job } },
    role: 'operate',
    errors: ['illegal_transition', 'unknown_type', 'invalid_payload', 'not_a_server'],
    body: amendRequest,
    examples: [{ summary: 'the first', status: 200, body: { priority: 10, reason: 'the customer waits' } }],
    handle: ({ system }, c, body) => change(system, c, body, false),
  }),
  ...commandRoutes,
]

function jobView(given: Job): Wire<typeof job> {
  return {
    id: given.id,
    state: given.state,
    ...Object.fromEntries(storedFields.map(([name]) => [snakeCase(name), given[name]])),
    payload: given.payload,
    attempt: given.attempt,
    max_retries: given.maxRetries,
    crashes: given.crashes,
    idempotency_key: given.idempotencyKey,
    unique_key: given.uniqueKey,
    run_at: instantOf(given.runAt),
    created_at: instantOf(given.createdAt),
    started_at: instantOf(given.startedAt),
    finished_at: instantOf(given.finishedAt),
    error: given.error,
    trace_id: given.traceId,
    progress: given.progress,
    progress_at: instantOf(given.progressAt),
    progress_attempt: given.progressAttempt,
  }
}

function earlierView({ id }: Job, payload: unknown): Wire<typeof earlierPayload> {
  return { id, payload: payload ?? null }
}

function jobListView({ jobs, nextCursor }: JobList): Wire<typeof jobList> {
  return { jobs: jobs.map(jobView), next_cursor: nextCursor }
}
