import { performance } from 'node:perf_hooks'
import { timers } from '../../../runtime/timers.ts'
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

/**
 * What another role's sessions do is hidden from one that may not see it: then the oldest transaction of the whole server counts. The ids in
 * `pg_stat_activity` have 32 bits.
 */
const horizonSql = `
  WITH seen AS MATERIALIZED (
    SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS top, pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS bottom
  ), open AS MATERIALIZED (
    SELECT usesysid, backend_xid::text::bigint AS xid FROM pg_stat_activity WHERE datname = current_database()
    UNION ALL SELECT NULL, transaction::text::bigint FROM pg_prepared_xacts WHERE database = current_database()
  )
  SELECT (CASE WHEN pg_has_role('pg_read_all_stats', 'USAGE')
      OR NOT EXISTS (SELECT 1 FROM open WHERE usesysid <> (SELECT oid FROM pg_roles WHERE rolname = current_user))
    THEN least(top, (SELECT min(top - ((top - xid) & 4294967295)) FROM open WHERE xid IS NOT NULL AND ((top - xid) & 4294967295) BETWEEN 1 AND 2147483647))
    ELSE bottom END + (SELECT value::bigint FROM meta WHERE name = 'transaction_offset')) * 4096 AS horizon
  FROM seen`
