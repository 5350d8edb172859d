import { isMark, offsetAt } from '../schema.ts'

/**
 * The events of a job as `chain`, for the SELECT that follows: from the event with id `start` backwards by `previous_id`, while `goesOn` (a
 * condition on `chain`, the event found last) is true. They come newest first.
 */
export function chainFrom(start: string, goesOn = 'true'): string {
  return `WITH RECURSIVE chain AS (
    ${eventWith('sought.id', `(SELECT (${start}) AS id) AS sought`)}
    UNION ALL
    ${eventWith('chain.previous_id', 'chain')} WHERE ${goesOn})`
}

/** The event with the given id, from a column of `source`: the events of a row have consecutive ids, in the order of its jobs. */
function eventWith(id: string, source: string): string {
  // Numbers are bound as REAL, which does not index a list.
  const place = `CAST(${id} - event_runs.id AS INTEGER)`
  return `SELECT ${id} AS id, first_job_id + ${offsetAt('job_offsets', place)} AS job_id, event_runs.seq, event_runs.event,
      event_runs.from_state, event_runs.to_state, event_runs.attempt, event_runs.at, event_runs.error, event_runs.cause,
      event_runs.previous_id + ${offsetAt('previous_offsets', place)} AS previous_id
    FROM ${source} CROSS JOIN event_runs
      ON event_runs.id = (SELECT max(id) FROM event_runs WHERE id <= ${id}) AND ${id} < event_runs.id + length`
}

/** The id of job `:id`'s event with the given seq, or of one not far above it, where a chain down to it may begin. */
export function eventAtOrAbove(seq: string): string {
  return `SELECT coalesce(
    (SELECT id FROM event_runs WHERE first_job_id = :id AND ${isMark} AND seq >= ${seq} ORDER BY seq LIMIT 1),
    (SELECT last_event_id FROM jobs WHERE id = :id))`
}

/** The same as `offsetAt`, of a list that was read. */
export function readOffsets(list: string | null, length: number): (place: number) => number | undefined {
  if (list === null) return (place) => place
  const offsets = parseOffsets(list)
  return (place) => (offsets.length === length ? offsets[place] : undefined)
}

/** None if the list cannot be read. */
function parseOffsets(list: string): readonly number[] {
  try {
    const offsets: unknown = JSON.parse(list)
    return Array.isArray(offsets) && offsets.every(Number.isSafeInteger) ? offsets : []
  } catch {
    return []
  }
}
