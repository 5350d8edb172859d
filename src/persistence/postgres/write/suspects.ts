import { isExclusiveToEnd } from '../../../machines/guards.ts'
import { type Exclusive, mayShare, suspectsMax } from '../../exclusive.ts'
import { orderBy, suspectOrder } from '../../sql/claim-order.ts'
import { isHeld, isSuspect, parkedAs } from '../../sql/conditions.ts'
import { stateHasTag } from '../../sql/transitions.ts'
import type { JobRow, LeasedJob } from '../../store.ts'
import { traceSql } from '../functions.ts'
import { isClaimable } from '../readable.ts'
import type { Reads } from '../reads.ts'
import type { Change, Done } from './step.ts'
import type { WriterNode } from './writer.ts'

interface Parts {
  readonly reads: Reads
  readonly node: () => WriterNode
  /** Types that have a handler here. */
  readonly handled: ReadonlySet<string>
  change(changes: readonly Change[]): Promise<Done['moved']>
  onAside(aside: Done['aside']): void
}

/**
 * Jobs that were running at more than one end of their process. A node starts them first, one at a time, those with the most crashes before
 * the others, so that its next end shows which of them causes it. Other nodes go on beside it.
 */
export class Suspects {
  readonly #parts: Parts
  #exclusive: Exclusive | null = null

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** The suspect that was leased now; `wait`: one runs alone; `none`: there is none for this node. */
  async next(start: boolean): Promise<LeasedJob | 'wait' | 'none'> {
    const { reads, node, handled } = this.#parts
    const { now } = (await reads.one<{ now: number }>('SELECT instant(:given::bigint) AS now', {
      given: node().now(),
    }))!
    if (await this.#runsAlone(now)) return 'wait'
    this.#exclusive = null
    const waiting = await reads.all<Pick<JobRow, 'id' | 'type' | 'crashes'> & { isHandled: boolean }>(inLineSql)
    const unhandled = waiting.filter(({ type, isHandled }) => !isHandled && !handled.has(type))
    await this.#putAside(unhandled.map(({ id }) => id))
    const job = waiting.find(({ type }) => handled.has(type))
    const leased = job && (await reads.one<LeasedJob>(leasedSql, { id: job.id }))
    if (!leased) return 'none'
    const toItsEnd = isExclusiveToEnd(job)
    if (toItsEnd && (await reads.one(anyRunsSql, { node: node().id }))) return 'wait'
    const cause = node().claimCause
    const [moved] = await this.#parts.change([{ event: start ? 'claim' : 'lease', jobs: [{ id: job.id }], cause }])
    if (moved !== null) return this.next(start)
    this.#exclusive = { id: job.id, leaseToken: leased.leaseToken, since: now, toItsEnd }
    return leased
  }

  /** Until its outcome is in the database, or its time is over. */
  async #runsAlone(now: number): Promise<boolean> {
    if (!this.#exclusive || mayShare(this.#exclusive, now)) return false
    const { id, leaseToken } = this.#exclusive
    const sql = 'SELECT 1 AS one FROM jobs WHERE id = :id AND lease_token = :leaseToken'
    return (await this.#parts.reads.one(sql, { id, leaseToken })) !== undefined
  }

  async #putAside(ids: readonly number[]): Promise<void> {
    if (ids.length === 0) return
    const rows = await this.#parts.reads.all<{ type: string; count: number }>(
      `WITH aside AS (UPDATE jobs SET parked = ${parkedAs.unhandled} WHERE id = ANY (:ids::bigint[]) AND ${isSuspect} RETURNING type)
       SELECT type, count(*) AS count FROM aside GROUP BY type`,
      { ids },
    )
    this.#parts.onAside(rows.map(({ type, count }) => ({ [type]: count })))
  }
}

const inLineSql = `
  SELECT id, type, crashes, EXISTS (SELECT 1 FROM nodes WHERE ended_at IS NULL AND jobs.type = ANY (nodes.types)) AS "isHandled"
  FROM jobs WHERE ${isSuspect} AND ${isClaimable} ORDER BY ${orderBy(suspectOrder)} LIMIT ${suspectsMax}`

/** As it will be once it is leased. */
const leasedSql = `
  SELECT id, seq + 1 AS "leaseToken", type, queue, ${traceSql} AS trace, coalesce((SELECT payload FROM job_payloads WHERE job_id = jobs.id), '') AS payload, attempt,
    max_attempts AS "maxAttempts", timeout_ms AS "timeoutMs", run_at AS "runAt"
  FROM jobs WHERE id = :id AND ${isSuspect} AND ${isClaimable}`

const anyRunsSql = `SELECT 1 AS one FROM jobs WHERE ${isHeld} AND node_id = :node AND ${stateHasTag('executing')} LIMIT 1`
