import { instantMax, snakeCase, storedNames } from '../job/fields.ts'
import type { EventCause } from '../machines/cause.ts'
import { causeOf } from '../machines/events.ts'
import type { HistoryEvent, JobRow, StoredError } from './store.ts'
import { validEvent, validJob } from './valid-rows.ts'

/** The trace of a job in `jobs`. */
export const traceIdSql = '(SELECT CAST(substr(traceparent, 4, 32) AS TEXT) FROM job_traces WHERE job_id = jobs.id)'

/** The unique key of a job in `jobs`. */
const uniqueKeySql = '(SELECT unique_key FROM unique_jobs WHERE job_id = jobs.id)'

/** The columns to select from `jobs` for `toJobRow`. */
export const jobColumns = `jobs.id, ${storedNames.map((name) => `jobs.${snakeCase(name)} AS "${name}"`)}, jobs.state, jobs.attempt,
  jobs.max_attempts AS "maxAttempts", jobs.crashes,
  (SELECT payload FROM job_payloads WHERE job_id = jobs.id) AS payload, jobs.idempotency_key AS "idempotencyKey", jobs.run_at AS "runAt",
  jobs.created_at AS "createdAt", jobs.started_at AS "startedAt",
  jobs.finished_at AS "finishedAt", jobs.error, ${traceIdSql} AS "traceId", ${uniqueKeySql} AS "uniqueKey",
  (SELECT at || ' ' || attempt || ' ' || value FROM job_progress WHERE job_id = jobs.id) AS progress`

/** What is stored with an event besides its error, as JSON. */
export type KeptCause = EventCause & Pick<HistoryEvent, 'note' | 'changes'>

/** The columns to select from events for `toHistoryEvent`. */
export const eventColumns = `seq, event, from_state AS "from", to_state AS "to", attempt, at, error, cause`

/** A row as the database returns it: the error and the cause of an event are still JSON text. */
export type Selected<Row extends { error: StoredError | null }> = Omit<Row, 'error' | keyof EventCause> & {
  readonly error: string | null
} & (Row extends EventCause ? { readonly cause: string | null } : unknown)

export function toJobRow({ progress, ...row }: Selected<JobRow>): JobRow {
  return { ...validJob(row), ...toProgress(progress) }
}

/** No row needs more than one look for it. */
function toProgress(selected: string | null): Pick<JobRow, 'progress' | 'progressAt' | 'progressAttempt'> {
  const [, at, attempt, value] = /^(\d{1,15}) (\d{1,15}) (.*)$/s.exec(selected ?? '') ?? []
  if (value === undefined) return { progress: null, progressAt: null, progressAttempt: null }
  return { progress: value, progressAt: Number(at), progressAttempt: Number(attempt) }
}

/** Undefined if it is not an event of the machine. `payloadGone`: if somebody asked whether the payload before it is kept. */
export function toHistoryEvent({
  cause,
  payloadGone,
  ...row
}: Selected<HistoryEvent> & { readonly payloadGone?: boolean | number | null }): HistoryEvent | undefined {
  const event = validEvent(row)
  const told = event && { ...event, ...causeOf(event.event, parseCause(cause)) }
  return told?.changes && payloadGone ? { ...told, changes: { ...told.changes, payloadGone: true } } : told
}

function parseCause(text: string | null): KeptCause | null {
  try {
    return text === null ? null : validCause(JSON.parse(text))
  } catch {
    return null
  }
}

/** Null, as if none were kept, unless it names one. Changes that nobody can read are left out. */
export function validCause(given: KeptCause | null): KeptCause | null {
  if (typeof given?.cause !== 'string') return null
  if (given.changes === undefined || Object.values(Object(given.changes)).every(isChange)) return given
  const { changes: _, ...rest } = given
  return rest
}

function isChange(change: unknown): boolean {
  const isKept = (value: unknown) => Number.isSafeInteger(value) && Math.abs(value as number) <= instantMax
  const { from, to } = Object(change)
  return change === true || (isKept(from) && isKept(to))
}
