import { performance } from 'node:perf_hooks'
import type { Reads } from './reads.ts'

/** A transaction that has been open for longer than this is told of, in ms: none of ours is. */
const openMs = 5_000
/** Transactions that one message names. */
const namedMax = 3

interface OpenTransaction {
  /** Null if it is prepared; then it has a `gid`. */
  readonly pid: number | null
  readonly gid: string | null
  readonly user: string
  readonly application: string | null
  readonly xid: string
  /** Epoch ms; null if this role may not see it. */
  readonly since: number | null
  /** Of the server's clock, epoch ms. */
  readonly now: number
}

/**
 * The transactions of this database that write and do not end. They hold back the tail of transitions, and may hold locks that our own wait for.
 * Who they belong to is visible to every role, since when is not.
 */
export class OpenTransactions {
  readonly #reads: Reads
  readonly #tell: (message: string | null) => void
  /** When each was seen first, by its id: the server's time, and monotonic ms. */
  #seen = new Map<string, { readonly wall: number; readonly steady: number }>()
  #told: string | null = null

  /** `tell`: called when there are others than before; null: none is open for long any more. */
  constructor(reads: Reads, tell: (message: string | null) => void) {
    this.#reads = reads
    this.#tell = tell
  }

  /** To be called every few seconds. */
  async look(): Promise<void> {
    const open = await this.#read()
    const long = open.filter((each) => this.#ageOf(each) >= openMs)
    const told = long.map(({ xid }) => xid).join() || null
    if (told === this.#told) return
    this.#told = told
    this.#tell(told === null ? null : this.#describe(long))
  }

  /** Those that are open now, however long; null if there is none. */
  async name(): Promise<string | null> {
    const open = await this.#read()
    return open.length === 0 ? null : this.#name(open)
  }

  async #read(): Promise<OpenTransaction[]> {
    const open = await this.#reads.all<OpenTransaction>(openSql)
    const steady = performance.now()
    this.#seen = new Map(open.map(({ xid, now }) => [xid, this.#seen.get(xid) ?? { wall: now, steady }]))
    return open
  }

  #ageOf({ xid, since, now }: OpenTransaction): number {
    return since === null ? performance.now() - this.#seen.get(xid)!.steady : now - since
  }

  #describe(long: readonly OpenTransaction[]): string {
    const [first] = long
    const end =
      first!.pid === null
        ? `COMMIT PREPARED or ROLLBACK PREPARED '${first!.gid}'`
        : `let it end, or end it: SELECT pg_terminate_backend(${first!.pid})`
    return `/events and system.transitions hold back what is committed while ${this.#name(long)}; ${end}`
  }

  #name(open: readonly OpenTransaction[]): string {
    const named = open.slice(0, namedMax).map((each) => this.#nameOne(each))
    const more = open.length > namedMax ? ` and ${open.length - namedMax} more` : ''
    return `${named.join(', ')}${more} ${open.length === 1 ? 'is' : 'are'} open`
  }

  #nameOne({ pid, gid, user, application, xid, since }: OpenTransaction): string {
    const time = new Date(since ?? this.#seen.get(xid)!.wall).toISOString()
    const from = since === null ? `since ${time} or earlier` : `since ${time}`
    if (pid === null) return `the prepared transaction '${gid}' (user ${user}, ${from})`
    return `a transaction of session ${pid} (${application ? `${application}, ` : ''}user ${user}, ${from})`
  }
}

/** The oldest first. */
const openSql = `
  SELECT *, instant(NULL) AS now FROM (
    SELECT pid, NULL AS gid, usename::text AS user, application_name AS application, backend_xid::text AS xid,
      floor(extract(epoch FROM xact_start) * 1000)::bigint AS since, age(backend_xid) AS age
    FROM pg_stat_activity WHERE datname = current_database() AND backend_xid IS NOT NULL AND pid <> pg_backend_pid()
    UNION ALL
    SELECT NULL, gid, owner::text, NULL, transaction::text, floor(extract(epoch FROM prepared) * 1000)::bigint, age(transaction)
    FROM pg_prepared_xacts WHERE database = current_database()
  ) AS open ORDER BY age DESC, pid`
