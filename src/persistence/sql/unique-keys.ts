import { edgesOn, hasTag } from '../../machines/edges.ts'
import type { EventType } from '../../machines/job.ts'
import { stateHasTag } from './transitions.ts'

/** Whether one of the events can end the time in which a job holds its unique key. */
export function freesKeys(events: readonly EventType[]): boolean {
  return events.flatMap(edgesOn).some(({ to }) => hasTag(to, 'ended') || hasTag(to, 'executing'))
}

/** Whether a job that has ended lives again by it, and so takes its key back. */
export function takesKeysBack(event: EventType): boolean {
  return edgesOn(event).some(({ from, to }) => hasTag(from, 'ended') && !hasTag(to, 'ended'))
}

/** True if the state of a job, and not time, has ended the hold of `unique_jobs`. */
export const isKeyFreed = `unique_jobs.until <> 'time'
  AND (${stateHasTag('ended')} OR (unique_jobs.until = 'started' AND jobs.started_at IS NOT NULL))`

const isOfJob = 'FROM unique_jobs JOIN jobs ON jobs.id = unique_jobs.job_id'

/** What no unique key may be: the ids of jobs of which it is true, and what is told of them. */
export const uniqueKeyViolations = [
  {
    sql: 'SELECT max(job_id) AS id FROM unique_jobs WHERE place IS NOT NULL GROUP BY type, unique_key, place HAVING count(*) > 1',
    message: 'it holds the unique key of another job',
  },
  {
    sql: `SELECT job_id AS id ${isOfJob} WHERE unique_jobs.place IS NOT NULL AND ${isKeyFreed}`,
    message: 'it holds its unique key, although nothing of it is left to do',
  },
  {
    sql: `SELECT job_id AS id ${isOfJob} WHERE unique_jobs.place IS NULL AND unique_jobs.until <> 'time' AND NOT (${isKeyFreed})`,
    message: 'it does not hold its unique key, although it should',
  },
  {
    sql: `SELECT job_id AS id ${isOfJob} WHERE unique_jobs.type <> jobs.type`,
    message: 'it holds a unique key of another type',
  },
] as const
