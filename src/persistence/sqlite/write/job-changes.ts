import assert from 'node:assert/strict'
import type Database from 'better-sqlite3'
import { isValidRow } from '../../sql/conditions.ts'
import { intoRanges } from '../../sql/ranges.ts'
import { takes } from '../../sql/transitions.ts'
import { causeWithChanges, forgetPayloads } from '../../versions.ts'
import type { Transitions } from './transitions.ts'

/** What a job is to be, and what of that is new: JSON text, as its event keeps it. */
interface Plan {
  readonly priority: number
  readonly maxAttempts: number
  readonly runAt: number
  readonly changed: string
}

/** Later than any instant that there is. */
const noLimitMs = 1e15

/** Changes jobs that wait, and keeps what they were. */
export class JobChanges {
  readonly #transitions: Transitions
  readonly #sql: ReturnType<typeof prepare>

  constructor(db: Database.Database, transitions: Transitions) {
    this.#transitions = transitions
    this.#sql = prepare(db)
  }

  /** Returns whether the job is now as asked; otherwise its state does not allow it, or it must keep more attempts. */
  amend(id: number, changes: string, now: number, cause: string | null): boolean {
    const plan = this.#sql.plan.get({ id, changes, now }) as Plan | undefined
    if (!plan) return false
    const { changed, ...columns } = plan
    if (changed === '{}') return true
    this.#sql.keep.run({ id, changes, ...columns })
    if (this.#sql.setPayload.run({ id, changes }).changes > 0) this.#sql.forget.run({ id })
    this.#sql.setColumns.run({ id, ...columns })
    const ranges = intoRanges([{ id }], causeWithChanges(cause, JSON.parse(changed)))
    assert.equal(this.#transitions.apply('amend', ranges, now), 1, 'a job that waits could not be changed')
    return true
  }
}

function prepare(db: Database.Database) {
  const change = (from: string, to: string, less = '') =>
    `iif(${from} = ${to}, NULL, json_object('from', ${from}${less}, 'to', ${to}${less}))`
  const given = `(:changes ->> 'payload')`
  return {
    // A patch leaves out what is NULL, and `max` is NULL if its argument is.
    plan: db.prepare(`
      SELECT priority, maxAttempts, runAt, json_patch('{}', json_object(
        'payload', iif(given <> payload, json('true'), NULL), 'runAt', ${change('run_at', 'runAt')},
        'priority', ${change('old_priority', 'priority')}, 'maxRetries', ${change('max_attempts', 'maxAttempts', ' - 1')})) AS changed
      FROM (
        SELECT attempt, run_at, max_attempts, jobs.priority AS old_priority, payload, ${given} AS given,
          coalesce(:changes ->> 'priority', jobs.priority) AS priority,
          coalesce(:changes ->> 'maxAttempts', max_attempts) AS maxAttempts,
          coalesce(max(:now, min(coalesce(:changes ->> 'runAt', :now + (:changes ->> 'delayMs')),
            created_at + coalesce(:changes ->> 'maxWaitMs', ${noLimitMs}))), run_at) AS runAt
        FROM jobs LEFT JOIN job_payloads ON job_id = id WHERE id = :id AND ${takes('amend')} AND ${isValidRow}
      ) WHERE maxAttempts > attempt`),
    keep: db.prepare(`
      INSERT INTO job_versions (job_id, seq, priority, max_attempts, payload)
      SELECT id, seq + 1, nullif(priority, :priority), nullif(max_attempts, :maxAttempts), iif(payload <> ${given}, payload, NULL)
      FROM jobs LEFT JOIN job_payloads ON job_id = id
      WHERE id = :id AND (priority <> :priority OR max_attempts <> :maxAttempts OR payload <> ${given})`),
    setPayload: db.prepare(`UPDATE job_payloads SET payload = ${given} WHERE job_id = :id AND payload <> ${given}`),
    forget: db.prepare(forgetPayloads(':id', 'length(CAST(payload AS BLOB))')),
    // The event follows, which moves it by what these columns say.
    setColumns: db.prepare(
      'UPDATE jobs SET priority = :priority, max_attempts = :maxAttempts, run_at = :runAt WHERE id = :id',
    ),
  }
}
