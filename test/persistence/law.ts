import { type Edge, edgesOn } from '../../src/machines/edges.ts'
import type { EventType, JobNode, JobState } from '../../src/machines/job.ts'
import type { ScheduleState, ScheduleTag } from '../../src/machines/schedule.ts'
import { hasScheduleTag, scheduleEdges, scheduleStates } from '../../src/machines/schedule-edges.ts'

/** A condition over `jobs` as a partial index and a CHECK want it, without the table's name. */
export const bare = (condition: string) => condition.replaceAll('jobs.', '')

export const stateIsOneOf = (states: readonly JobState[], column = 'state') =>
  `(${states.map((state) => `${column} = '${state}'`).join(' OR ')})`

/** The states of a job whose handler has returned. */
export const ofSuccess = [...new Set(edgesOn('succeed').map(({ to }) => to))]

type Ends = Pick<Edge, 'from' | 'to'>

/** Where events that are taken in order begin and end, whatever the facts. */
export function endsOf(events: readonly EventType[]): readonly Ends[] {
  const [first = [], ...rest] = events.map(edgesOn)
  return rest.reduce<readonly Ends[]>(
    (paths, next) =>
      paths.flatMap(({ from, to }) => next.filter((edge) => edge.from === to).map((edge) => ({ from, to: edge.to }))),
    first,
  )
}

/** For a trigger on UPDATE of `state`: true where OLD to NEW is one of these ways. */
export function updateIs(ends: readonly Ends[]): string {
  const targets = new Map<JobNode, Set<JobState>>()
  for (const { from, to } of ends) targets.set(from, (targets.get(from) ?? new Set()).add(to))
  return [...targets]
    .map(([from, to]) => `(OLD.state = '${from}' AND ${stateIsOneOf([...to], 'NEW.state')})`)
    .join(' OR ')
}

const isOneOf = (column: string, values: readonly string[]) =>
  `(${values.map((value) => `${column} = '${value}'`).join(' OR ')})`

/** For a CHECK of the history of schedules: true if the row is an edge of their machine. */
export const scheduleEventIsEdge = scheduleEdges
  .map(({ from, event, to }) =>
    from === 'new'
      ? `from_state IS NULL AND seq = 1 AND event = '${event}' AND to_state = '${to}'`
      : `from_state = '${from}' AND event = '${event}' AND to_state = '${to}'`,
  )
  .join(' OR ')

export const scheduleStateIsOneOf = (states: readonly ScheduleState[], column = 'state') => isOneOf(column, states)

export const schedulesTagged = (tag: ScheduleTag) =>
  scheduleStateIsOneOf(scheduleStates.filter((state) => hasScheduleTag(state, tag)))

/** The same CHECK for what an event has besides: which make a job, and which are about a tick. */
export const scheduleEventIsWhole = `CASE
      WHEN event = 'tick' OR event = 'catch_up' THEN tick IS NOT NULL AND job_id IS NOT NULL
      WHEN event = 'skip' THEN tick IS NOT NULL AND job_id IS NULL
      WHEN event = 'trigger' THEN tick IS NULL AND job_id IS NOT NULL
      ELSE tick IS NULL AND job_id IS NULL END`
