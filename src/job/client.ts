/**
 * What runs statements in a transaction of the caller's on PostgreSQL: a `Client` or `PoolClient` of pg, or an object whose `query` does the
 * same with another library. It resolves with the rows, or with `{ rows }`.
 */
export interface TransactionClient {
  query(text: string, values: string[]): PromiseLike<unknown>
}

/** A connection of better-sqlite3 that the caller has opened to the file of the system. */
export interface SqliteConnection {
  readonly inTransaction: boolean
  readonly prepare: (sql: string) => unknown
}

/** The caller's own connection, with a transaction begun on it. */
export interface TransactionOptions<Client extends TransactionClient | SqliteConnection> {
  readonly client: Client
}
