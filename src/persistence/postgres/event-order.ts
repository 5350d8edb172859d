/**
 * No transaction of a node is open while more than that many others begin: its statements end after a minute. Those of users may be open for
 * longer, so they compare the ids of events.
 */
const transactionsMax = 1_000_000

/**
 * Whether a later transaction has moved the job. The ids of events follow from those of their transactions, which are given out when one
 * begins to write, not when it commits: if an earlier one moved the job now, its events would be out of order. `xmin` has 32 bits, so only the
 * last transactions can be told from very old ones: a row that was not written for 2^32 transactions counts as moved later for the next million.
 */
export const isMovedLater = `age(jobs.xmin) BETWEEN -${transactionsMax} AND -1`

/**
 * The id before the first event of a transaction; those after it are its own, up to the first of the next. A database that was restored into
 * a server with lower transaction ids has an offset.
 */
export function firstEventOf(transaction: string): string {
  return `(${transaction} + (SELECT value::bigint FROM meta WHERE name = 'transaction_offset')) * 4096`
}
