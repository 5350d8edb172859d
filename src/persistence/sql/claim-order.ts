/** One column of an order of rows, and its direction. */
interface OrderedColumn {
  readonly column: string
  readonly direction: 'ASC' | 'DESC'
}

/** The most significant column first; the last distinguishes any two rows. */
type Order = readonly OrderedColumn[]

/** The order in which the ready jobs of a queue are claimed. */
export const claimOrder: Order = [
  { column: 'priority', direction: 'DESC' },
  { column: 'run_at', direction: 'ASC' },
  { column: 'id', direction: 'ASC' },
]

/** The order in which the suspects of all queues are claimed. */
export const suspectOrder: Order = [{ column: 'crashes', direction: 'DESC' }, ...claimOrder]

/** The order as text for `ORDER BY`, and for the index that a claim reads. */
export function orderBy(order: Order): string {
  return order.map(({ column, direction }) => (direction === 'DESC' ? `${column} DESC` : column)).join(', ')
}

/**
 * The rows that come before the one whose column values are `:column`: one condition for each column, of which at most one holds for a row.
 * Each is one range of an index in this order. One comparison of (priority, run_at, id) is shorter, but makes SQLite read every job with
 * the same `run_at`, which many have.
 */
export function conditionsBefore(order: Order): string[] {
  return order.map(({ column, direction }, at) =>
    [
      ...order.slice(0, at).map((equal) => `${equal.column} = :${equal.column}`),
      `${column} ${direction === 'DESC' ? '>' : '<'} :${column}`,
    ].join(' AND '),
  )
}
