import { edgesOn, hasTag } from '../../machines/edges.ts'
import type { EventType, JobState } from '../../machines/job.ts'
import type { JobFacts } from '../store.ts'
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

/** True if it has ended while it waited for a key, or while another job waits for its end: then the key is that one's, whatever the time. */
export const isKeyAwaited = `${stateHasTag('ended')} AND (unique_jobs.place = 2 OR (unique_jobs.place = 1 AND EXISTS (SELECT 1
  FROM unique_jobs AS next WHERE next.type = unique_jobs.type AND next.unique_key = unique_jobs.unique_key AND next.place = 2)))`

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
  {
    sql: `SELECT jobs.id FROM jobs LEFT JOIN unique_jobs ON job_id = jobs.id WHERE ${stateHasTag('blocked')} <> (coalesce(place, 0) = 2)`,
    message: 'it is blocked and waits for no job, or waits for one and is not blocked',
  },
  {
    sql: `SELECT waiting.job_id AS id FROM unique_jobs AS waiting
      LEFT JOIN unique_jobs AS holder ON holder.type = waiting.type AND holder.unique_key = waiting.unique_key AND holder.place = 1
      LEFT JOIN jobs ON jobs.id = holder.job_id WHERE waiting.place = 2 AND (jobs.id IS NULL OR ${stateHasTag('ended')})`,
    message: 'it waits for a job that does not hold the key any more',
  },
] as const

/** The key of the job `id`, and the other job that holds it. */
export function uniqueKeySql(id: string): string {
  return `SELECT own.unique_key AS key, jobs.id, jobs.state FROM unique_jobs AS own
    LEFT JOIN unique_jobs AS holder ON holder.type = own.type AND holder.unique_key = own.unique_key AND holder.place = 1
      AND holder.job_id <> own.job_id
    LEFT JOIN jobs ON jobs.id = holder.job_id WHERE own.job_id = ${id}`
}

/** What that finds; undefined if it has no key. */
export function toUniqueKey(row: unknown): JobFacts['uniqueKey'] {
  if (row === undefined) return null
  const { key, id, state } = row as { key: string; id: number | null; state: JobState }
  return { key, holder: id === null ? null : { id, state } }
}

/** Whether a job that holds a key was claimed, or has run before. */
export const wasStarted = `(jobs.started_at IS NOT NULL OR NOT ${stateHasTag('waiting')})`

/** True if the time is over for which a job was to hold its key; not while another waits for the end of that job. */
export function isKeyExpired(holder: string, now: string): string {
  return `${holder}.place = 1 AND ${holder}.frees_at <= ${now} AND NOT EXISTS (SELECT 1 FROM unique_jobs AS next
    WHERE next.type = ${holder}.type AND next.unique_key = ${holder}.unique_key AND next.place = 2)`
}
