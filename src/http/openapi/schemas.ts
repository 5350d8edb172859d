import { z } from 'zod'
import {
  bulkPhases,
  commands,
  enqueueBatchMax,
  eventTypes,
  filterFields,
  jobStates,
  newJobSchema,
  snakeCase,
  storedFields,
} from '../../engine/front-door.ts'
import { refusalCodes } from '../refusals.ts'

/** What the API's description names: each schema once, the others refer to it. */
export const components = z.registry<{ id: string }>()

function named<Schema extends z.ZodType>(id: string, schema: Schema): Schema {
  components.add(schema, { id })
  return schema
}

const instant = z
  .string()
  .regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  .meta({ format: 'date-time' })
const state = z.enum(jobStates)
const count = z.int().min(0)

export const jobIdSchema = z.int().min(1).describe('Rising, and never used again.')

export const newJob = named('NewJob', newJobSchema)

const newJobs = named('NewJobs', z.array(newJob).min(1).max(enqueueBatchMax).describe('All are stored or none.'))

export const newJobOrJobs = named('NewJobOrJobs', z.union([newJob, newJobs]))

export const enqueuedJob = named(
  'EnqueuedJob',
  z.strictObject({
    id: jobIdSchema,
    state,
    created: z.boolean().describe('False where an earlier job has its key and the same content: this is that one.'),
    message: z.string().describe('For people.'),
  }),
)

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

const storedError = named(
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
      id: jobIdSchema,
      state,
      ...Object.fromEntries(storedFields.map(([name, { read }]) => [snakeCase(name), read])),
      payload: z.unknown().describe('As it was handed in.'),
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
      error: storedError.nullable().describe('Of the last attempt that failed.'),
    })
    .describe('What does not apply is `null`.'),
)

export const jobList = named(
  'JobList',
  z.strictObject({
    jobs: z.array(job).describe('Newest first. A page may be short and go on.'),
    next_cursor: z.string().nullable().describe('`cursor` of the next page; `null` is the end.'),
  }),
)

const historyEvent = named(
  'HistoryEvent',
  z
    .strictObject({
      seq: z.int().min(1).describe('1, 2, 3 … without a gap.'),
      event: z.enum(eventTypes),
      from: state.nullable().describe('`null` for the first.'),
      to: state,
      attempt: count.describe('After it.'),
      at: instant,
      error: storedError.optional().describe('Where an attempt failed.'),
    })
    .describe('One transition of a job.'),
)

export const history = named('History', z.strictObject({ history: z.array(historyEvent).describe('Oldest first.') }))

const cause = z.string().describe('Who makes it happen, such as `clock`, `handler` or `person`.')

const obstacle = named(
  'Obstacle',
  z.strictObject({
    code: z.string().describe('For programs: it is stable.'),
    message: z.string().describe('For people.'),
    until: instant
      .nullable()
      .describe('When it is out of the way by itself; `null` where that is not known, or never.'),
  }),
)

const happened = named(
  'Happened',
  z.strictObject({
    seq: z.int().min(1).describe('Which transition of the history it is.'),
    event: z.enum(eventTypes),
    cause,
    at: instant,
    attempt: count.describe('After it.'),
    max_attempts: z.int().min(1),
    error: storedError.nullable(),
    sentence: z.string(),
  }),
)

const counted = named(
  'Counted',
  z.strictObject({ count, more: z.boolean().describe('Whether there are more than that.') }),
)

export const explanation = named(
  'Explanation',
  z.strictObject({
    job_id: jobIdSchema,
    state,
    meaning: z.string().describe('Of the state.'),
    summary: z.string().describe('All of it in a few sentences.'),
    because: happened.describe('What brought it here.'),
    last_failure: happened.nullable().describe('The end of the last attempt that failed, also from before a requeue.'),
    next: z
      .array(
        z.strictObject({
          event: z.enum(eventTypes),
          to: state,
          cause,
          possible: z.boolean().nullable().describe('Now; `null` where this server does not know.'),
          obstacles: z.array(obstacle),
          sentence: z.string(),
        }),
      )
      .describe('Every event that the machine takes in this state.'),
    obstacles: z.array(obstacle).describe('What stands between the job and its next run.'),
    line: z
      .strictObject({
        ahead: counted.describe('Jobs of its queue that run before it.'),
        queues: counted.describe('Queues that take turns, its own included.'),
      })
      .nullable()
      .describe('Of a job that waits for a worker.'),
    earliest_run_at: instant
      .nullable()
      .describe(
        '`null` where nobody knows: someone must do something first, others go before it, no worker is free, or it never runs again.',
      ),
    earliest: z.string().describe('The same in words.'),
    removed_at: instant.nullable().describe('From when on retention removes it.'),
  }),
)

export const machine = named(
  'Machine',
  z.strictObject({
    id: z.string(),
    states: z.array(
      z.strictObject({
        name: z.string(),
        description: z.string(),
        tags: z.array(z.string()),
        initial: z.boolean(),
        final: z.boolean(),
        count: count.describe('What is in it now.'),
      }),
    ),
    edges: z.array(
      z.strictObject({
        id: z.string(),
        from: z.string().nullable().describe('`null`: from where nothing was before.'),
        event: z.string().nullable().describe('`null`: taken by itself, as soon as the guard holds.'),
        to: z.string(),
        guard: z.string().nullable().describe('In words; `null`: it is taken whatever the facts.'),
        taken: count.nullable().describe('How often, since the file was made; `null` where that is not counted.'),
      }),
    ),
    mermaid: z.string().describe('The same as a Mermaid state diagram.'),
  }),
)

const sinceStart = 'Since the process started'
export const metrics = named(
  'Metrics',
  z.strictObject({
    active_workers: count.describe('Now.'),
    queue_depth: count.describe('Jobs that could run now and wait for a worker.'),
    dead_letter_count: count.describe('Now.'),
    retry_count: count.describe(`${sinceStart}: failed attempts of jobs that run again.`),
    success_count: count.describe(`${sinceStart}.`),
    failure_count: count.describe(`${sinceStart}: attempts that ended in fail, reject or expire.`),
    avg_execution_ms: z.number().min(0).describe(`${sinceStart}; 0 where no attempt has ended.`),
    avg_time_in_queue_ms: z
      .number()
      .min(0)
      .describe(`${sinceStart}: from when a job could run to its handler's call; 0 where none has started.`),
  }),
)

export const live = named('Live', z.strictObject({ status: z.literal('live') }))
export const ready = named('Ready', z.strictObject({ status: z.literal('ready') }))
export const notReady = named(
  'NotReady',
  z.strictObject({
    status: z.literal('not ready'),
    reason: z.string().optional().describe('Where the server asks for a token: only to those who show it.'),
  }),
)

const commandTakes = `takes one of ${commands.join(', ')}`
const command = z.enum(commands, commandTakes)

export const bulkRequest = named(
  'BulkRequest',
  z
    .strictObject({ command, ...filterFields }, 'takes an object with a command and a filter')
    .describe('The command and which jobs it is for; without a `state`: those in any state that takes it.'),
)

const matchedTakes = 'takes the count that was shown'

export const bulkConfirmation = named(
  'BulkConfirmation',
  z.strictObject(
    { matched: z.int(matchedTakes).min(0, matchedTakes).describe('The count that was shown.') },
    'takes an object with the count that was shown',
  ),
)

export const bulk = named(
  'Bulk',
  z.strictObject({
    id: z.string(),
    command,
    filter: z.strictObject({
      state: state.optional(),
      type: z.string().optional(),
      queue: z.string().optional(),
      text: z.string().optional(),
      created_from: instant.optional(),
      created_to: instant.optional(),
    }),
    phase: z.enum(bulkPhases).describe('`ready`: it waits for the confirmation of its count.'),
    created_at: instant,
    expires_at: instant.nullable().describe('When it is given up unless it is confirmed.'),
    matched: count.describe('Jobs that match, so far while it counts.'),
    more: z.boolean().describe('More match than it takes; it has the newest.'),
    up_to: count.nullable().describe('The highest id looked at; later jobs are not touched.'),
    looked_to: count.nullable().describe('How far down it has looked.'),
    moved: count,
    refused: count.describe('Jobs that had left the state by then.'),
    error: z.string().nullable().describe('Why it failed.'),
  }),
)

export const bulkList = named('BulkList', z.strictObject({ bulk: z.array(bulk).describe('Newest first.') }))

export const openApi = named('OpenApi', z.looseObject({ openapi: z.string() }).describe('OpenAPI 3.1.'))

const fault = named(
  'Fault',
  z.strictObject({
    path: z.string().describe('The field or parameter; for an item of an array it begins with its index.'),
    message: z.string().describe('What it takes.'),
  }),
)

export const problem = named(
  'Problem',
  z
    .strictObject({
      type: z.string(),
      title: z.string(),
      status: z.int(),
      detail: z.string().describe('The same as `message`.'),
      code: z.enum(refusalCodes).describe('For programs: it is stable.'),
      message: z.string().describe('For people: it may change.'),
      errors: z.array(fault).optional().describe('Of wrong input: one for each fault, to 1,000.'),
      id: jobIdSchema.nullable().optional().describe('Of a conflict: the job.'),
      phase: z.enum(bulkPhases).optional().describe('Of a command over many jobs.'),
      matched: count.optional().describe('Of a command over many jobs: its count.'),
      state: state.optional().describe('Of an illegal transition: the state that the job is in.'),
      events: z
        .array(z.enum(eventTypes))
        .optional()
        .describe('Of an illegal transition: what the machine takes in that state.'),
    })
    .describe('A refusal, by RFC 9457.'),
)
