import { causeOf } from '../../../machines/events.ts'
import type { EventType, JobState } from '../../../machines/job.ts'
import { type KeptCause, validCause } from '../../rows.ts'
import type { Owner, StoredError, Transition } from '../../store.ts'
import { isEvent } from '../../valid-rows.ts'
import { placeIn, withJobsOf } from '../schema.ts'

/** Characters of errors, as JSON, after which a page of transitions ends. */
const errorsLengthMax = 262_144

/** JSON cannot hold a BLOB, which only a damaged row has. */
const inJson = (column: string) => `iif(typeof(${column}) = 'blob', '', ${column})`

/** Null for what a damaged file has in the place of a list. The type of a text that is not JSON is an error. */
const listOfJobs = `iif(json_valid(job_offsets), iif(json_type(job_offsets) = 'array', job_offsets, NULL), NULL)`

/**
 * The SELECT for `toTransitions`: all rows as one JSON text, without the stacks of errors, in order because the subquery is limited.
 * Reading this form, and sending it from thread to thread, takes a fifth of the time of objects. It returns at least the first row, and
 * fewer than requested if their errors are long. The limit counts on the order in which the jobs of a row are joined: to sort them would be to
 * read all of a long row for each page.
 */
export const selectTransitions = `
  SELECT json_group_array(json_array(id, job_id, CAST(type AS TEXT), CAST(queue AS TEXT), ${['seq', 'event', 'from_state', 'to_state', 'attempt', 'at'].map(inJson)},
    iif(json_valid(error), json_remove(error, '$.stack'), NULL), iif(json_valid(cause), json(cause), NULL)))
  FROM (
    SELECT *, coalesce(sum(length(error)) OVER (
      ORDER BY run_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS errors_before
    FROM (
      SELECT event_runs.id + ${placeIn('event_runs')} AS id, event_runs.id AS run_id, jobs.id AS job_id, jobs.type, jobs.queue,
        event_runs.seq, event, from_state, to_state, event_runs.attempt, at, event_runs.error, cause
      FROM event_runs ${withJobsOf('event_runs', 'max(:after + 1 - event_runs.id, 0)', listOfJobs)}
      WHERE event_runs.id >= coalesce((SELECT max(id) FROM event_runs WHERE id <= :after + 1), 0)
        AND event_runs.id + ${placeIn('event_runs')} > :after
      ORDER BY event_runs.id LIMIT :limit
    )
  )
  WHERE errors_before <= ${errorsLengthMax}`

/** The result of the job with that id, from the row that has those of several jobs or only its own; of a damaged row what is no JSON. */
export function resultOf(id: string): string {
  return `(SELECT CASE WHEN length > 1 AND json_valid(result) THEN coalesce(result -> CAST(${id} - job_id AS INTEGER), '') ELSE result END
    FROM job_results WHERE job_id = (SELECT max(job_id) FROM job_results WHERE job_id <= ${id}) AND ${id} < job_id + length)`
}

/** The server of the file, for `toOwner`. */
export const ownerSql = `SELECT value FROM meta WHERE name = 'owner'`

export function toOwner(text: string | undefined): Owner | null {
  try {
    return text === undefined ? null : JSON.parse(text)
  } catch {
    return null
  }
}

/** A row of `selectTransitions`. */
type TransitionRow = readonly [
  ...[id: number, jobId: number, type: string, queue: string, seq: number, event: EventType],
  ...[from: JobState | null, to: JobState, attempt: number, at: number],
  ...[error: StoredError | null, cause: KeptCause | null],
]

/** The readable ones; `last` is the id of the last row, even if that is not readable. */
export function toTransitions(json: string): { transitions: Transition[]; last: number | undefined } {
  const rows = JSON.parse(json) as TransitionRow[]
  const transitions = rows.flatMap(
    ([id, jobId, type, queue, seq, event, from, to, attempt, at, error, cause]): Transition[] => {
      if (!isEvent({ event, seq, from, to, attempt, at })) return []
      return [
        { id, jobId, type, queue, seq, event, from, to, attempt, at, error, ...causeOf(event, validCause(cause)) },
      ]
    },
  )
  return { transitions, last: rows.at(-1)?.[0] }
}
