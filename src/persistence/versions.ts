import { causeOf } from '../machines/events.ts'
import type { Changes } from '../machines/replay.ts'

/** The most attempts of a job in `jobs` when it was enqueued: an `amend` may have changed that. */
export const firstMaxAttempts = `coalesce((SELECT max_attempts FROM job_versions
  WHERE job_id = jobs.id AND max_attempts IS NOT NULL ORDER BY seq LIMIT 1), jobs.max_attempts)`

/** How many earlier payloads of a job in `jobs` are kept. */
export const keptPayloads = '(SELECT count(*) FROM job_versions WHERE job_id = jobs.id AND payload IS NOT NULL)'

/** The payload of job `:id` after its transition `:at`, as `text`: null for an unknown job. */
export const payloadAtSql = `SELECT coalesce(
  (SELECT payload FROM job_versions WHERE job_id = :id AND seq > CAST(:at AS bigint) AND payload IS NOT NULL ORDER BY seq LIMIT 1),
  (SELECT payload FROM job_payloads WHERE job_id = :id)) AS text`

/** The cause of an `amend`, as its event keeps it: JSON text. */
export function causeWithChanges(cause: string | null, changes: Changes): string {
  return JSON.stringify({ ...(cause === null ? causeOf('amend') : JSON.parse(cause)), changes })
}

/** The changes that an event keeps in its cause, JSON text: empty if there are none. */
export function changesIn(cause: string | null): { readonly changes?: Changes } {
  try {
    const changes = cause === null ? null : JSON.parse(cause).changes
    return typeof changes === 'object' && changes !== null ? { changes } : {}
  } catch {
    return {}
  }
}
