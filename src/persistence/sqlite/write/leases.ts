import type Database from 'better-sqlite3'
import type { EventCause } from '../../../machines/cause.ts'
import { suspectCrashes } from '../../../machines/guards.ts'
import { leaseExpiredError, processEndedError } from '../../lease-errors.ts'
import { isHeld, isTimed, isValidRow } from '../../sql/conditions.ts'
import { intoRanges } from '../../sql/ranges.ts'
import { stateHasTag } from '../../sql/transitions.ts'
import type { Lease, StoredError } from '../../store.ts'
import type { Answers } from '../thread/protocol.ts'
import type { Transitions } from './transitions.ts'

/** Leases that one step expires, and that one statement of it does. */
const expireMax = 1_000
const expireAtOnce = 100

/** The cause that is stored with what recovery does. */
const recovery = JSON.stringify({ cause: 'recovery' } satisfies EventCause)

/** A job whose process has ended. */
interface Orphan {
  readonly id: number
  /** 1 if its start was on disk. */
  readonly ran: 0 | 1
  /** Its crashes before this one. */
  readonly crashes: number
}

/** Renews leases, and expires those whose owners are silent or dead. */
export class Leases {
  readonly #transitions: Transitions
  readonly #leaseMs: number
  readonly #sql: ReturnType<typeof prepare>
  /** The number of jobs that were running when the process ended that is being recovered. */
  #ranTogether = 0
  /** Whether it was stopping when it ended. */
  #wasStopping = false

  constructor(db: Database.Database, transitions: Transitions, leaseMs: number) {
    this.#transitions = transitions
    this.#leaseMs = leaseMs
    this.#sql = prepare(db)
  }

  /** Extends the leases that are still held, and returns those that are not. */
  renew(leases: readonly Lease[], now: number): Lease[] {
    const list = JSON.stringify(leases.map(({ id, leaseToken }) => [id, leaseToken]))
    const { changes } = this.#sql.renew.run({ list, until: now + this.#leaseMs })
    if (changes === leases.length) return []
    const held = new Set(this.#sql.heldOf.all({ list }) as number[])
    return leases.filter(({ id }) => !held.has(id))
  }

  /**
   * Expires leases that have run out, up to a limit; returns whether there may be more. Only after those of dead processes were recovered,
   * because their jobs get another error.
   */
  expire(now: number, goOn = () => true): boolean {
    for (let expired = 0; expired < expireMax; expired += expireAtOnce) {
      if (expired > 0 && !goOn()) return true
      if (this.#expireLapsed(now) < expireAtOnce) return false
    }
    return true
  }

  #expireLapsed(now: number): number {
    const ids = this.#sql.lapsed.all({ now }) as number[]
    this.#expire(
      ids.map((id) => ({ id, error: leaseExpiredError })),
      now,
      false,
    )
    return ids.length
  }

  /** Until `forgetStop`, the process that holds the leases is being stopped: if it ends before it has given them back, no job is blamed. */
  noteStop(): void {
    this.#sql.noteStop.run()
  }

  forgetStop(): void {
    this.#sql.forgetStop.run()
  }

  /**
   * Recovers jobs with higher ids than `after` that a dead process held, up to a limit, whichever process it was. Running jobs are due
   * again at once, in this transaction, or dead if that was their last crash. If the process was stopping they are given back, and no crash
   * counts.
   */
  recover(after: number, now: number): Answers['recover'] {
    if (after === 0) {
      this.#ranTogether = this.#sql.running.get() as number
      this.#wasStopping = this.#sql.wasStopping.get() !== undefined
    }
    const orphans = this.#sql.orphans.all({ after }) as Orphan[]
    if (this.#wasStopping) this.#transitions.apply('release', intoRanges(orphans, recovery), now)
    else this.#expireOrphans(orphans, now)
    const ran = orphans.filter(({ ran }) => ran === 1)
    const counted = this.#wasStopping ? 0 : 1
    const suspects = ran.filter(({ crashes }) => crashes + counted >= suspectCrashes).length
    const counts = { leased: orphans.length - ran.length, running: ran.length, suspects }
    return { last: orphans.at(-1)?.id ?? null, ...counts, wasStopping: this.#wasStopping }
  }

  #expireOrphans(orphans: readonly Orphan[], now: number): void {
    this.#expire(
      orphans.map((orphan) => ({
        id: orphan.id,
        error: processEndedError(orphan.ran === 1, orphan.crashes, this.#ranTogether),
      })),
      now,
      true,
    )
  }

  #expire(jobs: readonly { readonly id: number; readonly error: StoredError }[], now: number, crashed: boolean): void {
    this.#transitions.apply('expire', intoRanges(jobs, crashed ? recovery : null), now, 'anyone', crashed)
    const list = JSON.stringify(jobs.map(({ id }) => id))
    this.#transitions.apply('due', intoRanges(this.#sql.dueOf.all({ list, now }) as { id: number }[]), now)
  }
}

function prepare(db: Database.Database) {
  const named = 'jobs.id = item.value ->> 0 AND jobs.lease_token = item.value ->> 1'
  return {
    renew: db.prepare(`UPDATE jobs SET lease_expires_at = :until FROM json_each(:list) AS item WHERE ${named}`),
    heldOf: db.prepare(`SELECT jobs.id FROM json_each(:list) AS item CROSS JOIN jobs ON ${named}`).pluck(),
    lapsed: db
      .prepare(
        `SELECT id FROM jobs WHERE ${isHeld} AND lease_expires_at <= :now AND ${isValidRow} ORDER BY lease_expires_at LIMIT ${expireAtOnce}`,
      )
      .pluck(),
    // Without the hint SQLite walks up the ids of all jobs, because of their order.
    orphans: db.prepare(`
      SELECT id, crashes, ${stateHasTag('executing')} AS ran FROM jobs INDEXED BY jobs_held
      WHERE ${isHeld} AND ${isValidRow} AND id > :after ORDER BY id LIMIT ${expireMax}`),
    // A row of `meta`: read once at start, written once at a stop.
    noteStop: db.prepare(`INSERT OR REPLACE INTO meta (name, value) VALUES ('stopping', 1)`),
    wasStopping: db.prepare(`SELECT 1 FROM meta WHERE name = 'stopping'`),
    forgetStop: db.prepare(`DELETE FROM meta WHERE name = 'stopping'`),
    running: db
      .prepare(`SELECT count(*) FROM jobs INDEXED BY jobs_held WHERE ${isHeld} AND ${stateHasTag('executing')}`)
      .pluck(),
    dueOf: db.prepare(`
      SELECT jobs.id FROM json_each(:list) AS item CROSS JOIN jobs ON jobs.id = item.value
      WHERE ${isTimed} AND run_at <= :now AND ${isValidRow}`),
  }
}
