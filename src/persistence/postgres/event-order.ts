/** No transaction is open while more than that many others begin: a statement ends after a minute. */
const transactionsMax = 1_000_000

/**
 * Whether a later transaction has moved the job. The ids of events follow from those of their transactions, which are given out when one
 * begins to write, not when it commits: if an earlier one moved the job now, its events would be out of order. `xmin` has 32 bits, so only the
 * last transactions can be told from very old ones.
 */
export const isMovedLater = `age(jobs.xmin) BETWEEN -${transactionsMax} AND -1`
