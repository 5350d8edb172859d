import type { Context } from 'hono'
import { z } from 'zod'
import {
  newScheduleSchema,
  pageSizes,
  type ScheduleHistoryEvent,
  type ScheduleInfo,
  type SchedulePreview,
  scheduleEvents,
  scheduleStates,
  snakeCase,
} from '../../engine/front-door.ts'
import { InvalidInputError, ScheduleNotFoundError } from '../../errors.ts'
import { name } from '../../job/fields.ts'
import { caused, causeView } from '../history-event.ts'
import { whole } from '../query.ts'
import { reply } from '../reply.ts'
import { callerOf, type Env, parseBody } from '../request.ts'
import { count, instant, instantOf, jobId, named, state, type Wire } from '../wire.ts'
import { commandRequest } from './jobs.ts'
import { type ApiRoute, get, post, put, remove } from './route.ts'

const newSchedule = named('NewSchedule', newScheduleSchema.partial({ name: true }))

const wholeSchedule = named('NamedSchedule', newScheduleSchema)

const schedule = named(
  'Schedule',
  z.strictObject({
    name: z.string(),
    state: z.enum(scheduleStates),
    problem: z.string().nullable().describe('Why it is broken.'),
    source: z
      .enum(['code', 'api'])
      .describe('`code`: the program declares it; it can be paused, resumed and triggered here.'),
    cron: z.string().nullable(),
    every_ms: count.nullable(),
    zone: z.string(),
    starts_at: instant.nullable(),
    ends_at: instant.nullable(),
    job: z.looseObject({ type: z.string(), payload: z.unknown() }).describe('The job of each tick, as it was given.'),
    overlap: z.enum(['allow', 'skip']),
    missed: z.enum(['skip', 'one', 'all']),
    jitter_ms: count,
    next_tick: instant.nullable().describe('`null` if it is not active.'),
    last_job: z
      .strictObject({ id: jobId, tick: instant, state: state.nullable().describe('`null` if the job was removed.') })
      .nullable()
      .describe('The newest tick that made a job, and that job.'),
    seq: count.describe('The number of its newest event.'),
    created_at: instant,
    updated_at: instant,
  }),
)

const list = named(
  'ScheduleList',
  z.strictObject({
    schedules: z.array(schedule).describe('By name.'),
    next_cursor: z.string().nullable().describe('The `cursor` of the next page; `null` at the end.'),
  }),
)

const triggered = named('TriggeredJob', z.strictObject({ job_id: jobId }))

const missedTicks = z.strictObject({
  count,
  is_more: z.boolean().describe('There were more; counting stops at 10,000.'),
  first: instant,
  last: instant,
})

const scheduleEvent = named(
  'ScheduleEvent',
  z.strictObject({
    seq: count.describe('1, 2, 3 … without a gap.'),
    event: z.enum(scheduleEvents),
    from: z.enum(scheduleStates).nullable().describe('`null` for the first.'),
    to: z.enum(scheduleStates),
    at: instant,
    tick: instant.nullable().describe('The tick that it dealt with, the last if several.'),
    job_id: jobId.nullable().describe('The job that it made.'),
    job_state: state.nullable().describe('The state of that job now; `null` if it was removed.'),
    by: caused.optional().describe('Who caused it; left out if time did.'),
    reason: z
      .string()
      .optional()
      .describe('Why ticks made no job (`missed`, `overlap`, `unique`, `full`), or why it ended or broke.'),
    missed: missedTicks.optional().describe('The missed ticks that it dealt with.'),
    skipped: count.optional().describe('How many of them make no job.'),
    unended: jobId.optional().describe('The job that had not ended, for a tick that was skipped because of it.'),
    changed: z.array(z.string()).optional().describe('The fields that an edit changed.'),
  }),
)

const history = named(
  'ScheduleHistory',
  z.strictObject({ events: z.array(scheduleEvent).describe('Newest first. At least the newest 1,000 are kept.') }),
)

const preview = named(
  'SchedulePreview',
  z.strictObject({
    ticks: z.array(z.strictObject({ tick: instant, utc: z.string(), local: z.string().describe('In its zone.') })),
    warnings: z.array(z.string()).describe('What may surprise about its timing.'),
  }),
)

const nightly = {
  cron: '30 2 * * *',
  zone: 'Europe/Berlin',
  job: { type: 'sleep', payload: { ms: 100 } },
  missed: 'one',
}

const tag = 'Schedules'
const found = { description: 'The schedule, as it is now.', body: schedule }
const changes = ['schedule_state', 'not_a_server'] as const
const command = { role: 'operate', errors: changes, body: commandRequest, isBodyOptional: true } as const

export const scheduleRoutes: readonly ApiRoute[] = [
  get({
    path: '/schedules',
    id: 'listSchedules',
    tag,
    summary: 'List schedules',
    query: z.strictObject({
      ended: z
        .enum(['true', 'false'], 'must be true or false')
        .exactOptional()
        .describe('Whether also those that have ended are listed, the last of each name.'),
      limit: whole(1, pageSizes.list.max, pageSizes.list.byDefault).describe('Schedules on one page.'),
      cursor: name.exactOptional().describe('`next_cursor` of the page before.'),
    }),
    answers: { 200: { description: 'A page.', body: list } },
    examples: [{ summary: 'all that live', status: 200 }],
    limit: 'list',
    async handle({ system }, _c, { ended, ...page }) {
      const { schedules, nextCursor } = await system.schedules.list({ ...page, ended: ended === 'true' })
      return reply({ schedules: schedules.map(scheduleView), next_cursor: nextCursor } satisfies Wire<typeof list>)
    },
  }),
  put({
    path: '/schedules/:name',
    id: 'putSchedule',
    tag,
    summary: 'Create a schedule, or change the one of that name',
    description:
      'The same again changes nothing. What an old timing owes is settled first, by its `missed`; the new one counts from now. Jobs that were made stay.',
    body: newSchedule,
    role: 'operate',
    answers: { 200: found },
    errors: ['unknown_type', 'schedule_state', 'not_a_server'],
    examples: [{ summary: 'every night', status: 200, body: nightly }],
    async handle({ system }, c, body) {
      return reply(scheduleView(await system.schedules.submit(withName(body, nameOf(c)), callerOf(c, 'http'))))
    },
  }),
  get({
    path: '/schedules/:name',
    id: 'showSchedule',
    tag,
    summary: 'Show a schedule: the one that lives, else the last of that name',
    answers: { 200: found },
    examples: [{ summary: 'one', status: 200 }],
    limit: 'read',
    async handle({ system }, c) {
      const name = nameOf(c)
      const schedule = await system.schedules.find(name)
      if (!schedule) throw new ScheduleNotFoundError(name)
      return reply(scheduleView(schedule))
    },
  }),
  post({
    path: '/schedules/:name/pause',
    id: 'pauseSchedule',
    tag,
    summary: 'Pause a schedule',
    description: 'It has no ticks until it is resumed, and these are not missed.',
    ...command,
    answers: { 200: found },
    examples: [{ summary: 'one', status: 200, body: { reason: 'the report is rewritten' } }],
    async handle({ system }, c, body = {}) {
      return reply(scheduleView(await system.schedules.pause(nameOf(c), callerIn(c, body))))
    },
  }),
  post({
    path: '/schedules/:name/resume',
    id: 'resumeSchedule',
    tag,
    summary: 'Resume a paused or broken schedule',
    ...command,
    answers: { 200: found },
    examples: [{ summary: 'one', status: 200, body: { reason: 'the report is ready' } }],
    async handle({ system }, c, body = {}) {
      return reply(scheduleView(await system.schedules.resume(nameOf(c), callerIn(c, body))))
    },
  }),
  post({
    path: '/schedules/:name/trigger',
    id: 'triggerSchedule',
    tag,
    summary: 'Make a job of a schedule now, beside its ticks',
    ...command,
    answers: { 201: { description: 'The job is on disk.', body: triggered } },
    examples: [{ summary: 'one', status: 201, body: { reason: 'to see whether it works' } }],
    async handle({ system }, c, body = {}) {
      const { jobId } = await system.schedules.trigger(nameOf(c), callerIn(c, body))
      return reply({ job_id: jobId } satisfies Wire<typeof triggered>, 201)
    },
  }),
  get({
    path: '/schedules/:name/preview',
    id: 'previewSchedule',
    tag,
    summary: 'Show the next ticks of a schedule',
    query: z.strictObject({
      limit: whole(1, pageSizes.preview.max, pageSizes.preview.byDefault).describe('How many ticks.'),
    }),
    answers: { 200: { description: 'Of a paused one: as if it were resumed now.', body: preview } },
    examples: [{ summary: 'three', status: 200, query: 'limit=3' }],
    limit: 'read',
    async handle({ system }, c, page) {
      return reply(previewView(await system.schedules.preview(nameOf(c), page)))
    },
  }),
  post({
    path: '/schedules/preview',
    id: 'previewNewSchedule',
    tag,
    summary: 'Show the next ticks of a schedule that is not stored',
    description: 'It is checked as `PUT` does. If there is one of that name, its ticks after the change are shown.',
    role: 'operate',
    body: wholeSchedule,
    answers: { 200: { description: 'Its next five ticks.', body: preview } },
    errors: ['unknown_type'],
    examples: [{ summary: 'every night', status: 200, body: { name: 'nightly-report', ...nightly } }],
    async handle({ system }, _c, body) {
      return reply(previewView(await system.schedules.previewNew(body)))
    },
  }),
  get({
    path: '/schedules/:name/history',
    id: 'showScheduleHistory',
    tag,
    summary: 'Show what became of the ticks of a schedule, and who changed it',
    query: z.strictObject({
      before: whole(1, Number.MAX_SAFE_INTEGER).describe('Only events before the one with this `seq`.'),
      limit: whole(1, pageSizes.history.max, pageSizes.history.byDefault).describe('Events on one page.'),
    }),
    answers: { 200: { description: 'Its events.', body: history } },
    examples: [{ summary: 'the newest', status: 200, query: 'limit=10' }],
    limit: 'read',
    async handle({ system }, c, page) {
      const events = await system.schedules.history(nameOf(c), page)
      return reply({ events: events.map(eventView) } satisfies Wire<typeof history>)
    },
  }),
  remove({
    path: '/schedules/:name',
    id: 'endSchedule',
    tag,
    summary: 'End a schedule',
    description:
      'It has no more ticks; its jobs stay, and its history for as long as that of a job. The request has no body.',
    role: 'operate',
    answers: { 200: found },
    errors: changes,
    examples: [{ summary: 'one', status: 200 }],
    handle: async ({ system }, c) => reply(scheduleView(await system.schedules.end(nameOf(c), callerOf(c, 'http')))),
  }),
]

/** The name from the path. hono decodes it, but no name has an escape: with one it is the name of no schedule. */
export function nameOf(c: Context<Env>): string {
  return c.req.param('name') ?? ''
}

/** The body of a schedule, which need not repeat the name. */
function withName(body: unknown, name: string): unknown {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return body
  const given = (body as { readonly name?: unknown }).name
  if (given === undefined || given === name) return { ...body, name }
  throw new InvalidInputError([
    { path: 'name', message: `must be left out, or the name in the path, ${JSON.stringify(name)}` },
  ])
}

function callerIn(c: Context<Env>, body: unknown): ReturnType<typeof callerOf> {
  return callerOf(c, 'http', parseBody(commandRequest, body))
}

function scheduleView({ lastJob, job, ...given }: ScheduleInfo): Wire<typeof schedule> {
  return {
    name: given.name,
    state: given.state,
    problem: given.problem,
    source: given.source,
    cron: given.cron,
    every_ms: given.everyMs,
    zone: given.zone,
    starts_at: instantOf(given.startsAt),
    ends_at: instantOf(given.endsAt),
    job: scheduledJobView(job) as never,
    overlap: given.overlap,
    missed: given.missed,
    jitter_ms: given.jitterMs,
    next_tick: instantOf(given.nextTick),
    last_job: lastJob && { ...lastJob, tick: instantOf(lastJob.tick) },
    seq: given.seq,
    created_at: instantOf(given.createdAt),
    updated_at: instantOf(given.updatedAt),
  }
}

/** The job of each tick with the names of HTTP, as `PUT` accepts it. */
export function scheduledJobView({ unique, ...job }: ScheduleInfo['job']): Record<string, unknown> {
  return { ...withSnakeCase(job), ...(unique && { unique: withSnakeCase(unique) }) }
}

function withSnakeCase(fields: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).map(([field, value]) => [snakeCase(field), value]))
}

function eventView({
  jobId,
  jobState,
  by,
  missed,
  at,
  tick,
  ...same
}: ScheduleHistoryEvent): Wire<typeof scheduleEvent> {
  return {
    ...same,
    at: instantOf(at),
    tick: instantOf(tick),
    job_id: jobId,
    job_state: jobState,
    ...(by && { by: causeView(by) }),
    ...(missed && {
      missed: {
        count: missed.count,
        is_more: missed.isMore,
        first: instantOf(missed.first),
        last: instantOf(missed.last),
      },
    }),
  } as Wire<typeof scheduleEvent>
}

function previewView({ ticks, warnings }: SchedulePreview): Wire<typeof preview> {
  return { ticks: ticks.map(({ tick, utc, local }) => ({ tick: instantOf(tick), utc, local })), warnings }
}
