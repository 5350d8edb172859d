import { setTimeout } from 'node:timers/promises'
import pg from 'pg'
import { migrate } from '../../src/persistence/postgres/migrate.ts'
import { waitingPids } from './kept-connections.ts'
import { storeDefaults } from './store.ts'
import { whenDone } from './temp.ts'

/** A schema of a larger table is left as it is, in bytes: its dead rows would slow down the next test. */
const sizeMax = 256 * 1024
/** How long the connections of a closed store may take to go, in ms. */
const patienceMs = 500

/**
 * The schemas of a database that stores have left: each is emptied and used again, which takes a tenth of the time that making one does.
 * `touched` counts what tests did besides with the database: a schema is not used again if that went on meanwhile.
 */
export class Schemas {
  readonly #address: string
  readonly #touched: () => number
  readonly #free: string[] = []
  #made = 0
  #client: Promise<pg.Client> | undefined
  /** Tests may run at once; what a connection does in one schema ends before it enters another. */
  #last: Promise<unknown> = Promise.resolve()
  #emptying = ''

  constructor(address: string, touched: () => number) {
    this.#address = address
    this.#touched = touched
  }

  /** A schema as a store makes it, with nothing in it, until the test, or the group whose `beforeAll` asked, ends. */
  async take(): Promise<string> {
    const schema = this.#free.pop() ?? (await this.#afterOthers(() => this.#make()))
    const touched = this.#touched()
    // After those who use it are closed, for the first to ask is the last to be undone.
    whenDone(async () => {
      if (this.#touched() !== touched || !(await this.#isLeft())) return
      if (await this.#afterOthers(() => this.#empty(schema))) this.#free.push(schema)
    })
    return schema
  }

  #afterOthers<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work)
    this.#last = done.catch(() => {})
    return done
  }

  async #make(): Promise<string> {
    const schema = `made_${++this.#made}`
    const client = await this.#connected()
    await client.query(`SET search_path TO ${schema}`)
    await migrate(client, schema, storeDefaults.newDatabaseId)
    return schema
  }

  /** Whether no store is connected any more: a server goes on for a moment with what a cut connection has asked for. */
  async #isLeft(): Promise<boolean> {
    const client = await this.#connected()
    for (const until = performance.now() + patienceMs; performance.now() < until; await setTimeout(2)) {
      const { rows } = await client.query(
        `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> ALL (pg_backend_pid() || $1::integer[]) LIMIT 1`,
        [waitingPids()],
      )
      if (rows.length === 0) return true
    }
    return false
  }

  /** False if it is too large. */
  async #empty(schema: string): Promise<boolean> {
    const client = await this.#connected()
    await client.query(`SET search_path TO ${schema}`)
    if (!this.#emptying) this.#emptying = await emptyingSql(client, schema)
    const { rows } = await client.query<{ size: number }>(`SELECT pg_total_relation_size('jobs')::float8 AS size`)
    if (rows[0]!.size > sizeMax) return false
    await client.query(this.#emptying)
    return true
  }

  #connected(): Promise<pg.Client> {
    this.#client ??= connect(this.#address)
    return this.#client
  }
}

async function connect(address: string): Promise<pg.Client> {
  const client = new pg.Client(address)
  client.on('error', () => {})
  await client.connect()
  ;(client as unknown as { connection: { stream: { unref(): void } } }).connection.stream.unref()
  return client
}

/** Brings the schema in the search path to where a new one is; its law forbids most of this. */
async function emptyingSql(client: pg.Client, schema: string): Promise<string> {
  const { rows } = await client.query<{ name: string; kind: string }>(
    `SELECT relname AS name, relkind AS kind FROM pg_class WHERE relkind IN ('r', 'S') AND relnamespace = '${schema}'::regnamespace`,
  )
  const named = (kind: string) => rows.filter((row) => row.kind === kind).map(({ name }) => name)
  return [
    'SET session_replication_role = replica',
    ...named('r').flatMap((name) => (name === 'meta' ? [] : [`DELETE FROM ${name}`])),
    `DELETE FROM meta WHERE name NOT IN ('version', 'database_id', 'transaction_offset')`,
    `UPDATE meta SET value = '${storeDefaults.newDatabaseId}' WHERE name = 'database_id'`,
    ...named('S').map((name) => `SELECT setval('${name}', 1, false)`),
    'SET session_replication_role = origin',
  ].join('; ')
}
