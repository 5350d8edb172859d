import { performance } from 'node:perf_hooks'
import { timers } from '../../../runtime/timers.ts'
import { firstEventOf } from '../event-order.ts'
import type { Reads } from '../reads.ts'

/** How long a reader waits for its own last commit, and between two looks, twice as long after each, in ms. */
const ownCommitMs = 1_000
const lookMs = { first: 2, most: 100 }

/**
 * Below which id every transition there will ever be is visible. The ids of a transaction's transitions follow from its own, so what is open
 * has ids above the horizon, or is the reason for it. First the highest transaction there was, then what is open in this database: in
 * this order, and in a statement of its own, so that the page, which is read after it, shows all that has ended in between.
 */
export class Horizon {
  readonly #reads: Reads
  /** No transition that was written here has a higher id. */
  lastOwn = 0
  /** Where a reader has given up: something is open there for long, and the next does not wait for it. */
  #gaveUpAt = 0

  constructor(reads: Reads) {
    this.#reads = reads
  }

  /** Waits for what this process has committed, for what it may take a moment: a transaction that began before it. */
  async read(): Promise<number> {
    const giveUpAt = performance.now() + ownCommitMs
    for (let pauseMs = lookMs.first; ; pauseMs = Math.min(2 * pauseMs, lookMs.most)) {
      const { lastOwn } = this
      const { horizon } = (await this.#reads.one<{ horizon: number }>(horizonSql))!
      if (horizon > lastOwn || horizon === this.#gaveUpAt) return horizon
      if (performance.now() >= giveUpAt) {
        this.#gaveUpAt = horizon
        return horizon
      }
      await new Promise((resolve) => timers.setTimeout(resolve, pauseMs))
    }
  }
}

/** Which transaction a session has is visible to every role. The ids in `pg_stat_activity` have 32 bits. */
const horizonSql = `
  WITH seen AS MATERIALIZED (
    SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS top
  ), open AS MATERIALIZED (
    SELECT backend_xid::text::bigint AS xid FROM pg_stat_activity WHERE datname = current_database() AND backend_xid IS NOT NULL
    UNION ALL SELECT transaction::text::bigint FROM pg_prepared_xacts WHERE database = current_database()
  )
  SELECT ${firstEventOf('least(top, (SELECT min(top - ((top - xid) & 4294967295)) FROM open WHERE ((top - xid) & 4294967295) BETWEEN 1 AND 2147483647))')} AS horizon
  FROM seen`
