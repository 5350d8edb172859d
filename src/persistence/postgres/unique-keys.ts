import type { AdmissionFacts, IncomingJob } from '../admission.ts'
import { takes } from '../sql/transitions.ts'
import { isKeyFreed } from '../sql/unique-keys.ts'
import type { EnqueuedJob } from '../store.ts'

const isNumber = `json_typeof(terms::json -> 'until') = 'number'`
/** Of one job: whether another holds its key, or will by the same event. */
const isHeldByOther = (id: string, claimants: string) => `EXISTS (
      SELECT 1 FROM unique_jobs AS own JOIN unique_jobs AS other ON other.type = own.type AND other.unique_key = own.unique_key
      WHERE own.job_id = ${id} AND own.place IS NULL AND own.until <> 'time' AND other.place IS NOT NULL)
    OR EXISTS (
      SELECT 1 FROM unique_jobs AS own JOIN unique_jobs AS other ON other.job_id = ANY (${claimants}) AND other.job_id < own.job_id
      JOIN jobs AS claimant ON claimant.id = other.job_id
      WHERE own.job_id = ${id} AND own.place IS NULL AND own.until <> 'time' AND other.type = own.type AND other.unique_key = own.unique_key
        AND ${takes('requeue', { state: 'claimant.state' } as never)})`

/** The unique keys that jobs ask for, each with its type. */
export function uniquesOf(jobs: readonly IncomingJob[]): [type: string, key: string][] {
  return jobs.flatMap(({ type, unique }) => (unique ? [[type, unique.key] as [string, string]] : []))
}

/** A job that holds one of them. */
type Holder = Pick<EnqueuedJob, 'id' | 'state'> & { readonly name: string }

/** What `holdersSql` has found. */
export function holderIn(holders: readonly Holder[]): AdmissionFacts['holder'] {
  const byName = new Map(holders.map(({ name, ...job }) => [name, job]))
  return (type, key) => byName.get(`${type} ${key}`)
}

/** The holders of the keys that `uniques` names, an expression of a JSON array of pairs. */
export function holdersSql(uniques: string, now: string, more = ''): string {
  return `SELECT unique_jobs.type || ' ' || unique_key AS name, jobs.id, jobs.state${more}
    FROM json_array_elements(${uniques}) AS asked (pair)
    JOIN unique_jobs ON unique_jobs.type = pair ->> 0 AND unique_key = pair ->> 1 AND place = 1 JOIN jobs ON jobs.id = job_id
    WHERE (frees_at <= ${now}) IS NOT TRUE`
}

/** What the functions of the server do with unique keys, as PL/pgSQL. */
export const uniqueKeysSql = {
  /** Of new jobs, after they were stored. What another transaction has stored meanwhile fails the unique index. */
  insert: `IF _uniques IS NOT NULL THEN
      UPDATE unique_jobs SET place = NULL FROM unnest(_type, _uniques) AS item (type, terms)
      WHERE terms IS NOT NULL AND unique_jobs.type = item.type AND unique_key = terms::json ->> 'key' AND place = 1 AND frees_at <= _now;
      INSERT INTO unique_jobs (job_id, type, unique_key, until, frees_at, place)
      SELECT id, type, terms::json ->> 'key', CASE WHEN ${isNumber} THEN 'time' ELSE terms::json ->> 'until' END,
        CASE WHEN ${isNumber} THEN _now + (terms::json ->> 'until')::bigint END, 1
      FROM unnest(_ids, _type, _uniques) AS item (id, type, terms) WHERE terms IS NOT NULL ORDER BY type, terms::json ->> 'key';
    END IF`,
  /** After jobs took an event that may have ended their hold. */
  free: `IF _moved IS NOT NULL AND EXISTS (SELECT 1 FROM unique_jobs WHERE place IS NOT NULL) THEN
      UPDATE unique_jobs SET place = NULL FROM jobs
      WHERE job_id = ANY (_moved) AND jobs.id = job_id AND place IS NOT NULL AND ${isKeyFreed};
    END IF;`,
  /** Before and after ended jobs live again: those whose keys others hold stay as they are. */
  freeLapsed: `UPDATE unique_jobs SET place = NULL FROM unique_jobs AS own
      WHERE own.job_id = ANY (_ids) AND unique_jobs.type = own.type AND unique_jobs.unique_key = own.unique_key
        AND unique_jobs.place = 1 AND unique_jobs.frees_at <= _now;`,
  isFree: `NOT (${isHeldByOther('jobs.id', '_ids')})`,
  takeBack: `UPDATE unique_jobs SET place = 1 WHERE job_id = ANY (_moved) AND place IS NULL AND until <> 'time';`,
}
