/** Counts end here, in room for what one more transition adds: PostgreSQL refuses a larger one, and with it all that is written beside it. */
const countMax = 2_147_483_000
/** Epoch ms, as `Date` has it. */
const instantMax = 8_640_000_000_000_000

/**
 * The row has what transitions compute with. A hand may have written anything that the columns allow; on such a row a statement would fail, and
 * so for all jobs of its transaction. It stays as it is.
 */
export const isUpdatable = `jobs.seq < ${countMax} AND jobs.attempt < ${countMax} AND jobs.crashes < ${countMax}`

/** The same of a ready one, and of what a worker gets. */
export const isClaimable = `${isUpdatable} AND jobs.attempt < jobs.max_attempts AND jobs.run_at BETWEEN -${instantMax} AND ${instantMax}
  AND coalesce(jobs.timeout_ms, 1) > 0`
