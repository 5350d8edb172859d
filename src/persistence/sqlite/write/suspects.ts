import type Database from 'better-sqlite3'
import { exclusiveMs, isExclusiveToEnd } from '../../../machines/guards.ts'
import { type Exclusive, mayShare, suspectsMax } from '../../exclusive.ts'
import { orderBy, suspectOrder } from '../../sql/claim-order.ts'
import { isHeld, isSuspect, parkedAs } from '../../sql/conditions.ts'
import { stateHasTag } from '../../sql/transitions.ts'
import { isReadable, type ReadyJob, readyColumns, SkippedJobs } from './skipped-jobs.ts'

/**
 * What a claim does. `jobs`: claim only these now, one or none; null if there is no suspect. `unhandled`: by type, suspects without a
 * handler here, now set aside.
 */
interface NextSuspect {
  readonly jobs: readonly ReadyJob[] | null
  readonly aside: SkippedJobs
}

type Waiting = readonly [crashes: number, ...ReadyJob]

/**
 * Jobs that were running at more than one end of the process. After a restart they run first, one at a time, those with the most crashes
 * before the others, so that the next end of the process shows which of them causes it. If there are none, nothing is read.
 */
export class Suspects {
  readonly #handled: ReadonlySet<string>
  readonly #sql: ReturnType<typeof prepare>
  /** A suspect may be queued or run alone. Uncertain, because a rollback does not reset it. */
  #possible = true
  #exclusive: Exclusive | null = null

  /** `handled`: the types with a handler here. */
  constructor(db: Database.Database, handled: ReadonlySet<string>) {
    this.#handled = handled
    this.#sql = prepare(db)
  }

  /** A suspect may have been queued. */
  expect(): void {
    this.#possible = true
  }

  /** When others may start beside the one that runs alone, in epoch ms; null if none does, or if it runs alone to its end. */
  get exclusiveUntil(): number | null {
    return this.#exclusive && !this.#exclusive.toItsEnd ? this.#exclusive.since + exclusiveMs : null
  }

  next(now: number): NextSuspect {
    const aside = new SkippedJobs()
    if (!this.#possible) return { jobs: null, aside }
    if (this.#runsAlone(now)) return { jobs: [], aside }
    this.#exclusive = null
    const waiting = this.#sql.inLine.all() as Waiting[]
    const canRun = ([, ...job]: Waiting) => this.#handled.has(job[2]) && isReadable(job)
    for (const each of waiting) if (!canRun(each)) this.#putAside(each, aside)
    const next = waiting.find(canRun)
    if (!next) {
      // More than the examined ones wait behind them.
      this.#possible = waiting.length === suspectsMax
      return { jobs: this.#possible ? [] : null, aside }
    }
    const [crashes, ...job] = next
    const toItsEnd = isExclusiveToEnd({ crashes })
    if (toItsEnd && this.#sql.anyRuns.get() !== undefined) return { jobs: [], aside }
    this.#exclusive = { id: job[0], leaseToken: job[1], since: now, toItsEnd }
    return { jobs: [job], aside }
  }

  #putAside([, ...job]: Waiting, aside: SkippedJobs): void {
    this.#sql.putAside.run(job[0])
    aside.add(job)
  }

  /** Until its outcome is in the file, or its time is over. */
  #runsAlone(now: number): boolean {
    if (!this.#exclusive || mayShare(this.#exclusive, now)) return false
    const { id, leaseToken } = this.#exclusive
    return this.#sql.holds.get({ id, leaseToken }) !== undefined
  }
}

function prepare(db: Database.Database) {
  return {
    inLine: db
      .prepare(`
        SELECT crashes, ${readyColumns} FROM jobs
        WHERE ${isSuspect} ORDER BY ${orderBy(suspectOrder)} LIMIT ${suspectsMax}`)
      .raw(),
    putAside: db.prepare(`UPDATE jobs SET parked = ${parkedAs.unhandled} WHERE id = ?`),
    holds: db.prepare('SELECT 1 FROM jobs WHERE id = :id AND lease_token = :leaseToken'),
    anyRuns: db.prepare(
      `SELECT 1 FROM jobs INDEXED BY jobs_held WHERE ${isHeld} AND ${stateHasTag('executing')} LIMIT 1`,
    ),
  }
}
