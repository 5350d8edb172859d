import { performance } from 'node:perf_hooks'
import type pg from 'pg'
import { stateHasTag } from '../../sql/transitions.ts'
import { connect, type Settings } from '../connection.ts'
import { failureOf } from '../failure.ts'
import type { NodeFacts, ServerTime } from './protocol.ts'

/** Where nodes hear of each other. */
export const channel = 'jobmachine'

/** Running jobs that the last line of a process names. */
const namedMax = 100

/** What a row tells by itself. */
interface Listener {
  /** What other nodes have to say. */
  onSignal(text: string): void
  /** The connection broke: nothing is heard until it is used again. */
  onLost(): void
}

/**
 * The row by which others know that this process lives, on a connection of its own, so that no long commit stands in the way. It is written
 * by the server's clock.
 */
export class NodeRow {
  readonly #settings: Settings
  readonly #facts: NodeFacts
  readonly #given: () => number | null
  readonly #listener: Listener
  #client: pg.Client | null = null
  #connecting: Promise<pg.Client> | null = null
  #last: Promise<unknown> = Promise.resolve()
  #id = 0

  /** `given`: the instant that a test's clock shows; null: the server's clock counts. */
  constructor(settings: Settings, facts: NodeFacts, given: () => number | null, listener: Listener) {
    this.#settings = settings
    this.#facts = facts
    this.#given = given
    this.#listener = listener
  }

  /** Resolves when it is connected and hears of signals. */
  async connect(): Promise<void> {
    await this.#connected()
  }

  /** Writes a new row: an id is never used again. */
  async register(): Promise<number> {
    const { owner, serves, types, leaseMs } = this.#facts
    const { rows } = await this.#query<{ id: number }>(registerSql, [
      owner.pid,
      owner.host,
      owner.startedAt,
      serves,
      types,
      leaseMs,
      this.#given(),
    ])
    this.#id = rows[0]!.id
    return this.#id
  }

  /** The server's time; null if this node was declared dead. */
  async beat(): Promise<ServerTime | null> {
    const before = performance.now()
    const { rows } = await this.#query<{ wall: number }>(beatSql, [this.#id, this.#given()])
    return rows[0] ? { ...rows[0], steady: (before + performance.now()) / 2 } : null
  }

  /** Whether it has free workers and found no job for them. */
  async noteWaiting(isWaiting: boolean): Promise<null> {
    await this.#query('UPDATE nodes SET is_waiting = $2 WHERE id = $1', [this.#id, isWaiting])
    return null
  }

  /** If it ends now, that is no crash. */
  async noteStop(): Promise<null> {
    await this.#query('UPDATE nodes SET is_stopping = true WHERE id = $1', [this.#id])
    return null
  }

  /** The jobs that run here, as the database has it. */
  async runningIds(): Promise<number[]> {
    const { rows } = await this.#query<{ id: number }>(
      `SELECT id FROM jobs WHERE node_id = $1 AND lease_token IS NOT NULL AND ${stateHasTag('executing')} ORDER BY id LIMIT ${namedMax}`,
      [this.#id],
    )
    return rows.map(({ id }) => id)
  }

  /** The last thing that it does: others take what it still holds, and its counts go to those of all that are gone. */
  async end(): Promise<void> {
    await this.#last.catch(() => {})
    const client = this.#client
    if (!client) return
    await client.query(endSql, [this.#id, this.#given()]).catch(() => {})
    await client.query(mergeCountsSql).catch(() => {})
    await client.end().catch(() => {})
  }

  async #connected(): Promise<pg.Client> {
    if (this.#client) return this.#client
    this.#connecting ??= this.#open().finally(() => {
      this.#connecting = null
    })
    return this.#connecting
  }

  async #open(): Promise<pg.Client> {
    const client: pg.Client = await connect(this.#settings, () => this.#drop(client))
    client.on('notification', ({ payload: text = '' }) => this.#listener.onSignal(text))
    await client.query(`LISTEN ${channel}`)
    this.#client = client
    return client
  }

  #drop(client: pg.Client): void {
    client.end().catch(() => {})
    if (this.#client !== client) return
    this.#client = null
    this.#listener.onLost()
  }

  /**
   * One after the other: the driver has no queue of its own in versions to come. Asked again once if the connection broke, as it does when the
   * server is restarted: what a node says of itself may be said twice.
   */
  #query<Row extends pg.QueryResultRow>(text: string, values: unknown[]): Promise<pg.QueryResult<Row>> {
    const asking = { text, values, query_timeout: this.#facts.patienceMs }
    const query = async () => {
      const client = await this.#connected()
      try {
        return await client.query<Row>(asking)
      } catch (error) {
        if (failureOf(error) !== 'lost') throw error
        // A late answer would come on a connection that nobody can use until then.
        this.#drop(client)
        return (await this.#connected()).query<Row>(asking)
      }
    }
    const asked = this.#last.then(query, query)
    this.#last = asked
    return asked
  }
}

/**
 * The uptime of the nodes now: what has passed since the last heartbeat of any of them, added to the uptime that it wrote. More than half
 * of the shortest lease is a gap, in which perhaps no node could reach the server, or the clock was set ahead: that counts a tenth of the
 * lease. It is not 0, so that a node that is gone is found even if every heartbeat comes late; and a clock that was set back takes nothing away.
 */
function uptimeSql(given: string): string {
  const passed = `instant(${given}) - seen_at`
  return `(
    SELECT coalesce(max(uptime_ms + CASE WHEN ${passed} <= shortest / 2 THEN greatest(${passed}, 0) ELSE shortest / 10 END), 0)
    FROM nodes, (SELECT min(lease_ms) AS shortest FROM nodes WHERE ended_at IS NULL) AS lease WHERE ended_at IS NULL)`
}

const registerSql = `
  INSERT INTO nodes (pid, host, started_at, serves, types, lease_ms, seen_at, uptime_ms)
  VALUES ($1, $2, $3, $4, $5, $6, instant($7), ${uptimeSql('$7')}) RETURNING id`

const beatSql = `
  UPDATE nodes SET seen_at = instant($2), uptime_ms = ${uptimeSql('$2')} WHERE id = $1 AND ended_at IS NULL RETURNING seen_at AS wall`

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
