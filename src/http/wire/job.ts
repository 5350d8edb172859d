import { z } from 'zod'
import {
  type EnqueuedJob,
  enqueueBatchMax,
  type Job,
  type JobList,
  newJobSchema,
  snakeCase,
  storedFields,
} from '../../engine/front-door.ts'
import { count, instant, instantOf, jobId, named, state, type Wire } from './wire.ts'

export const newJob = named('NewJob', newJobSchema)

const newJobs = named('NewJobs', z.array(newJob).min(1).max(enqueueBatchMax).describe('All are stored or none.'))

export const newJobOrJobs = named('NewJobOrJobs', z.union([newJob, newJobs]))

export const enqueuedJob = named(
  'EnqueuedJob',
  z.strictObject({
    id: jobId,
    state,
    created: z.boolean().describe('False if an earlier job has the same key and content; this is that job.'),
    message: z.string().describe('For people.'),
  }),
)

export function enqueuedView({ id, state, created }: EnqueuedJob): Wire<typeof enqueuedJob> {
  const message = created ? `job ${id} is stored` : `job ${id} was stored before, with this idempotency key`
  return { id, state, created, message }
}

export const enqueuedJobOrJobs = named(
  'EnqueuedJobOrJobs',
  z.union([enqueuedJob, z.array(enqueuedJob)]).describe('One for one job, an array in its order for an array.'),
)

const describedError = z.strictObject({
  name: z.string(),
  message: z.string().describe('With those of its causes and of the errors that it holds.'),
  code: z.union([z.string(), z.number()]).optional(),
  errno: z.number().optional(),
  syscall: z.string().optional(),
})

export const jobError = named(
  'JobError',
  describedError
    .extend({
      causes: z.array(describedError).optional().describe('Three at most, in their order.'),
      errors: z.array(describedError).optional().describe('What an `AggregateError` held, ten at most.'),
      stack: z.string().optional().describe('Of the handler, in a history alone.'),
    })
    .describe('What a handler threw, each part cut to a bound.'),
)

export const job = named(
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
        'Ends of the process while it ran, since it was created or requeued, or an attempt last came to an outcome of its own. From two on it runs first and alone; the fourth is its last.',
      ),
      idempotency_key: z.string().nullable(),
      run_at: instant.describe('When it could or can run.'),
      created_at: instant,
      started_at: instant.nullable().describe('When its last attempt started.'),
      finished_at: instant.nullable(),
      error: jobError.nullable().describe('Of the last attempt that failed.'),
    })
    .describe('What does not apply is `null`.'),
)

export function jobView(given: Job): Wire<typeof job> {
  return {
    id: given.id,
    state: given.state,
    ...Object.fromEntries(storedFields.map(([name]) => [snakeCase(name), given[name]])),
    payload: given.payload,
    attempt: given.attempt,
    max_retries: given.maxRetries,
    crashes: given.crashes,
    idempotency_key: given.idempotencyKey,
    run_at: instantOf(given.runAt),
    created_at: instantOf(given.createdAt),
    started_at: instantOf(given.startedAt),
    finished_at: instantOf(given.finishedAt),
    error: given.error,
  }
}

export const jobList = named(
  'JobList',
  z.strictObject({
    jobs: z.array(job).describe('Newest first. A page may be short and go on.'),
    next_cursor: z.string().nullable().describe('`cursor` of the next page; `null` is the end.'),
  }),
)

export function jobListView({ jobs, nextCursor }: JobList): Wire<typeof jobList> {
  return { jobs: jobs.map(jobView), next_cursor: nextCursor }
}
