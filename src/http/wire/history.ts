import { z } from 'zod'
import { eventTypes, type HistoryEvent } from '../../engine/front-door.ts'
import { jobError } from './job.ts'
import { count, instant, instantOf, named, state, type Wire } from './wire.ts'

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
      error: jobError.optional().describe('If an attempt failed.'),
    })
    .describe('One transition of a job.'),
)

export function eventView({ seq, event, from, to, attempt, at, error }: HistoryEvent): Wire<typeof historyEvent> {
  return { seq, event, from, to, attempt, at: instantOf(at), ...(error ? { error } : {}) }
}

export const history = named('History', z.strictObject({ history: z.array(historyEvent).describe('Oldest first.') }))

export function historyView(events: readonly HistoryEvent[]): Wire<typeof history> {
  return { history: events.map(eventView) }
}
