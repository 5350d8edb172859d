import pg from 'pg'
import { openPostgresStore } from '../../src/persistence/postgres/client.ts'
import type { Driver } from '../../src/persistence/postgres/connection.ts'
import type { StoreEvent } from '../../src/persistence/store.ts'
import { ManualClock } from '../../src/runtime/clock.ts'
import { keptClient } from './kept-connections.ts'
import { Schemas } from './postgres-schemas.ts'
import { postgresServer } from './postgres-server.ts'
import { leaseMs, type OpenedStore, startAt, storeDefaults } from './store.ts'
import { startNodeHere } from './store-here.ts'
import { whenDone } from './temp.ts'

let databases = 0
let schemas = 0
let database: Promise<string> | undefined
let made: Promise<Schemas> | undefined
/** How often a test asked for the database, to do with it what it likes. */
let asked = 0

/** The address of a database for the tests of this process. */
export function aDatabase(): Promise<string> {
  asked++
  return ownDatabase()
}

function ownDatabase(): Promise<string> {
  database ??= createDatabase()
  return database
}

/** A schema that is there and empty. */
async function aMadeSchema(): Promise<string> {
  made ??= ownDatabase().then((address) => new Schemas(address, () => asked))
  return (await made).take()
}

async function createDatabase(): Promise<string> {
  const host = await postgresServer()
  const name = `tests_${process.pid}_${++databases}_${Math.trunc(performance.now())}`
  const client = new pg.Client({ host, user: 'postgres', database: 'postgres' })
  await client.connect()
  await client.query(`CREATE DATABASE ${name}`)
  await client.end()
  return `postgres://postgres@/${name}?host=${encodeURIComponent(host)}`
}

/** A connection of the test's own, which ends with it: to this file's database unless `config` says otherwise, and in `schema` if that is given. */
export async function aConnection({
  schema,
  ...config
}: pg.ClientConfig & { schema?: string } = {}): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: await aDatabase(), ...config })
  // A test may stop the server.
  client.on('error', () => {})
  await client.connect()
  whenDone(() => client.end())
  if (schema !== undefined) await client.query(`SET search_path TO "${schema}"`)
  return client
}

/** The name of a schema that nobody else uses, and that is not there yet. */
export function aSchema(): string {
  return `test_${++schemas}`
}

/**
 * A driver whose connections can be cut, and made impossible, as if the process had ended or the cable been pulled. `keeps`: it goes on with the
 * connections that earlier stores have ended, which saves the server 40 ms of processor time for each store.
 */
export function aDriver(keeps = false) {
  const clients = new Set<pg.Client>()
  let isCut = false
  class Client extends pg.Client {
    constructor(config: pg.ClientConfig) {
      super(config)
      const client: pg.Client = keeps && !isCut ? keptClient(config, () => clients.delete(client)) : this
      clients.add(client)
      const connect = client.connect.bind(client) as (callback?: unknown) => Promise<pg.Client>
      client.connect = ((callback?: (error: Error) => void) => {
        const refusal = Object.assign(new Error('the connection is cut'), { code: 'ECONNREFUSED' })
        if (!isCut) return connect(callback)
        return callback ? callback(refusal) : Promise.reject(refusal)
      }) as never
      // biome-ignore lint/correctness/noConstructorReturn: the driver's pool calls this with `new`
      return client as never as Client
    }
  }
  class Pool extends pg.Pool {
    constructor(options: pg.PoolConfig) {
      super({ Client: Client as never, ...options })
    }
  }
  const drop = () => {
    for (const client of clients)
      (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy()
    clients.clear()
  }
  return {
    driver: { Client, Pool, types: pg.types } as unknown as Driver,
    /** Once, or until it is mended. */
    drop,
    cut() {
      isCut = true
      drop()
    },
    mend() {
      isCut = false
    },
  }
}

/** An opened store of PostgreSQL, and what cuts its connections; `path` is its schema. */
export interface OpenedPostgres extends OpenedStore {
  readonly line: ReturnType<typeof aDriver>
}

/**
 * Opens a store that is closed when the test, or the group whose `beforeAll` opened it, ends, unless `atEnd` sees to that. Its schema is there
 * already, unless `path` or another server is given.
 */
export async function openPostgres(
  given: Partial<Parameters<typeof openPostgresStore>[0]> & {
    path?: string | undefined
    keepsConnections?: boolean
  } = {},
  atEnd: (close: () => Promise<void>) => void = whenDone,
): Promise<OpenedPostgres> {
  const {
    path = given.connectionString === undefined ? await aMadeSchema() : aSchema(),
    keepsConnections = false,
    ...options
  } = given
  const clock = (options.clock as ManualClock | undefined) ?? new ManualClock(startAt)
  const notices: StoreEvent[] = []
  const line = aDriver(keepsConnections)
  const complete = {
    connectionString: await ownDatabase(),
    schema: path,
    // One that writes: each connection costs the server some milliseconds. The proofs have two.
    maxConnections: process.env.PROOFS === 'whole' ? 6 : 3,
    serves: true,
    ...storeDefaults,
    notify(notice: StoreEvent) {
      if (notice.type !== 'stalled') notices.push(notice)
    },
    longestTimeoutMs: () => 0,
    environment: {},
    ...options,
    clock,
  }
  const store = await openPostgresStore(complete, { driver: line.driver, startNode: startNodeHere(line.driver) })
  atEnd(() => store.close())
  return { store, clock, notices, path, line }
}

/** A lease's time passes, in which these stores show themselves and see who did not. */
export async function passLease(clock: ManualClock, ...stores: readonly OpenedStore['store'][]): Promise<void> {
  for (let part = 0; part < 3; part++) {
    clock.advance(leaseMs / 3)
    for (const store of stores) await store.sweep()
  }
}
