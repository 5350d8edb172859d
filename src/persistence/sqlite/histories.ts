import { isMark } from './schema.ts'

/**
 * A job's events as `chain`, for the SELECT that follows: from the one with id `start` down, each found by its predecessor's `previous_id`,
 * as long as `goesOn` (over `chain`, the event that was found last) holds. They come newest first.
 */
export function chainFrom(start: string, goesOn: string): string {
  return `WITH RECURSIVE chain AS (
    SELECT * FROM job_events WHERE id = (${start})
    UNION ALL
    SELECT earlier.* FROM chain CROSS JOIN job_events AS earlier ON earlier.id = chain.previous_id WHERE ${goesOn})`
}

/** The id of job `:id`'s event with the seq given, or of one not far above it: where a chain may begin that is to reach down from there. */
export function eventAtOrAbove(seq: string): string {
  return `SELECT coalesce(
    (SELECT id FROM job_events WHERE job_id = :id AND ${isMark} AND seq >= ${seq} ORDER BY seq LIMIT 1),
    (SELECT last_event_id FROM jobs WHERE id = :id))`
}
