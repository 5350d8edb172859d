import type Database from 'better-sqlite3'
import type { LeasedJob } from '../../store.ts'
import type { AttemptTraces } from '../thread/protocol.ts'

type JobTrace = NonNullable<LeasedJob['trace']>

/** The traces of jobs. A job without one costs nothing here. */
export class JobTraces {
  readonly #sql: ReturnType<typeof prepare>

  constructor(db: Database.Database) {
    this.#sql = prepare(db)
  }

  /** For new jobs with consecutive ids: a JSON array with the `traceparent` and `tracestate` of each, null for one without. */
  insert(first: number, traces: string): void {
    this.#sql.insert.run({ first, traces })
  }

  /** The traces of those jobs that have one, by id. */
  of(ids: readonly number[]): ReadonlyMap<number, JobTrace> {
    const traces = new Map<number, JobTrace>()
    if (this.#sql.newest.get() === null) return traces
    const rows = JSON.parse(this.#sql.of.get(JSON.stringify(ids)) as string) as [
      id: number,
      traceparent: string | null,
      tracestate: string | null,
      lastAttempt: string | null,
    ][]
    for (const [id, traceparent, tracestate, lastAttempt] of rows)
      traces.set(id, { traceparent, tracestate, lastAttempt })
    return traces
  }

  /** Stores the last attempt of each job. */
  noteAttempts(attempts: AttemptTraces): void {
    this.#sql.noteAttempts.run(JSON.stringify(attempts))
  }
}

function prepare(db: Database.Database) {
  return {
    insert: db.prepare(`
      INSERT INTO job_traces (job_id, traceparent, tracestate) SELECT :first + key, value ->> 0, value ->> 1
      FROM json_each(:traces) WHERE type <> 'null'`),
    newest: db.prepare('SELECT max(job_id) FROM job_traces').pluck(),
    // JSON has no BLOBs, which somebody may have written into the file.
    of: db
      .prepare(`
        SELECT json_group_array(json_array(job_id, CAST(traceparent AS TEXT), CAST(tracestate AS TEXT), CAST(last_attempt AS TEXT)))
        FROM json_each(?) AS item CROSS JOIN job_traces ON job_id = item.value`)
      .pluck(),
    // Only for existing jobs; WHERE also tells SQLite's parser that ON does not belong to a join.
    noteAttempts: db.prepare(`
      INSERT INTO job_traces (job_id, last_attempt) SELECT value ->> 0, value ->> 1
      FROM json_each(?) WHERE EXISTS (SELECT 1 FROM jobs WHERE id = value ->> 0)
      ON CONFLICT (job_id) DO UPDATE SET last_attempt = excluded.last_attempt`),
  }
}
