import { performance } from 'node:perf_hooks'
import type Database from 'better-sqlite3'
import { CountingTime } from '../../counting-time.ts'
import { reserveInQueues } from '../../queue-limit.ts'
import { isParked, isReady, isTimed } from '../../sql/conditions.ts'

/** See `CountingTime`. */
const countingMaxMs = 10
/** Queues whose depth is kept at the same time. */
const queuesMax = 1_000

/**
 * Enforces the limit on the waiting jobs of each queue, so that one queue cannot use the whole limit. While all queues together are below
 * it, nothing is counted. Above it, each transaction counts the queues into which it stores, as long as that takes no more than a fiftieth
 * of the time (11 ms for 400,000 ready jobs, 70 ms if 250,000 are delayed). Otherwise it uses the last count and what was stored here
 * since. So other processes may make a queue exceed its limit meanwhile, and a queue without a count is accepted.
 */
export class QueueDepths {
  readonly #db: Database.Database
  readonly #max: number
  readonly #depths = new Map<string, number>()
  /** Queues that this transaction has counted. */
  readonly #asked = new Set<string>()
  #count: Database.Statement | undefined
  readonly #time = new CountingTime(countingMaxMs)

  constructor(db: Database.Database, max: number) {
    this.#db = db
    this.#max = max
  }

  /**
   * Call it before jobs are stored in a transaction; `total`: how many would then wait in all queues. Returns false if no queue can be
   * full.
   */
  begin(total: number, now: number): boolean {
    this.#asked.clear()
    if (total <= this.#max) {
      this.#depths.clear()
      return false
    }
    this.#time.earn(now)
    return true
  }

  /** Reserves room for these jobs in their queues; if one is full, in none, and returns that one. */
  take(coming: Parameters<typeof reserveInQueues>[0]): ReturnType<typeof reserveInQueues> {
    return reserveInQueues(coming, this.#max, this.#depths, (queue) => this.#depthOf(queue))
  }

  /**
   * Counted once per transaction; what the transaction stores after that is not in the file yet. Undefined if it is not known and may not
   * be counted now.
   */
  #depthOf(queue: string): number | undefined {
    if (this.#time.isSpent || this.#asked.has(queue)) return this.#depths.get(queue)
    this.#count ??= this.#db.prepare(countWaiting).pluck()
    const beganAt = performance.now()
    const depth = this.#count.get({ queue }) as number
    this.#time.spend(performance.now() - beganAt)
    this.#asked.add(queue)
    if (this.#depths.size >= queuesMax) this.#depths.clear()
    this.#depths.set(queue, depth)
    return depth
  }
}

const countWaiting = `SELECT
  (SELECT count(*) FROM jobs INDEXED BY jobs_ready WHERE ${isReady} AND queue = :queue)
  + (SELECT count(*) FROM jobs INDEXED BY jobs_parked WHERE ${isParked} AND queue = :queue)
  + (SELECT count(*) FROM jobs INDEXED BY jobs_timed WHERE ${isTimed} AND queue = :queue)`
