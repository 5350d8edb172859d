import type Database from 'better-sqlite3'
import { logMax } from '../../reports.ts'

/** As `reportsOf` makes it. */
type Row = readonly [
  id: number,
  leaseToken: number,
  progress: string | null,
  lines: readonly unknown[],
  linesBytes: number,
]

/** What running handlers have reported. A job whose handler reports nothing costs nothing here. */
export class JobReports {
  readonly #sql: ReturnType<typeof prepare>

  constructor(db: Database.Database) {
    this.#sql = prepare(db)
  }

  /** Stores those whose lease is held. */
  store(reports: string, now: number): void {
    for (const [id, leaseToken, progress, lines, bytes] of JSON.parse(reports) as Row[]) {
      const attempt = this.#sql.attempt.get(id, leaseToken)
      if (attempt === undefined) continue
      if (progress !== null) this.#sql.progress.run({ id, value: progress, attempt, now })
      if (lines.length > 0) this.#add({ id, attempt, lines: JSON.stringify(lines) }, lines.length, bytes)
    }
  }

  #add(given: { id: number; attempt: unknown; lines: string }, count: number, bytes: number): void {
    const { id } = given
    const end = (this.#sql.end.get(id) as { n: number; bytes: number } | undefined) ?? { n: 0, bytes: 0 }
    this.#sql.add.run({ ...given, ...end })
    this.#sql.trim.run({ id, last: end.n + count, bytes: end.bytes + bytes })
  }
}

function prepare(db: Database.Database) {
  return {
    attempt: db.prepare('SELECT attempt FROM jobs WHERE id = ? AND lease_token = ?').pluck(),
    progress: db.prepare(`
      INSERT INTO job_progress (job_id, value, attempt, at) VALUES (:id, :value, :attempt, :now)
      ON CONFLICT (job_id) DO UPDATE SET value = excluded.value, attempt = excluded.attempt, at = excluded.at`),
    end: db.prepare('SELECT n, bytes FROM job_logs WHERE job_id = ? ORDER BY n DESC LIMIT 1'),
    add: db.prepare(`
      INSERT INTO job_logs (job_id, n, attempt, at, bytes, level, message, fields)
      SELECT :id, :n + 1 + key, :attempt, value ->> 0, :bytes + (value ->> 4), value ->> 1, value ->> 2, value ->> 3
      FROM json_each(:lines)`),
    trim: db.prepare(`
      DELETE FROM job_logs WHERE job_id = :id AND n < max(:last - ${logMax.lines - 1},
        (SELECT n FROM job_logs WHERE job_id = :id AND bytes > :bytes - ${logMax.bytes} ORDER BY n LIMIT 1))`),
  }
}
