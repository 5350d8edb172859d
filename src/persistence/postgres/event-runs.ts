import { edgesOn } from '../../machines/edges.ts'
import type { EventType } from '../../machines/job.ts'

/** Fewer jobs that make a transition together have a row each. */
const runMin = 16
/** Ids from the first job of a run to its last, as the schema bounds them. */
const spanMax = 8_192

const insertSql =
  'INSERT INTO event_runs (last_id, first_job_id, last_job_id, at, event, from_state, to_state, cause, job_ids, seqs, attempts)'
const common = 'at, seq, attempt, event, from_state, to_state, error, cause'
const ofRun = (item: string) =>
  `${item}.job_id, at, ${item}.seq, ${item}.attempt, event, from_state, to_state, NULL::text, cause`
// With OFFSET a job is looked up for each row that is read, not all jobs at once.
const isThere = 'EXISTS (SELECT 1 FROM jobs WHERE jobs.id = item.job_id OFFSET 0)'
const jobOf = (id: string) => `(SELECT type, queue FROM jobs WHERE jobs.id = ${id} OFFSET 0) AS job`

/**
 * The transitions of a job, an SQL expression: rows as the view `job_events` has them, without a look at all runs. A run is looked at if the job
 * lies between its first and its last. `order`: in which the reader wants them; only so does a page of many read no more than a page.
 */
export function eventsOf(job: string, order: 'seq' | 'seq DESC' = 'seq'): string {
  return `((SELECT id, job_id, ${common} FROM single_events WHERE job_id = ${job} ORDER BY ${order})
    UNION ALL
    SELECT last_id - cardinality(job_ids) + n, ${ofRun('item')}
    FROM event_runs CROSS JOIN LATERAL (SELECT array_position(job_ids, ${job}) AS n OFFSET 0) AS place
      CROSS JOIN LATERAL (SELECT ${job} AS job_id, seqs[n] AS seq, attempts[n] AS attempt) AS item
    WHERE last_job_id >= ${job} AND last_job_id < ${job} + ${spanMax} AND first_job_id <= ${job} AND n IS NOT NULL AND ${isThere}
  ) AS job_events`
}

/** The same of all jobs with ids from one to another, to be read by `job_id` and `seq`. */
export function eventsBetween(first: string, last: string): string {
  return `((SELECT id, job_id, ${common} FROM single_events WHERE job_id BETWEEN ${first} AND ${last} ORDER BY job_id, seq)
    UNION ALL
    SELECT last_id - cardinality(job_ids) + n, ${ofRun('item')}
    FROM event_runs CROSS JOIN unnest(job_ids, seqs, attempts) WITH ORDINALITY AS item (job_id, seq, attempt, n)
    WHERE last_job_id >= ${first} AND last_job_id < ${last} + ${spanMax} AND first_job_id <= ${last}
      AND item.job_id BETWEEN ${first} AND ${last} AND ${isThere}
  ) AS job_events`
}

/**
 * The same of those with ids above `after` and below `horizon`, the first event of a transaction: the first of them, up to a limit, by their
 * ids, with `type` and `queue` of the job. The first run may have none left that is wanted, each other has one at least. No run is read after
 * the one that fills the page: the order is that in which runs are found, so that no plan sorts the jobs of all.
 */
export function eventsAfter(after: string, horizon: string, limit: string): string {
  return `(
      (SELECT id, job_id, ${common}, type, queue FROM single_events CROSS JOIN LATERAL ${jobOf('job_id')}
        WHERE id > ${after} AND id < ${horizon} ORDER BY id LIMIT ${limit})
      UNION ALL
      (SELECT id_before + n, ${ofRun('item')}, type, queue
        FROM (SELECT *, last_id - cardinality(job_ids) AS id_before FROM event_runs WHERE last_id > ${after} AND last_id < ${horizon} ORDER BY last_id LIMIT ${limit} + 1) AS run
          CROSS JOIN LATERAL unnest(job_ids, seqs, attempts) WITH ORDINALITY AS item (job_id, seq, attempt, n)
          CROSS JOIN LATERAL ${jobOf('item.job_id')}
        WHERE id_before + n > ${after} ORDER BY last_id FETCH FIRST (${limit}) ROWS WITH TIES)
      ORDER BY id LIMIT ${limit}
    ) AS job_events`
}

/** Statements that remove the transitions of jobs that are gone, an array of ids in SQL: a run goes with the last of its jobs. */
export function removeEvents(jobs: string): string {
  return `DELETE FROM single_events WHERE job_id = ANY (${jobs});
  DELETE FROM event_runs
  WHERE last_job_id >= (SELECT min(id) FROM unnest(${jobs}) AS gone (id)) AND last_job_id < (SELECT max(id) + ${spanMax} FROM unnest(${jobs}) AS gone (id))
    AND first_job_id <= (SELECT max(id) FROM unnest(${jobs}) AS gone (id)) AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.id = ANY (job_ids));`
}

/** The id of the newest transition of those that fulfil a condition on `id`; null if there is none. */
export function newestId(condition = (_id: string) => 'true'): string {
  return `greatest((SELECT max(id) FROM single_events WHERE ${condition('id')}), (SELECT max(last_id) FROM event_runs WHERE ${condition('last_id')}))`
}

/** Whether a transition leads from one state to one other, so that jobs which make it together may be a run. */
export function isOneWay(event: EventType): boolean {
  const edges = edgesOn(event)
  return new Set(edges.map(({ from }) => from)).size === 1 && new Set(edges.map(({ to }) => to)).size === 1
}

/** PL/pgSQL that sets `_is_run`: there are enough of `_ids`, they lie close together, and they are alike otherwise. */
export function setIsRun(isAlike: string): string {
  return `_is_run := cardinality(_ids) >= ${runMin} AND ${isAlike};
    IF _is_run THEN _is_run := (SELECT max(id) - min(id) < ${spanMax} FROM unnest(_ids) AS item (id)); END IF`
}

/** What one transition of a run is, each in SQL. */
interface Transition {
  readonly lastId: string
  readonly event: string
  readonly from: string
  readonly to: string
  readonly cause: string
  readonly seq: string
  readonly attempt: string
}

/** Stores transitions of the rows of `source`, which have an `id`; if there is none, nothing. */
export function logRuns(transitions: readonly Transition[], source: string): string {
  const rows = transitions.map(
    ({ lastId, event, from, to, cause, seq, attempt }) =>
      `SELECT ${lastId}, min(id), max(id), _now, '${event}', ${from}, ${to}, ${cause}, array_agg(id), array_agg(${seq}), array_agg(${attempt}) FROM ${source} HAVING count(*) > 0`,
  )
  return `${insertSql}
      ${rows.join(' UNION ALL ')}`
}
