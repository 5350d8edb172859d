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

/** Marks the file as ours (`PRAGMA application_id`): "jobm". */
export const applicationId = 0x6a6f626d

/** Events of one job between two marks. */
export const markEvery = 100
export const isMark = `seq % ${markEvery} = 0`

/** The most jobs in a row of `event_runs`. */
export function isOfRun(run: string): string {
  return `jobs.id BETWEEN ${run}.first_job_id AND ${run}.first_job_id + ${run}.length - 1`
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
]
