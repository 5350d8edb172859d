import type pg from 'pg'
import { DatabaseUnusableError } from '../../errors.ts'
import { firstEventOf } from './event-order.ts'
import { newestId } from './event-runs.ts'
import { serverFunctions } from './functions.ts'
import { findLiveNode } from './live-node.ts'
import { sql as version1 } from './migrations/0001.ts'
import { sql as version2 } from './migrations/0002.ts'
import { sql as version3 } from './migrations/0003.ts'
import { sql as version4 } from './migrations/0004.ts'
import { sql as version5 } from './migrations/0005.ts'
import { sql as version6 } from './migrations/0006.ts'
import { sql as version7 } from './migrations/0007.ts'
import { sql as version8 } from './migrations/0008.ts'
import { sql as version9 } from './migrations/0009.ts'
import { sql as version10 } from './migrations/0010.ts'
import { sql as version11 } from './migrations/0011.ts'
import { sql as version12 } from './migrations/0012.ts'
import { sql as version13 } from './migrations/0013.ts'
import { sql as version14 } from './migrations/0014.ts'
import { assertRights, isOfRights, toRightsError } from './rights.ts'

/**
 * The schema, version by version. Each is the text that databases out there were made by, and never changes again: tests hold its hash.
 * What the machine decides of the newest schema is held against it by a test, which asks for the next version when they differ.
 */
export const migrations: readonly string[] = [
  version1,
  version2,
  version3,
  version4,
  version5,
  version6,
  version7,
  version8,
  version9,
  version10,
  version11,
  version12,
  version13,
  version14,
]

/** All that any version makes. */
const ownTables = [...migrations.join('').matchAll(/(?:CREATE TABLE|RENAME TO) (\w+)/g)].map(([, name]) => name!)

/** The oldest server whose functions are used, as `server_version_num` has it. */
const oldestServer = 130_000

/**
 * Brings the schema to the newest version, and sees that the functions of this version are there. Others that come meanwhile wait. Rejects
 * with `DatabaseUnusableError` if the server or the schema cannot be used.
 */
export async function migrate(client: pg.ClientBase, schema: string, newDatabaseId: string): Promise<void> {
  await assertServer(client)
  try {
    if (!(await isNewest(client, schema))) await makeNewest(client, schema, newDatabaseId)
  } catch (error) {
    if (isOfRights(error)) throw await toRightsError(client, schema, ownTables, error as Error)
    throw isOfOthers(error) ? othersError(schema, error as Error) : error
  }
  await assertRights(client, schema, ownTables)
}

async function makeNewest(client: pg.ClientBase, schema: string, newDatabaseId: string): Promise<void> {
  await client.query('BEGIN')
  try {
    // Another node may take its time.
    await client.query('SET LOCAL lock_timeout TO 0')
    await client.query('SELECT pg_advisory_xact_lock(hashtext($1))', [`jobmachine ${schema}`])
    const version = await versionOf(client, schema)
    // It may be there for a role that may not make one.
    const there = await client.query('SELECT 1 FROM pg_namespace WHERE nspname = $1', [schema])
    if (there.rows.length === 0) await client.query(`CREATE SCHEMA "${schema}"`)
    if (version > 0 && version < migrations.length) await assertNoEarlier(client, schema, version)
    for (const sql of migrations.slice(version)) await client.query(sql)
    if (version === 0)
      await client.query(`INSERT INTO meta (name, value) VALUES ('database_id', $1), ('transaction_offset', '0')`, [
        newDatabaseId,
      ])
    await client.query(
      `INSERT INTO meta (name, value) VALUES ('version', $1) ON CONFLICT (name) DO UPDATE SET value = excluded.value`,
      [migrations.length],
    )
    for (const { sql } of await missingFunctions(client, schema)) await client.query(sql)
    await keepIdsAscending(client)
    await client.query('COMMIT')
  } catch (error) {
    await client.query('ROLLBACK').catch(() => {})
    throw error
  }
}

/** A process of an earlier version would go on by what it knows: it would end a job that holds a unique key, and not free the key. */
async function assertNoEarlier(client: pg.ClientBase, schema: string, version: number): Promise<void> {
  const used = await findLiveNode(client)
  if (!used) return
  const text = `the schema ${schema} has version ${version}, and cannot be brought to version ${migrations.length} while it is used by ${used.heard}: stop all processes of the earlier version first; ${used.advice}`
  throw new DatabaseUnusableError(text)
}

/** A table, view, index or function of that name is there, or one has other columns. */
function isOfOthers(error: unknown): boolean {
  return /^(42P07|42710|42723|42703)$/.test(String((error as { code?: string }).code))
}

function othersError(schema: string, error: Error): DatabaseUnusableError {
  const text = `the schema ${schema} has something of the same name that is not jobmachine's: ${error.message}; give jobmachine a schema of its own (DATABASE_SCHEMA, or schema in postgres), jobmachine by default`
  return new DatabaseUnusableError(text, { cause: error })
}

/** Whether there is nothing to be done. */
async function isNewest(client: pg.ClientBase, schema: string): Promise<boolean> {
  if ((await versionOf(client, schema)) !== migrations.length) return false
  if ((await missingFunctions(client, schema)).length > 0) return false
  const { rows } = await client.query<{ behind: boolean }>(`SELECT ${isBehind('0')} AS behind`)
  return !rows[0]!.behind
}

/** A dump that was restored into another server, whose transactions have lower ids than those of its events. */
const newest = (given: string) => `greatest(${newestId()}, ${given})`
const isBehind = (given: string) => `${newest(given)} >=
  ${firstEventOf('pg_snapshot_xmax(pg_current_snapshot())::text::bigint')}`

/** Sees that the transitions to come have higher ids than all there are, and than `given`. */
export async function keepIdsAscending(client: pg.ClientBase, given = 0): Promise<void> {
  const sql = `
    UPDATE meta SET value = (${newest('$1::bigint')} / 4096 + 1 - pg_snapshot_xmin(pg_current_snapshot())::text::bigint)::text
    WHERE name = 'transaction_offset' AND ${isBehind('$1::bigint')}`
  await client.query(sql, [given])
}

/** The version of a schema; 0 if it is not there. Rejects with `DatabaseUnusableError` if it is newer than this one. */
export async function versionOf(client: pg.ClientBase, schema: string): Promise<number> {
  // Not by to_regclass: it may answer from before the wait for another node, which has made the schema meanwhile.
  const there = await client.query(
    `SELECT 1 FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE nspname = $1 AND relname = 'meta'`,
    [schema],
  )
  if (there.rows.length === 0) return 0
  const found = await client.query<{ value: string }>(`SELECT value FROM "${schema}".meta WHERE name = 'version'`)
  const version = Number(found.rows[0]?.value ?? 0)
  if (version <= migrations.length) return version
  throw new DatabaseUnusableError(
    `the schema ${schema} has version ${version}, and this version of jobmachine knows ${migrations.length}: update jobmachine on this node`,
  )
}

async function missingFunctions(client: pg.ClientBase, schema: string) {
  const { rows } = await client.query<{ name: string }>(
    'SELECT proname AS name FROM pg_proc WHERE pronamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1)',
    [schema],
  )
  const found = new Set(rows.map(({ name }) => name))
  return serverFunctions.filter(({ name }) => !found.has(name))
}

async function assertServer(client: pg.ClientBase): Promise<void> {
  const { rows } = await client.query<{ version: string; encoding: string; standby: boolean }>(`
    SELECT current_setting('server_version_num') AS version, current_setting('server_encoding') AS encoding, pg_is_in_recovery() AS standby`)
  const { version, encoding, standby } = rows[0]!
  const fault =
    Number(version) < oldestServer
      ? `the server has version ${version.slice(0, -4)}; it must be 13 or later`
      : encoding !== 'UTF8'
        ? `the database has the encoding ${encoding}; it must be UTF8`
        : standby
          ? 'the server is a standby, which takes no writes; name the primary'
          : null
  if (fault) throw new DatabaseUnusableError(`PostgreSQL cannot be used: ${fault}`)
}
