import { z } from 'zod'
import { type Explanation, eventTypes } from '../../engine/front-door.ts'
import { caused, causeView, jobError } from '../history-event.ts'
import { reply } from '../reply.ts'
import { idOf } from '../request.ts'
import { count, instant, instantOf, jobId, named, state, traceId, type Wire } from '../wire.ts'
import { type ApiRoute, get } from './route.ts'

const cause = z.string().describe('Who causes it: `clock`, `dispatcher`, `handler`, `store` or `person`.')

const obstacle = named(
  'Obstacle',
  z.strictObject({
    code: z.string().describe('For programs: it is stable.'),
    message: z.string().describe('For people.'),
    until: instant.nullable().describe('When it ends by itself; `null` if that is not known, or never.'),
  }),
)

function obstacleView({ code, message, until }: Explanation['obstacles'][number]): Wire<typeof obstacle> {
  return { code, message, until: instantOf(until) }
}

const happened = named(
  'Happened',
  z.strictObject({
    seq: z.int().min(1).describe('The number of its transition in the history.'),
    event: z.enum(eventTypes),
    ...caused.shape,
    at: instant,
    attempt: count.describe('After it.'),
    max_attempts: z.int().min(1),
    error: jobError.nullable(),
    note: z.string().optional().describe('What the handler noted about the attempt that ended.'),
    sentence: z.string(),
  }),
)

function happenedView(because: Explanation['because']): Wire<typeof happened> {
  const { maxAttempts, at, sentence, firstMissed: _, ...same } = because
  return { ...same, ...causeView(because), max_attempts: maxAttempts, at: instantOf(at), sentence } as Wire<
    typeof happened
  >
}

const counted = named(
  'Counted',
  z.strictObject({ count, more: z.boolean().describe('Whether there are more than that.') }),
)

const worker = named(
  'WorkerHolder',
  z.strictObject({
    job_id: jobId,
    type: z.string(),
    since: instant.describe('When its handler was called.'),
    until: instant.nullable().describe('When it will be told to stop, at the latest; `null` if it already was.'),
    aborted_at: instant.nullable().describe('When it was told to stop but did not; `null` before that.'),
  }),
)

function workerView({ jobId, type, since, until, abortedAt }: Explanation['workers'][number]): Wire<typeof worker> {
  return { job_id: jobId, type, since: instantOf(since), until: instantOf(until), aborted_at: instantOf(abortedAt) }
}

const explanation = named(
  'Explanation',
  z.strictObject({
    at: instant.describe('When it was made: what its sentences call now.'),
    job_id: jobId,
    state,
    meaning: z.string().describe('Of the state.'),
    summary: z.string().describe('The whole explanation in a few sentences, the cause first.'),
    advice: z.string().describe('What to do about it, in a line or two.'),
    because: happened.describe('The transition that brought it here.'),
    last_failure: happened.nullable().describe('The end of the last attempt that failed, also from before a requeue.'),
    next: z
      .array(
        z.strictObject({
          event: z.enum(eventTypes),
          to: state,
          cause,
          possible: z.boolean().nullable().describe('Now; `null` if this server does not know.'),
          obstacles: z.array(obstacle),
          sentence: z.string(),
        }),
      )
      .describe('Every event that the machine allows in this state.'),
    obstacles: z.array(obstacle).describe('What prevents its next run.'),
    workers: z.array(worker).describe('Who occupies the workers, if none is free for it: at most ten.'),
    replays: z
      .strictObject({ count, last_at: instant })
      .nullable()
      .describe('How often its idempotency key was used again, so that the answer was this job, and when last.'),
    line: z
      .strictObject({
        ahead: counted.describe('Jobs of its queue that run before it.'),
        higher: counted.describe('Those of them with a higher priority.'),
        highest: z.int().describe('The highest priority of a job that waits in its queue.'),
        queues: counted.describe('Queues that take turns, its own included.'),
      })
      .nullable()
      .describe('Of a job that waits for a worker.'),
    earliest_run_at: instant
      .nullable()
      .describe(
        '`null` if that is not known: someone must act first, others run before it, no worker is free, or it never runs again.',
      ),
    earliest: z.string().describe('The same in words.'),
    removed_at: instant.nullable().describe('The time from which retention removes it.'),
    trace_id: traceId,
  }),
)

/** One of the routes of a job. */
export const explainRoute: ApiRoute = get({
  path: '/jobs/:id/explain',
  id: 'explainJob',
  tag: 'Jobs',
  summary: 'Explain why a job is in its state, what can happen next and what prevents it',
  answers: { 200: { description: 'As it is now.', body: explanation } },
  examples: [{ summary: 'the first job', status: 200 }],
  limit: 'read',
  query: z.strictObject({}),
  handle: async ({ system }, c) => reply(explanationView(await system.explain(idOf(c)))),
})

function explanationView(given: Explanation): Wire<typeof explanation> {
  return {
    at: instantOf(given.at),
    job_id: given.jobId,
    state: given.state,
    meaning: given.meaning,
    summary: given.summary,
    advice: given.advice,
    because: happenedView(given.because),
    last_failure: given.lastFailure && happenedView(given.lastFailure),
    next: given.next.map(({ event, to, cause, possible, obstacles, sentence }) => {
      return { event, to, cause, possible, obstacles: obstacles.map(obstacleView), sentence }
    }),
    obstacles: given.obstacles.map(obstacleView),
    workers: given.workers.map(workerView),
    replays: given.replays && { count: given.replays.count, last_at: instantOf(given.replays.lastAt) },
    line: given.line,
    earliest_run_at: instantOf(given.earliestRunAt),
    earliest: given.earliest,
    removed_at: instantOf(given.removedAt),
    trace_id: given.traceId,
  }
}
