import { isMark } from '../schema.ts'

/**
 * The events of a job as `chain`, for the SELECT that follows: from the event with id `start` backwards by `previous_id`, while `goesOn` (a
 * condition on `chain`, the event found last) is true. They come newest first. `run_id` is the id of the row that contains the event.
 */
export function chainFrom(start: string, goesOn = 'true'): string {
  return `WITH RECURSIVE chain AS (
    ${eventWith('sought.id', `(SELECT (${start}) AS id) AS sought`)}
    UNION ALL
    ${eventWith('chain.previous_id', 'chain')} WHERE ${goesOn})`
}

/**
 * A SELECT of the ids of all rows in which there are events of the histories that end with the events of `ranges`: a table of `value`s, each
 * a first and a last id as JSON. A whole row goes one step back at once.
 */
export function runsOfHistories(ranges: string): string {
  const runs = (first: string, last: string, source: string) => `
    SELECT event_runs.id, previous_id + max(${first} - event_runs.id, 0) AS first,
      previous_id + min(${last} - event_runs.id, length - 1) AS last
    FROM ${source} CROSS JOIN event_runs
      ON event_runs.id BETWEEN (SELECT max(id) FROM event_runs WHERE id <= ${first}) AND ${last}
      AND event_runs.id + length > ${first}`
  return `WITH RECURSIVE chain AS (
    ${runs('(range.value ->> 0)', '(range.value ->> 1)', `${ranges} AS range`)}
    UNION ALL
    ${runs('chain.first', 'chain.last', 'chain')})
    SELECT id FROM chain`
}

/** The event with the given id, from a column of `source`: the events of a run have consecutive ids, in the order of its jobs. */
function eventWith(id: string, source: string): string {
  return `SELECT ${id} AS id, ${id} - event_runs.id + first_job_id AS job_id, event_runs.seq, event_runs.event,
      event_runs.from_state, event_runs.to_state, event_runs.attempt, event_runs.at, event_runs.error, event_runs.cause,
      ${id} - event_runs.id + event_runs.previous_id AS previous_id, event_runs.id AS run_id
    FROM ${source} CROSS JOIN event_runs
      ON event_runs.id = (SELECT max(id) FROM event_runs WHERE id <= ${id}) AND ${id} < event_runs.id + length`
}

/** The id of job `:id`'s event with the given seq, or of one not far above it, where a chain down to it may begin. */
export function eventAtOrAbove(seq: string): string {
  return `SELECT coalesce(
    (SELECT id FROM event_runs WHERE first_job_id = :id AND ${isMark} AND seq >= ${seq} ORDER BY seq LIMIT 1),
    (SELECT last_event_id FROM jobs WHERE id = :id))`
}
