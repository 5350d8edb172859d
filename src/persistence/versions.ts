import { causeOf } from '../machines/events.ts'
import type { Changes } from '../machines/replay.ts'

/** The most attempts of a job in `jobs` when it was enqueued: an `amend` may have changed that. */
export const firstMaxAttempts = `coalesce((SELECT max_attempts FROM job_versions
  WHERE job_id = jobs.id AND max_attempts IS NOT NULL ORDER BY seq LIMIT 1), jobs.max_attempts)`

/** How often the payload of a job in `jobs` was replaced. */
export const keptPayloads = '(SELECT count(*) FROM job_versions WHERE job_id = jobs.id AND payload IS NOT NULL)'

/** What is kept of the payloads that a job had before the present one: the first, and the newest up to this many and up to so many bytes. */
export const earlierMax = { payloads: 100, bytes: 1_048_576 }

/** Removes the others of the job `id`: the empty text, which is no JSON, says that one was there. `bytes`: those of `payload`. */
export function forgetPayloads(id: string, bytes: string): string {
  return `UPDATE job_versions SET payload = '' WHERE job_id = ${id} AND seq IN (
    SELECT seq FROM (
      SELECT seq, row_number() OVER newest AS n, sum(${bytes}) OVER newest AS length, min(seq) OVER () AS first
      FROM job_versions WHERE job_id = ${id} AND payload <> '' WINDOW newest AS (ORDER BY seq DESC)
    ) AS kept WHERE seq > first AND (n > ${earlierMax.payloads} OR length > ${earlierMax.bytes}))`
}

/** The payload of job `:id` after its transition `:at`, as `text`: null for an unknown job, empty if it is no longer kept. */
export const payloadAtSql = `SELECT coalesce(
  (SELECT payload FROM job_versions WHERE job_id = :id AND seq > CAST(:at AS bigint) AND payload IS NOT NULL ORDER BY seq LIMIT 1),
  (SELECT payload FROM job_payloads WHERE job_id = :id)) AS text`

/** Whether the payload that the event `seq` of job `:id` replaced is no longer kept; null if it replaced none. */
export function payloadGone(seq: string): string {
  return `(SELECT payload = '' FROM job_versions WHERE job_id = :id AND job_versions.seq = ${seq}) AS "payloadGone"`
}

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
