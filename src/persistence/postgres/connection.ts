import { createRequire } from 'node:module'
import type pg from 'pg'
import { ConfigError } from '../../errors.ts'
import { timers } from '../../runtime/timers.ts'
import type { Addresses } from './addresses.ts'

/** What of the driver is used; tests put in its place one whose connections they can cut. */
export type Driver = Pick<typeof pg, 'Client' | 'Pool' | 'types'>

/** How long a statement may take, and a client waits for its answer, in ms. */
const statementTimeoutMs = 60_000
const answerTimeoutMs = 65_000
const connectTimeoutMs = 5_000
/** How long whoever ends connections waits for the server, in ms. */
const endMaxMs = 2_000
/**
 * How long a writer waits for a lock, in ms: a transaction of a user may be open for minutes, and other calls wait behind the one that needs
 * the same idempotency key.
 */
const lockTimeoutMs = 500

/** Loaded when the first store is opened: most users have no need of it. */
export function loadDriver(): Driver {
  try {
    return createRequire(import.meta.url)('pg')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND') throw error
    throw new ConfigError(['postgres needs the package pg, which is not installed: npm install pg'])
  }
}

/** What every connection is opened with. */
export interface Settings {
  readonly driver: Driver
  readonly addresses: Addresses
  readonly schema: string
}

const int8 = 20

/** For `Client` and `Pool`. Ids and instants lie below 2^53. */
export function configOf({ driver, addresses }: Settings): pg.ClientConfig {
  return {
    connectionString: addresses.current,
    application_name: 'jobmachine',
    connectionTimeoutMillis: connectTimeoutMs,
    query_timeout: answerTimeoutMs,
    keepAlive: true,
    types: {
      getTypeParser: ((oid: number, format: never) =>
        oid === int8 ? Number : driver.types.getTypeParser(oid, format)) as never,
    },
  }
}

/** What is acknowledged is on disk, whatever the server's default is. */
function setUpSql(schema: string): string {
  return `SET search_path TO "${schema}", pg_temp; SET statement_timeout TO ${statementTimeoutMs}; SET idle_in_transaction_session_timeout TO ${statementTimeoutMs};
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'; SELECT pg_is_in_recovery() AS standby`
}

/** Rejects if it leads to a standby, and other servers are named besides. */
export async function setUp(client: pg.ClientBase, { schema, addresses }: Settings): Promise<void> {
  const results = (await client.query(setUpSql(schema))) as unknown as pg.QueryResult<{ standby: boolean }>[]
  if (addresses.count === 1 || !results.at(-1)!.rows[0]!.standby) return
  throw Object.assign(new Error('the server is a standby, which takes no writes'), { code: '25006' })
}

/** Plans of what writes are pinned: each statement looks rows up by key, whatever the statistics of some moment say. */
export const planSettings = [
  'enable_seqscan TO off',
  'enable_hashjoin TO off',
  'enable_mergejoin TO off',
  'plan_cache_mode TO force_generic_plan',
  'jit TO off',
]
export const pinPlansSql = planSettings.map((setting) => `SET ${setting}`).join('; ')

export const writerLocksSql = `SET lock_timeout TO ${lockTimeoutMs}`

/**
 * Connects one client, to the first server that takes writes; `onLost` is called once when it has broken, with the reason, unless that was before
 * it was connected.
 */
export async function connect(settings: Settings, onLost: (error: Error) => void): Promise<pg.Client> {
  const { addresses } = settings
  for (let left = addresses.count; ; left--) {
    const { current } = addresses
    try {
      return await connectOne(settings, onLost)
    } catch (error) {
      addresses.leave(current)
      if (left <= 1) throw error
    }
  }
}

async function connectOne(settings: Settings, onLost: (error: Error) => void): Promise<pg.Client> {
  const client = new settings.driver.Client(configOf(settings))
  let isWatched = false
  const lost = (error: Error) => {
    if (isWatched) onLost(error)
    isWatched = false
  }
  // From the moment it exists, or the process would end of it; it may come twice.
  client.on('error', lost)
  client.on('end', () => lost(new Error('the connection ended')))
  try {
    await client.connect()
    await setUp(client, settings)
  } catch (error) {
    client.end().catch(() => {})
    throw error
  }
  isWatched = true
  return client
}

/** Cuts what is left of connections after a while: a server that does not answer would be waited for, maybe for ever. */
export function cutLate(left: ReadonlySet<pg.ClientBase>): void {
  const cutLeft = () => {
    for (const client of left) cut(client)
  }
  timers.setTimeout(cutLeft, endMaxMs).unref()
}

/** The driver has no name for it, but does the same if a query is under way. */
function cut(client: pg.ClientBase): void {
  const { connection } = client as unknown as { connection: { stream: { destroy(): void } } }
  connection.stream.destroy()
}
