import { type PostgresOptions, postgresDefaults } from '../postgres-options.ts'
import { Addresses } from './addresses.ts'
import { connect, loadDriver } from './connection.ts'
import { assertWhole, readDatabase } from './database.ts'
import { migrate, migrations } from './migrate.ts'
import { toOpenError } from './open-failure.ts'

/** Brings the schema of a database to the newest version, and makes it if it is missing; returns that version. Rejects as opening a store does. */
export async function migrateDatabase(options: PostgresOptions, newDatabaseId: string): Promise<number> {
  const { connectionString, schema = postgresDefaults.schema } = options
  const settings = { driver: loadDriver(), addresses: new Addresses(connectionString), schema }
  const client = await connect(settings, () => {}).catch((error) => {
    throw toOpenError(error)
  })
  try {
    await migrate(client, schema, newDatabaseId)
    assertWhole(await readDatabase(client), schema)
    return migrations.length
  } finally {
    await client.end().catch(() => {})
  }
}
