import { createHash } from 'node:crypto'
import { aDatabase } from './postgres.ts'

/** Set by `vitest.postgres.config.ts`: the tests of the system and of HTTP run on PostgreSQL. */
export const onPostgres = process.env.TEST_STORE === 'postgres'

/** The option of `createJobSystem` that names the database: the file at `path`, or a schema of its own for each path. */
export async function databaseAt(path: string): Promise<{ database: string } | { postgres: Postgres }> {
  if (!onPostgres) return { database: path }
  return { postgres: { connectionString: await aDatabase(), schema: schemaOf(path), maxConnections: 3 } }
}

interface Postgres {
  readonly connectionString: string
  readonly schema: string
  readonly maxConnections: number
}

export function schemaOf(path: string): string {
  return `test_${createHash('sha256').update(path).digest('hex').slice(0, 16)}`
}
