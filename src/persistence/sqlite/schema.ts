import { sql as version1 } from './migrations/0001.ts'
import { sql as version2 } from './migrations/0002.ts'
import { sql as version3 } from './migrations/0003.ts'
import { sql as version4 } from './migrations/0004.ts'
import { sql as version5 } from './migrations/0005.ts'
import { sql as version6 } from './migrations/0006.ts'
import { sql as version7 } from './migrations/0007.ts'
import { sql as version8 } from './migrations/0008.ts'
import { sql as version9 } from './migrations/0009.ts'
import { sql as version10 } from './migrations/0010.ts'
import { sql as version11 } from './migrations/0011.ts'
import { sql as version12 } from './migrations/0012.ts'
import { sql as version13 } from './migrations/0013.ts'
import { sql as version14 } from './migrations/0014.ts'
import { sql as version15 } from './migrations/0015.ts'
import { sql as version16 } from './migrations/0016.ts'
import { sql as version17 } from './migrations/0017.ts'
import { sql as version18 } from './migrations/0018.ts'
import { sql as version19 } from './migrations/0019.ts'

/** Marks the file as ours (`PRAGMA application_id`): "jobm". */
export const applicationId = 0x6a6f626d

/** Events of one job between two marks. */
export const markEvery = 100
export const isMark = `seq % ${markEvery} = 0`

const readable = (list: string) => `iif(json_valid(${list}), ${list}, NULL)`

/**
 * A join of a row of `event_runs` with its jobs, from the `from`-th on, in the order of their ids; `item.key` is the place of each. Without
 * `job_offsets` their ids follow each other: the short form of a list, with `item` null. A list that cannot be read is of no jobs.
 */
export function withJobsOf(run: string, from = '0', list = readable(`${run}.job_offsets`)): string {
  const lastPlace = `iif(${run}.job_offsets IS NULL, ${run}.length - 1, -1)`
  return `LEFT JOIN json_each(${list}) AS item
    CROSS JOIN jobs ON jobs.id BETWEEN ${run}.first_job_id + coalesce(item.value, ${from}) AND ${run}.first_job_id + coalesce(item.value, ${lastPlace})`
}

/** The place of a job in the row, after that join. */
export function placeIn(run: string): string {
  return `coalesce(item.key, jobs.id - ${run}.first_job_id)`
}

/** How far the job at a place, or its previous event, is from the first of the row. */
export function offsetAt(list: 'job_offsets' | 'previous_offsets', place: string): string {
  return `CASE WHEN ${list} IS NULL THEN ${place} WHEN json_valid(${list}) THEN ${list} ->> ${place} END`
}

/** Whether a row of `job_results` has those of several jobs, and can be read. */
export function isResultList(row: string): string {
  return `${row}.length > 1 AND CASE WHEN json_valid(${row}.result) THEN json_array_length(${row}.result) = ${row}.length END IS TRUE`
}

/** Such results, with null in the place of each job that is gone. */
export function withoutGone(row: string): string {
  const kept = `iif(EXISTS (SELECT 1 FROM jobs WHERE jobs.id = ${row}.job_id + item.key), ${row}.result -> item.key, 'null')`
  return `(SELECT '[' || group_concat(${kept}) || ']'
      FROM json_each(${row}.result) AS item)`
}

/**
 * The schema, version by version; `PRAGMA user_version` counts those applied. Each is the text that made existing files, and never changes
 * again: tests check its hash. A test compares the newest schema with what the machine and the conditions above require, and asks for the
 * next version when they differ.
 *
 * Nothing newer than SQLite 3.40 (Debian 12's shell must open the file), and RAISE accepts literals only. A trigger on `id` does not see an
 * UPDATE that calls the column `rowid`, so it lists each of its names. Payloads have their own table: a transition rewrites the job's row,
 * and should not rewrite two kilobytes of payload with it (measured: drain 2.5 times as fast at 2 kB, the same at 20 bytes).
 */
export const migrations: readonly string[] = [
  version1,
  version2,
  version3,
  version4,
  version5,
  version6,
  version7,
  version8,
  version9,
  version10,
  version11,
  version12,
  version13,
  version14,
  version15,
  version16,
  version17,
  version18,
  version19,
]
