import { performance } from 'node:perf_hooks'
import type pg from 'pg'
import type { Owner } from '../store.ts'
import { connect, type Settings } from './connection.ts'
import { failureOf } from './failure.ts'

/** Where nodes hear of each other. */
export const channel = 'jobmachine'

/** What a node says of itself. */
export interface NodeFacts {
  readonly owner: Owner
  /** It runs jobs; a producer does not. */
  readonly serves: boolean
  /** Job types that have a handler there. */
  readonly types: readonly string[]
  readonly leaseMs: number
}

/** An instant of the server's clock, and of this process's steady one when it was read, in ms. */
export interface ServerTime {
  readonly wall: number
  readonly steady: number
}

/**
 * The row by which others know that this process lives. It writes there by the server's clock, on a connection of its own, so that no long
 * commit stands in the way; its jobs are its own as long as it does.
 */
export class OwnNode {
  readonly #settings: Settings
  readonly #facts: NodeFacts
  readonly #given: () => number | null
  #client: pg.Client | null = null
  #connecting: Promise<pg.Client> | null = null
  #last: Promise<unknown> = Promise.resolve()
  #closed = false
  id = 0
  /** Called with what other nodes have to say. */
  onSignal: (message: string) => void = () => {}

  /** `given`: the instant that a test's clock shows; null: the server's clock counts. */
  constructor(settings: Settings, facts: NodeFacts, given: () => number | null) {
    this.#settings = settings
    this.#facts = facts
    this.#given = given
  }

  /** For statements: the instant that a test's clock shows, or null. */
  now(): number | null {
    return this.#given()
  }

  /** Writes a new row: an id is never used again. */
  async register(): Promise<void> {
    const { owner, serves, types, leaseMs } = this.#facts
    const { rows } = await this.#query<{ id: number }>(
      `INSERT INTO nodes (pid, host, started_at, serves, types, lease_ms, seen_at) VALUES ($1, $2, $3, $4, $5, $6, instant($7)) RETURNING id`,
      [owner.pid, owner.host, owner.startedAt, serves, types, leaseMs, this.now()],
    )
    this.id = rows[0]!.id
  }

  /** The server's time; null if this node was declared dead. */
  async beat(): Promise<ServerTime | null> {
    const before = performance.now()
    const { rows } = await this.#query<{ wall: number }>(
      'UPDATE nodes SET seen_at = greatest(seen_at, instant($2)) WHERE id = $1 AND ended_at IS NULL RETURNING instant($2) AS wall',
      [this.id, this.now()],
    )
    return rows[0] ? { wall: rows[0].wall, steady: (before + performance.now()) / 2 } : null
  }

  /** Whether it has free workers and found no job for them. */
  async noteWaiting(isWaiting: boolean): Promise<void> {
    await this.#query('UPDATE nodes SET is_waiting = $2 WHERE id = $1', [this.id, isWaiting])
  }

  /** If it ends now, that is no crash. */
  async noteStop(): Promise<void> {
    await this.#query('UPDATE nodes SET is_stopping = true WHERE id = $1', [this.id])
  }

  /** The last thing that it does: others take what it still holds, and its counts go to those of all that are gone. */
  async end(): Promise<void> {
    await this.#last.catch(() => {})
    this.#closed = true
    const client = await this.#connecting?.catch(() => null)
    if (!client) return
    await client.query(endSql, [this.id, this.now()]).catch(() => {})
    await client.query(mergeCountsSql).catch(() => {})
    await client.end().catch(() => {})
  }

  /** Without a connection it hears of no signal. */
  get isConnected(): boolean {
    return this.#connecting !== null
  }

  /** Its connection. It hears of signals as soon as it has `onSignal`. */
  connect(): Promise<pg.Client> {
    this.#connecting ??= this.#open().catch((error) => {
      this.#connecting = null
      throw error
    })
    return this.#connecting
  }

  async #open(): Promise<pg.Client> {
    const client = await connect(this.#settings, () => this.#drop(client))
    this.#client = client
    client.on('notification', (notification) => this.onSignal(notification.payload ?? ''))
    await client.query(`LISTEN ${channel}`)
    return client
  }

  #drop(client: pg.Client): void {
    if (this.#client === client) this.#connecting = null
    client.end().catch(() => {})
  }

  /**
   * One after the other: the driver has no queue of its own in versions to come. Asked again once if the connection broke, as it does when the
   * server is restarted: what a node says of itself may be said twice.
   */
  #query<Row extends pg.QueryResultRow>(sql: string, values: unknown[]): Promise<pg.QueryResult<Row>> {
    const query = async () => {
      if (this.#closed) throw new Error('the node has ended')
      const client = await this.connect()
      try {
        return await client.query<Row>(sql, values)
      } catch (error) {
        if (failureOf(error) !== 'lost') throw error
        this.#drop(client)
        return (await this.connect()).query<Row>(sql, values)
      }
    }
    const asked = this.#last.then(query, query)
    this.#last = asked
    return asked
  }
}

const endSql = `
  WITH ended AS (UPDATE nodes SET ended_at = coalesce(ended_at, instant($2)) WHERE id = $1 RETURNING id)
  DELETE FROM writers WHERE node_id IN (SELECT id FROM ended)`

/**
 * The number of a fenced writer's last call: below 0, so that none can follow it, and so that the process can still ask what became of that
 * call if it lives after all.
 */
export function fencedCall(call: string): string {
  return `(-1 - ${call})`
}

/** In the order of the key, as a step counts. */
export const mergeCountsSql = `
  WITH gone AS (
    DELETE FROM edge_counts WHERE writer_id <> 0 AND NOT EXISTS (SELECT 1 FROM writers WHERE id = writer_id AND last_call >= 0) RETURNING *
  )
  INSERT INTO edge_counts (writer_id, from_state, event, to_state, n)
  SELECT 0, from_state, event, to_state, sum(n) FROM gone GROUP BY 2, 3, 4 ORDER BY 2, 3, 4
  ON CONFLICT (writer_id, from_state, event, to_state) DO UPDATE SET n = edge_counts.n + excluded.n`
