import { z } from 'zod'
import { causes, type EventCause, eventTypes, type HistoryEvent, snakeCase } from '../engine/front-door.ts'
import { count, instant, instantOf, named, state, type Wire } from './wire.ts'

const describedError = z.strictObject({
  name: z.string(),
  message: z.string().describe('Includes the messages of its causes and inner errors.'),
  code: z.union([z.string(), z.number()]).optional(),
  errno: z.number().optional(),
  syscall: z.string().optional(),
})

export const jobError = named(
  'JobError',
  describedError
    .extend({
      causes: z.array(describedError).optional().describe('At most three, in order.'),
      errors: z.array(describedError).optional().describe('The errors of an `AggregateError`, at most ten.'),
      stack: z.string().optional().describe('The stack of the handler, only in a history.'),
    })
    .describe('An error that a handler threw, each part cut to a limit.'),
)

/** Who caused an event. */
const causeFields = {
  cause: z.string().describe(`Who caused it: one of ${Object.keys(causes).join(', ')}; later versions may add more.`),
  actor: z.string().optional().describe('The user, if the cause names one.'),
  reason: z.string().optional().describe('Their reason, in their words.'),
  bulk: z.string().optional().describe('The id of the bulk action that it was part of.'),
  schedule: z.string().optional().describe('The name of the schedule that made the job.'),
  tick: instant.optional().describe('The tick of the schedule for which it made the job.'),
  missed: count.optional().describe('How many missed ticks the job stands for, if more than its own.'),
  first_missed: instant.optional().describe('The first of them; jobs of earlier versions do not have it.'),
  node: z
    .strictObject({ id: z.int(), host: z.string(), pid: z.int() })
    .optional()
    .describe('The process that claimed the job, if several share the jobs (PostgreSQL).'),
} satisfies Record<Exclude<keyof EventCause, 'firstMissed'> | 'first_missed', z.ZodType>

type Instant = 'tick' | 'firstMissed'
const plainKeys = (Object.keys(causeFields) as (keyof typeof causeFields)[]).filter(
  (key) => key !== 'tick' && key !== 'first_missed',
)

export const caused = z.strictObject(causeFields)

export function causeView(event: EventCause): Wire<typeof caused> {
  const { tick, firstMissed } = event
  const known = plainKeys.filter((key) => event[key] !== undefined)
  const view = Object.fromEntries(known.map((key) => [key, event[key]])) as unknown as Omit<EventCause, Instant>
  return {
    ...view,
    ...(tick !== undefined && { tick: instantOf(tick) }),
    ...(firstMissed !== undefined && { first_missed: instantOf(firstMissed) }),
  }
}

const changeOf = (value: z.ZodType) => z.strictObject({ from: value, to: value }).optional()
const changes = z
  .strictObject({
    payload: z
      .literal(true)
      .optional()
      .describe('Set if it was replaced; `GET /jobs/{id}/payload` reads the one before, while it is kept.'),
    payload_gone: z
      .literal(true)
      .optional()
      .describe('Set in a history if the payload before is no longer kept: reading it is answered with 410.'),
    run_at: changeOf(instant),
    priority: changeOf(z.int()),
    max_retries: changeOf(count),
  })
  .describe('What an `amend` changed.')

function changesView(given: NonNullable<HistoryEvent['changes']>): Wire<typeof changes> {
  return Object.fromEntries(
    Object.entries(given).map(([name, change]) => {
      const isTime = name === 'runAt' && change !== true
      return [snakeCase(name), isTime ? { from: instantOf(change.from), to: instantOf(change.to) } : change]
    }),
  )
}

export const historyEvent = named(
  'HistoryEvent',
  z
    .strictObject({
      seq: z.int().min(1).describe('1, 2, 3 … without a gap.'),
      event: z.enum(eventTypes),
      from: state.nullable().describe('`null` for the first.'),
      to: state,
      attempt: count.describe('After it.'),
      at: instant,
      ...causeFields,
      error: jobError.optional().describe('Set if an attempt failed.'),
      note: z
        .string()
        .optional()
        .describe('What the handler noted about the attempt that ended, such as the answer of a receiver.'),
      changes: changes.optional(),
    })
    .describe('One transition of a job.'),
)

export function eventView(given: HistoryEvent): Wire<typeof historyEvent> {
  const { seq, event, from, to, attempt, at, error, note } = given
  const known = {
    ...causeView(given),
    ...(error && { error }),
    ...(note !== undefined && { note }),
    ...(given.changes && { changes: changesView(given.changes) }),
  }
  return { seq, event, from, to, attempt, at: instantOf(at), ...known }
}
