import type pg from 'pg'
import { DatabaseUnusableError } from '../../errors.ts'
import { type PostgresOptions, postgresDefaults } from '../postgres-options.ts'
import { Addresses } from './addresses.ts'
import { connect, loadDriver } from './connection.ts'
import { assertWhole, readDatabase } from './database.ts'
import { migrate, migrations, versionOf } from './migrate.ts'
import { toOpenError } from './open-failure.ts'

/** Brings the schema of a database to the newest version, and makes it if it is missing; returns that version. Rejects as opening a store does. */
export async function migrateDatabase(options: PostgresOptions, newDatabaseId: string): Promise<number> {
  return connected(options, async (client, schema) => {
    await migrate(client, schema, newDatabaseId)
    assertWhole(await readDatabase(client), schema)
    return migrations.length
  })
}

/** For a reader, which makes and migrates nothing. Rejects with `DatabaseUnusableError` if the schema is missing or of another version. */
export async function assertMigrated(options: PostgresOptions): Promise<void> {
  await connected(options, async (client, schema) => {
    const version = await versionOf(client, schema)
    if (version === 0)
      throw new DatabaseUnusableError(`there is no schema ${schema} with jobs in the database: correct DATABASE_SCHEMA`)
    if (version < migrations.length)
      throw new DatabaseUnusableError(
        `the schema ${schema} has version ${version}, and this program needs ${migrations.length}: run jobmachine migrate first`,
      )
  })
}

async function connected<Result>(
  { connectionString, schema = postgresDefaults.schema }: PostgresOptions,
  use: (client: pg.Client, schema: string) => Promise<Result>,
): Promise<Result> {
  const settings = { driver: loadDriver(), addresses: new Addresses(connectionString), schema }
  const client = await connect(settings, () => {}).catch((error) => {
    throw toOpenError(error)
  })
  try {
    return await use(client, schema)
  } finally {
    await client.end().catch(() => {})
  }
}
