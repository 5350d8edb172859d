import type Database from 'better-sqlite3'
import { isReady } from '../../sql/conditions.ts'
import type { ReadyJob } from './skipped-jobs.ts'

/** The next queue with ready jobs, after the given one: one seek. */
const nextQueue = (last: string) =>
  `SELECT queue FROM jobs WHERE ${isReady} AND queue > ${last} AND queue < x'' ORDER BY queue LIMIT 1`

/** Up to `:most` queues with ready jobs, after the queue `:last`: one seek each. */
export const queuesAfterSql = `
  WITH RECURSIVE turn (queue, n) AS (
    SELECT (${nextQueue(':last')}), 1
    UNION ALL SELECT (${nextQueue('turn.queue')}), n + 1 FROM turn WHERE turn.queue IS NOT NULL AND n < :most)
  SELECT queue FROM turn WHERE queue IS NOT NULL`

/** Smaller claims go by the turns of the queues alone. */
const agedMin = 32
/** The part of a claim for turns: of many queues with a job each, and of fewer. */
const turnsOf = { many: 1 / 8, few: 1 / 2 }
/** Ids among which one claim looks for the oldest ready jobs. */
const stretchMax = 3_000

/**
 * Decides how many jobs each queue gives to a claim. Queues take turns; in a large claim those with the oldest jobs, by id, give more, because
 * jobs with ids close together are on the same pages, and share the rows of their events. What it remembers are hints, so a rollback does
 * no harm.
 */
export class QueueTurns {
  readonly #sql: ReturnType<typeof prepare>
  #servedLast = ''
  /** In the shares that were made last, if not every job of them is a turn. */
  #lastInTurn: string | null = null
  /** A quarter of the last claim had lower ids. Ready jobs with such ids are mostly those that their queues give last. */
  #oldest = 0

  constructor(db: Database.Database) {
    this.#sql = prepare(db)
  }

  /** The next queues, in the order of their turns, with an equal share each. */
  evenly(limit: number): ReadonlyMap<string, number> {
    this.#lastInTurn = null
    const queues = this.#inTurn(limit)
    const share = Math.ceil(limit / queues.length)
    return new Map(queues.map((queue) => [queue, share]))
  }

  /**
   * A share for each of the next queues, and the rest for those with the oldest jobs. They may have fewer jobs than are wanted, even if others
   * have more. Null if the claim is too small for that, or all jobs are in one queue.
   */
  byAge(limit: number): ReadonlyMap<string, number> | null {
    if (limit < agedMin) return null
    const most = Math.ceil(limit * turnsOf.many)
    const queues = this.#inTurn(most)
    if (queues.length < 2) return null
    this.#lastInTurn = queues.at(-1)!
    const share = queues.length < most ? Math.max(1, Math.floor((limit * turnsOf.few) / queues.length)) : 1
    return this.#filledByAge(new Map(queues.map((queue) => [queue, share])), limit)
  }

  /** `jobs`: of the claim for which the shares were made last. */
  served(jobs: readonly ReadyJob[]): void {
    if (jobs.length === 0) return
    this.#servedLast = this.#lastInTurn ?? jobs.at(-1)![3]
    const ids = jobs.map(([id]) => id).sort((a, b) => a - b)
    this.#oldest = ids[Math.floor(ids.length / 4)]!
  }

  /** Queues with ready jobs, from the one after the last served, around to that one. */
  #inTurn(most: number): string[] {
    const queues = this.#sql.queuesAfter.all({ last: this.#servedLast, most }) as string[]
    if (queues.length === most || this.#servedLast === '') return queues
    const before = this.#sql.queuesAfter.all({ last: '', most: most - queues.length }) as string[]
    return [...queues, ...before.filter((queue) => queue <= this.#servedLast)]
  }

  /** Each queue gives as many more as are among the oldest jobs, up to `limit` jobs in all. */
  #filledByAge(shares: Map<string, number>, limit: number): ReadonlyMap<string, number> {
    const inTurn = [...shares.keys()]
    let left = [...shares.values()].reduce((rest, share) => rest - share, limit)
    const seen = new Map<string, number>()
    for (const queue of this.#sql.oldest.all({ from: this.#oldest, limit }) as string[]) {
      const count = (seen.get(queue) ?? 0) + 1
      seen.set(queue, count)
      if (left === 0 || count <= (shares.get(queue) ?? 0)) continue
      shares.set(queue, count)
      left--
    }
    const more = Math.ceil(left / inTurn.length)
    for (const queue of inTurn) shares.set(queue, shares.get(queue)! + more)
    return shares
  }
}

function prepare(db: Database.Database) {
  return {
    queuesAfter: db.prepare(queuesAfterSql).pluck(),
    // Only of jobs without a delay: those with one are behind the others of their queue, and would be met again by each claim.
    oldest: db
      .prepare(`
        SELECT CAST(queue AS TEXT) FROM jobs NOT INDEXED
        WHERE id BETWEEN :from AND :from + ${stretchMax} AND ${isReady} AND run_at <= created_at ORDER BY id LIMIT 0 + :limit`)
      .pluck(),
  }
}
