import { createHash } from 'node:crypto'
import { hostname } from 'node:os'
import { expect } from 'vitest'
import { openKept } from '../../src/persistence/sqlite/file/kept.ts'
import { aConnection, aDatabase } from './postgres.ts'

/** Set by `vitest.postgres.config.ts`: the tests of the system and of HTTP run on PostgreSQL. */
export const onPostgres = process.env.TEST_STORE === 'postgres'

/** What the transition of a claim says of the process that made it: on PostgreSQL several share the jobs. */
export const claimedHere = onPostgres ? { node: { id: expect.any(Number), host: hostname(), pid: process.pid } } : {}

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

/** Changes the database of a stopped system by hand; `trigger`: what would refuse it. */
export async function alterDatabase(path: string, sql: string, trigger?: string): Promise<void> {
  if (onPostgres) {
    const client = await aConnection({ schema: schemaOf(path) })
    if (trigger) await client.query(`ALTER TABLE schedules DISABLE TRIGGER ${trigger}`)
    await client.query(sql)
    if (trigger) await client.query(`ALTER TABLE schedules ENABLE TRIGGER ${trigger}`)
    return
  }
  const db = openKept(path)
  const law = db
    .prepare('SELECT sql FROM sqlite_schema WHERE name = ?')
    .pluck()
    .get(trigger ?? null) as string
  if (trigger) db.exec(`DROP TRIGGER ${trigger}`)
  db.exec(sql)
  if (trigger) db.exec(law)
  db.close()
}
