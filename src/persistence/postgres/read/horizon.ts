import { performance } from 'node:perf_hooks'
import { timers } from '../../../runtime/timers.ts'
import { firstEventOf } from '../event-order.ts'
import type { Reads } from '../reads.ts'

/** How long a reader waits for its own last commit, and between two looks, in ms. */
const ownCommitMs = 1_000
const lookMs = 2

/**
 * Below which id every transition there will ever be is visible. The ids of a transaction's transitions follow from its own, so what is open
 * has ids above the horizon, or is the reason for it. First the highest transaction there was, then what is open in this database: in
 * this order, and in a statement of its own, so that the page, which is read after it, shows all that has ended in between.
 */
export class Horizon {
  readonly #reads: Reads
  /** No transition that was written here has a higher id. */
  lastOwn = 0

  constructor(reads: Reads) {
    this.#reads = reads
  }

  /** Waits for what this process has committed, for what it may take a moment: a transaction that began before it. */
  async read(): Promise<number> {
    const giveUpAt = performance.now() + ownCommitMs
    for (;;) {
      const { lastOwn } = this
      const { horizon } = (await this.#reads.one<{ horizon: number }>(horizonSql))!
      if (horizon > lastOwn || performance.now() >= giveUpAt) return horizon
      await new Promise((resolve) => timers.setTimeout(resolve, lookMs))
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
