import { instantMax } from '../job/fields.ts'
import type { JobRow } from '../job/row.ts'
import type { Lease, LogLine, Report } from '../machines/lease.ts'

/** What is kept of a job's log: its newest lines, up to this many, and up to so many bytes. */
export const logMax = { lines: 1_000, bytes: 262_144 }

/** A line of a job's log, as readers get it. */
export interface KeptLine extends Omit<LogLine, 'bytes'> {
  /** 1, 2, 3 … within the job. */
  readonly n: number
  readonly attempt: number
}

/** Oldest first. `first` and `last`: the oldest and the newest line that is kept, by their `n`; null if there is none. */
export interface LogPage {
  readonly lines: readonly KeptLine[]
  readonly first: number | null
  readonly last: number | null
}

/** The progress of a job that reported it lately. */
export interface Progress {
  readonly job: Pick<JobRow, 'id' | 'type' | 'queue'>
  /** JSON text. */
  readonly value: string
  readonly attempt: number
  /** Epoch ms, when it was stored. */
  readonly at: number
}

/** Reports as the database takes them: `[id, lease token, progress or null, lines, their bytes]` of each; null if there are none. */
export function reportsOf(all: readonly (Lease & { readonly report?: Report })[]): string | null {
  // Most events have none.
  if (!all.some(({ report }) => report !== undefined)) return null
  const rows = all.flatMap(({ id, leaseToken, report }) =>
    report === undefined ? [] : [[id, leaseToken, report.progress ?? null, ...linesOf(report.lines)]],
  )
  return JSON.stringify(rows)
}

/** Each line with the bytes of all up to it. */
function linesOf(lines: Report['lines']): [lines: unknown[], bytes: number] {
  let sum = 0
  const rows = lines.map(({ at, level, message, fields, bytes }) => {
    sum += bytes
    return [at, level, message, fields, sum]
  })
  return [rows, sum]
}

const isWhole = (value: unknown) => Number.isSafeInteger(value) && Math.abs(value as number) <= instantMax
const isText = (value: unknown) => typeof value === 'string'

/** Those that can be read: somebody may have damaged others. */
export function toLines(rows: readonly KeptLine[]): KeptLine[] {
  return rows.filter(
    ({ n, attempt, at, level, message, fields }) =>
      [n, attempt, at].every(isWhole) && [level, message, fields ?? ''].every(isText),
  )
}

/** The same of the row of `logEndsSql`. */
export function toEnds({ first, last }: Omit<LogPage, 'lines'>): Omit<LogPage, 'lines'> {
  return isWhole(first) && isWhole(last) ? { first, last } : { first: null, last: null }
}

/** The same of the rows of `progressSql`. */
export function toProgress(rows: readonly (Omit<Progress, 'job'> & Progress['job'])[]): Progress[] {
  return rows.flatMap(({ id, type, queue, value, attempt, at }) =>
    [attempt, at].every(isWhole) && isText(value) ? [{ job: { id, type, queue }, value, attempt, at }] : [],
  )
}

/** The newest of those since an instant; of very many not all, so that a look stays cheap. */
export const progressSql = `
  SELECT job_id AS id, jobs.type, jobs.queue, value, job_progress.attempt, at
  FROM job_progress JOIN jobs ON jobs.id = job_id WHERE at >= :since ORDER BY at DESC LIMIT 1000`

export const logLinesSql = `
  SELECT n, attempt, at, level, message, fields FROM job_logs WHERE job_id = :id AND n > CAST(:after AS bigint) ORDER BY n LIMIT :limit`

export const logEndsSql = 'SELECT min(n) AS "first", max(n) AS "last" FROM job_logs WHERE job_id = :id'
