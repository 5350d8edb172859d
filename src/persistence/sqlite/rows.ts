import type { HistoryEvent, JobRow, Owner, StoredError, Transition } from '../store.ts'

/** What to select from `jobs` for `toJobRow`. */
export const jobColumns = `jobs.id, jobs.type, jobs.queue, jobs.state, jobs.priority, jobs.attempt, jobs.max_attempts AS maxAttempts,
  (SELECT payload FROM job_payloads WHERE job_id = jobs.id) AS payload, jobs.idempotency_key AS idempotencyKey,
  jobs.timeout_ms AS timeoutMs, jobs.run_at AS runAt, jobs.created_at AS createdAt, jobs.started_at AS startedAt,
  jobs.finished_at AS finishedAt, jobs.error`

/** What to select from `job_events` for `toHistoryEvent`. */
export const eventColumns = `job_events.seq, job_events.event, job_events.from_state AS "from", job_events.to_state AS "to",
  job_events.attempt, job_events.at, job_events.error`

/** What to select from `job_events` and `jobs` for `toTransition`. */
export const transitionColumns = `job_events.id, job_events.job_id AS jobId, ${eventColumns}, jobs.type, jobs.queue`

/** Who serves the file, for `toOwner`. */
export const ownerSql = `SELECT value FROM meta WHERE name = 'owner'`

/** A row as SQLite gives it: the error is still JSON text. */
export type Selected<Row extends { error: StoredError | null }> = Omit<Row, 'error'> & { readonly error: string | null }

export function toJobRow(row: Selected<JobRow>): JobRow {
  return { ...row, error: parseError(row.error) }
}

export function toHistoryEvent(row: Selected<HistoryEvent>): HistoryEvent {
  return { ...row, error: parseError(row.error) }
}

export function toOwner(text: string | undefined): Owner | null {
  return text === undefined ? null : JSON.parse(text)
}

export function toTransition(row: Selected<Transition>): Transition {
  return { ...row, error: parseError(row.error) }
}

function parseError(text: string | null): StoredError | null {
  return text === null ? null : JSON.parse(text)
}
