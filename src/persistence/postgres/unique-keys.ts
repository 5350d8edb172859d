import type { AdmissionFacts } from '../admission.ts'
import type { IncomingJob, KeyHolder } from '../new-jobs.ts'
import { stateHasTag, takes } from '../sql/transitions.ts'
import { isKeyAwaited, isKeyExpired, isKeyFreed, wasStarted } from '../sql/unique-keys.ts'

const isNumber = `json_typeof(terms::json -> 'until') = 'number'`
/** Of a new job: it waits for the holder of its key. */
export const isBehind = `(terms::json ->> 'behind') IS NOT NULL`
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

/** What `keyUsersSql` has found: jobs that hold one of the keys, or wait for that. */
export function holderIn(
  users: readonly (KeyHolder['job'] &
    Record<'isNext' | 'hasBegun' | 'isLapsed', boolean> & { readonly name: string; readonly createdAt: number })[],
): AdmissionFacts['holder'] {
  const named = (isNext: boolean) =>
    new Map(users.flatMap((user) => (user.isNext === isNext ? [[user.name, user]] : [])))
  const [holders, nexts] = [named(false), named(true)]
  return (type, key) => {
    const holder = holders.get(`${type} ${key}`)
    if (!holder || holder.isLapsed) return
    const { id, state, hasBegun, createdAt } = holder
    const next = nexts.get(`${type} ${key}`)
    const waiting = next ? { id: next.id, state: next.state, createdAt: next.createdAt } : null
    return { job: { id, state }, hasBegun, createdAt, next: waiting }
  }
}

/** Who holds the keys that `uniques` names, an expression of a JSON array of pairs, and who waits for them. */
export function keyUsersSql(uniques: string, now: string, more = ''): string {
  return `SELECT unique_jobs.type || ' ' || unique_key AS name, jobs.id, jobs.state, jobs.created_at AS "createdAt", place = 2 AS "isNext", ${wasStarted} AS "hasBegun",
      (${isKeyExpired('unique_jobs', now)}) IS TRUE AS "isLapsed"${more}
    FROM json_array_elements(${uniques}) AS asked (pair)
    CROSS JOIN LATERAL (
      SELECT * FROM unique_jobs WHERE type = pair ->> 0 AND unique_key = pair ->> 1 AND place IS NOT NULL OFFSET 0) AS unique_jobs
    JOIN jobs ON jobs.id = job_id`
}

/**
 * For a transaction that ends at once: the jobs that new ones wait for still hold their keys, and will until it has ended. If not, it fails as if
 * the key had been stored meanwhile, and is decided anew.
 */
const assertHeldSql = `WITH behind AS (
        SELECT DISTINCT (terms::json ->> 'behind')::bigint AS id FROM unnest(_uniques) AS item (terms) WHERE ${isBehind}
      ), held AS (
        UPDATE unique_jobs SET place = 1 FROM behind, jobs WHERE job_id = behind.id AND place = 1 AND jobs.id = behind.id AND NOT ${stateHasTag('ended')}
        RETURNING job_id
      )
      SELECT count(*) INTO _missing FROM behind WHERE NOT EXISTS (SELECT 1 FROM held WHERE held.job_id = behind.id);
      IF _missing > 0 THEN RAISE EXCEPTION USING ERRCODE = 'unique_violation', CONSTRAINT = 'unique_jobs_place', MESSAGE = 'jobmachine: the unique key is free'; END IF;`

/** Of the keys that new jobs ask for. Written so that no plan reads all keys that are held: without statistics the planner takes them for a few. */
const freeExpiredSql = `UPDATE unique_jobs SET place = NULL WHERE coalesce(place, -1) = 1 AND job_id = ANY (ARRAY(
        SELECT expired.job_id FROM unnest(_type, _uniques) AS item (type, terms) CROSS JOIN LATERAL (
          SELECT job_id FROM unique_jobs AS held
          WHERE held.type = item.type AND held.unique_key = item.terms::json ->> 'key' AND ${isKeyExpired('held', '_now')} OFFSET 0) AS expired))`

/** What the functions of the server do with unique keys, as PL/pgSQL. */
export const uniqueKeysSql = {
  /** Of new jobs, after they were stored. What another transaction has stored meanwhile fails the unique index. */
  insert: (check: string | null) => `IF _uniques IS NOT NULL THEN
      ${freeExpiredSql};
      INSERT INTO unique_jobs (job_id, type, unique_key, until, frees_at, place, checked_by)
      SELECT id, type, terms::json ->> 'key', CASE WHEN ${isNumber} THEN 'time' ELSE terms::json ->> 'until' END,
        CASE WHEN ${isNumber} THEN _now + (terms::json ->> 'until')::bigint END,
        CASE WHEN ${isBehind} THEN 2 ELSE 1 END, ${check ? `CASE WHEN ${isBehind} THEN '${check}' END` : 'NULL'}
      FROM unnest(_ids, _type, _uniques) AS item (id, type, terms) WHERE terms IS NOT NULL ORDER BY type, terms::json ->> 'key';
      ${check ? '' : assertHeldSql}
    END IF`,
  /**
   * After jobs took an event that may have ended their hold: frees the keys, and lets go on who waited for that. It locks the rows first, so
   * that it sees whoever has begun to wait until then: see `checkFunction`.
   */
  free: (take: string) => `IF _moved IS NOT NULL AND EXISTS (SELECT 1 FROM unique_jobs WHERE place IS NOT NULL) THEN
      PERFORM 1 FROM unique_jobs WHERE job_id = ANY (_moved) AND place IS NOT NULL ORDER BY job_id FOR UPDATE;
      WITH freed AS (
        UPDATE unique_jobs SET place = NULL FROM jobs
        WHERE job_id = ANY (_moved) AND jobs.id = job_id AND place IS NOT NULL AND ((${isKeyFreed}) OR (${isKeyAwaited}))
        RETURNING unique_jobs.type, unique_key
      )
      SELECT array_agg(waiting.job_id ORDER BY waiting.job_id) INTO _next
      FROM freed JOIN unique_jobs AS waiting ON waiting.type = freed.type AND waiting.unique_key = freed.unique_key AND waiting.place = 2
      WHERE waiting.job_id <> ALL (_moved);
      IF _next IS NOT NULL THEN
        UPDATE unique_jobs SET place = 1 WHERE job_id = ANY (_next) AND place = 2;
        SELECT taken._n INTO _n FROM ${take}('unblock', _now, NULL, _writer, _first_event, false, NULL, NULL, _next, NULL, NULL, NULL, NULL, NULL, _n) AS taken;
      END IF;
    END IF;`,
  /** Before and after ended jobs live again: those whose keys others hold stay as they are. */
  freeLapsed: `UPDATE unique_jobs SET place = NULL FROM unique_jobs AS own
      WHERE own.job_id = ANY (_ids) AND unique_jobs.type = own.type AND unique_jobs.unique_key = own.unique_key
        AND ${isKeyExpired('unique_jobs', '_now')};`,
  isFree: `NOT (${isHeldByOther('jobs.id', '_ids')})`,
  takeBack: `UPDATE unique_jobs SET place = 1 WHERE job_id = ANY (_moved) AND place IS NULL AND until <> 'time';`,
}
