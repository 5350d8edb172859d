/** One column of an order of rows, and which way it goes. */
interface OrderedColumn {
  readonly column: string
  readonly direction: 'ASC' | 'DESC'
}

/** The most significant column first; the last tells any two rows apart. */
type Order = readonly OrderedColumn[]

/** Which of the ready jobs of a queue is claimed first. */
export const claimOrder: Order = [
  { column: 'priority', direction: 'DESC' },
  { column: 'run_at', direction: 'ASC' },
  { column: 'id', direction: 'ASC' },
]

/** Which of the suspects, of all queues, is claimed first. */
export const suspectOrder: Order = [{ column: 'crashes', direction: 'DESC' }, ...claimOrder]

/** The order as `ORDER BY` takes it, and the index by which a claim reads. */
export function orderBy(order: Order): string {
  return order.map(({ column, direction }) => (direction === 'DESC' ? `${column} DESC` : column)).join(', ')
}

/**
 * The rows that come before one of which `:column` is the value of each column: a condition for each column, no two of which hold for the
 * same row. Each is one range of an index in this order. One comparison of (priority, run_at, id) is shorter, but makes SQLite look at every
 * job with the same `run_at`, and so many have the same.
 */
export function conditionsBefore(order: Order): string[] {
  return order.map(({ column, direction }, at) =>
    [
      ...order.slice(0, at).map((equal) => `${equal.column} = :${equal.column}`),
      `${column} ${direction === 'DESC' ? '>' : '<'} :${column}`,
    ].join(' AND '),
  )
}
