import { ManualClock } from '../../runtime/clock.ts'
import { postgresDefaults } from '../postgres-options.ts'
import type { Store } from '../store.ts'
import { Heartbeat } from '../watchdog.ts'
import { Addresses } from './addresses.ts'
import { type Driver, loadDriver } from './connection.ts'
import { nodeThreads } from './nodes.ts'
import { toOpenError } from './open-failure.ts'
import { PostgresStore, type PostgresStoreOptions, renewalsPerLease } from './store.ts'

/** How long the server may take to answer a heartbeat at least, in ms. */
const patienceMinMs = 1_000

/** What tests replace: the driver by one whose connections they can cut, and the thread of the node by one on the caller's own. */
interface Replaceable {
  readonly driver: Driver
  readonly startNode: typeof nodeThreads.start
}

/**
 * Opens the store; makes its schema if it is missing. Rejects with `DatabaseUnusableError` if the database cannot be used, and with
 * `UnavailableError` if it cannot be reached.
 */
export async function openPostgresStore(
  options: PostgresStoreOptions,
  { driver = loadDriver(), startNode = nodeThreads.start }: Partial<Replaceable> = {},
): Promise<Store> {
  const { connectionString, schema = postgresDefaults.schema, clock, environment } = options
  const heartbeat = options.serves ? new Heartbeat() : null
  const { owner, serves, types, leaseMs } = options
  const pauseMs = leaseMs / renewalsPerLease
  const thread = startNode(
    {
      connectionString,
      schema,
      facts: { owner, serves, types, leaseMs, patienceMs: Math.max(pauseMs, patienceMinMs) },
      pauseMs,
      clock: clock instanceof ManualClock ? clock.cell : null,
      heartbeat: heartbeat?.memory ?? null,
    },
    environment,
  )
  const store = new PostgresStore(
    { driver, addresses: new Addresses(connectionString), schema },
    options,
    thread,
    heartbeat,
  )
  try {
    await store.open()
  } catch (error) {
    await store.close()
    throw toOpenError(error)
  }
  return store
}
