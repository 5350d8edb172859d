import type Database from 'better-sqlite3'
import { hasTag } from '../../machines/edges.ts'
import { stateIsTagged } from '../edge-sql.ts'
import { type Item, intoRuns } from '../runs.ts'
import type { Lease, StoredError } from '../store.ts'
import { chainFrom } from './histories.ts'
import type { Moved, Moves } from './moves.ts'
import type { RecoveryStep } from './protocol.ts'
import { isHeld, isTimed } from './schema.ts'

/** Leases that one transaction expires. */
const expireMax = 1_000
/** Events of each that are looked through for an earlier crash. */
const eventsMax = 1_000

export interface LeaseTimes {
  readonly leaseMs: number
  /** The spacing between jobs that come back from their second crash on, and its end. */
  readonly retryBaseMs: number
  readonly retryMaxMs: number
}

/** Renews leases, and expires those whose owners are silent or dead. */
export class Leases {
  readonly #moves: Moves
  readonly #times: LeaseTimes
  readonly #sql: ReturnType<typeof prepare>

  constructor(db: Database.Database, moves: Moves, times: LeaseTimes) {
    this.#moves = moves
    this.#times = times
    this.#sql = prepare(db)
  }

  /** Moves on the expiry of those leases that are still held, and gives back those that are not. */
  renew(leases: readonly Lease[], now: number): Lease[] {
    const list = JSON.stringify(leases.map(({ id, leaseToken }) => [id, leaseToken]))
    const { changes } = this.#sql.renew.run({ list, until: now + this.#times.leaseMs })
    if (changes === leases.length) return []
    const held = new Set(this.#sql.heldOf.all({ list }) as number[])
    return leases.filter(({ id }) => !held.has(id))
  }

  /** Expires leases that have run out, up to a bound. */
  expire(now: number): void {
    const ids = this.#sql.lapsed.all({ now, limit: expireMax }) as number[]
    const reason = 'the lease ran out: its worker was silent for longer than the visibility timeout'
    this.#expire(ids, now, 0, reason)
  }

  /**
   * Expires leases of jobs with higher ids than `after`, whoever holds them, up to a bound. `rank`: how many of this recovery come back
   * one after another so far.
   */
  recover(after: number, rank: number, now: number): RecoveryStep {
    const ids = this.#sql.orphans.all({ after, limit: expireMax }) as number[]
    const reason = 'the process that ran it ended before it reported an outcome'
    const { moved, rank: next } = this.#expire(ids, now, rank, reason)
    const running = moved.filter(([, from]) => hasTag(from, 'executing')).length
    return { last: ids.at(-1) ?? null, leased: moved.length - running, running, rank: next }
  }

  /**
   * A first crash is due again at once, in this transaction; from the second on the jobs come back one after another, so that one that
   * kills the process does not take those that ran beside it to `dead`.
   */
  #expire(
    ids: readonly number[],
    now: number,
    rank: number,
    reason: string,
  ): { moved: readonly Moved[]; rank: number } {
    const { retryBaseMs, retryMaxMs } = this.#times
    const error = JSON.stringify({ name: 'LeaseExpiredError', message: reason } satisfies StoredError)
    const list = JSON.stringify(ids)
    const crashedBefore = new Set(this.#sql.crashedBefore.all({ list }) as number[])
    let behind = rank
    const items = ids.map((id): Item => {
      const delayMs = crashedBefore.has(id) ? Math.min(++behind * retryBaseMs, retryMaxMs) : 0
      return { id, delayMs, error }
    })
    this.#moves.apply('expire', intoRuns(items), now)
    const moved = this.#moves.lastMoved()
    this.#moves.apply('due', intoRuns(this.#sql.dueOf.all({ list, now }) as Item[]), now)
    return { moved, rank: behind }
  }
}

function prepare(db: Database.Database) {
  const named = 'jobs.id = item.value ->> 0 AND jobs.lease_token = item.value ->> 1'
  return {
    renew: db.prepare(`UPDATE jobs SET lease_expires_at = :until FROM json_each(:list) AS item WHERE ${named}`),
    heldOf: db.prepare(`SELECT jobs.id FROM json_each(:list) AS item CROSS JOIN jobs ON ${named}`).pluck(),
    lapsed: db
      .prepare(
        `SELECT id FROM jobs WHERE ${isHeld} AND lease_expires_at <= :now ORDER BY lease_expires_at LIMIT :limit`,
      )
      .pluck(),
    // Without the hint SQLite walks up the ids of all jobs, for their order.
    orphans: db
      .prepare(`SELECT id FROM jobs INDEXED BY jobs_held WHERE ${isHeld} AND id > :after ORDER BY id LIMIT :limit`)
      .pluck(),
    crashedBefore: db
      .prepare(`
        SELECT jobs.id FROM json_each(:list) AS item CROSS JOIN jobs ON jobs.id = item.value
        WHERE ${stateIsTagged('executing')} AND EXISTS (
          ${chainFrom('jobs.last_event_id', `chain.seq > jobs.seq - ${eventsMax}`)}
          SELECT 1 FROM chain WHERE event = 'expire' AND ${stateIsTagged('executing', 'from_state')})`)
      .pluck(),
    dueOf: db.prepare(`
      SELECT jobs.id FROM json_each(:list) AS item CROSS JOIN jobs ON jobs.id = item.value
      WHERE ${isTimed} AND run_at <= :now`),
  }
}
