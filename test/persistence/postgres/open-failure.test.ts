import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { createJobSystem } from '../../../src/index.ts'
import { migrate, migrations } from '../../../src/persistence/postgres/migrate.ts'
import { toOpenError } from '../../../src/persistence/postgres/open-failure.ts'
import { aDatabase, aSchema, openPostgres } from '../../support/postgres.ts'
import { postgresMissing } from '../../support/postgres-server.ts'
import { shareOfEachGroup } from '../../support/share.ts'
import { whenDone } from '../../support/temp.ts'

let roles = 0

/** Runs statements as the superuser. */
async function run(...statements: string[]): Promise<void> {
  const client = new pg.Client(await aDatabase())
  await client.connect()
  for (const sql of statements) await client.query(sql)
  await client.end()
}

/** A role without rights, and the address of the database for it. */
async function aRole() {
  const role = `poor_${process.pid}_${++roles}`
  await run(`CREATE ROLE ${role} LOGIN`)
  const address = await aDatabase()
  const name = new URL(address.replace('@/', '@host/')).pathname.slice(1)
  return { role, address: address.replace('postgres@', `${role}@`), database: name }
}

async function open(connectionString: string, schema: string) {
  const system = await createJobSystem({ postgres: { connectionString, schema, maxConnections: 3 } })
  whenDone(() => system.stop())
  return system
}

/** The statements that a refusal names, after `run: `. */
async function adviceOf(opening: Promise<unknown>): Promise<string> {
  const error = await opening.then(
    () => expect.fail('it opened'),
    (error) => error,
  )
  expect(error).toMatchObject({ code: 'database_unusable' })
  return /run: (.*)$/.exec(error.message)?.[1] ?? expect.fail(error.message)
}

shareOfEachGroup(3)

describe.skipIf(postgresMissing)('a process that may not use the database', () => {
  test('is told what to run so that its role may make the schema, and that is enough', async () => {
    const { role, address } = await aRole()
    const schema = aSchema()

    const advice = await adviceOf(open(address, schema))
    await run(advice)

    expect(advice).toBe(`CREATE SCHEMA "${schema}" AUTHORIZATION ${role}`)
    expect(await (await open(address, schema)).enqueue({ type: 'work', payload: 1 })).toMatchObject({ state: 'queued' })
  })

  test('is told what to grant on a schema of another role, and that is enough', async () => {
    const { address } = await aRole()
    const { path } = await openPostgres()

    const advice = await adviceOf(open(address, path))
    const [usage, tables, sequences] = advice.split('; ')
    await run(usage!)
    const second = await adviceOf(open(address, path))
    await run(tables!)
    const third = await adviceOf(open(address, path))
    await run(sequences!)

    expect([second, third]).toEqual([advice, advice])
    const system = await open(address, path)
    expect(await system.enqueue({ type: 'work', payload: 1 })).toMatchObject({ state: 'queued' })
    expect(await system.verify()).toMatchObject({ jobs: 1, violations: [] })
  })

  test('is told what to grant in a schema with tables of others, and not on these', async () => {
    const { address } = await aRole()
    const { path } = await openPostgres()
    await run(`CREATE TABLE ${path}.of_others (id integer)`)

    const advice = await adviceOf(open(address, path))
    await run(...advice.split('; '))

    expect(advice).not.toMatch(/ALL TABLES|of_others/)
    expect(await (await open(address, path)).enqueue({ type: 'work', payload: 1 })).toMatchObject({ state: 'queued' })
  })

  test.each(['jobs (id integer)', 'meta (id integer)', 'meta (name text, value text)', 'writers (id integer)'])(
    'is told that the schema has a table of others, %s, and changes nothing',
    async (table) => {
      const schema = aSchema()
      await run(`CREATE SCHEMA ${schema}`, `CREATE TABLE ${schema}.${table}`)

      const opening = open(await aDatabase(), schema)

      await expect(opening).rejects.toMatchObject({
        code: 'database_unusable',
        message: expect.stringMatching(
          /something of the same name that is not jobmachine's: .*; give jobmachine a schema/,
        ),
      })
      await run(`DROP TABLE ${schema}.${table.split(' ')[0]}`, `DROP SCHEMA ${schema}`)
    },
  )

  test('is told that the database is missing, and how to make it', async () => {
    const { address, database } = await aRole()

    const opening = open(address.replace(database, 'missing'), 'jobs')

    await expect(opening).rejects.toMatchObject({
      code: 'database_unusable',
      message: `database "missing" does not exist; correct the address (DATABASE_URL), or make it: CREATE DATABASE "missing" ENCODING 'UTF8' TEMPLATE template0`,
    })
  })

  test('is told that the database has another encoding', async () => {
    const address = await aDatabase()
    const name = `ascii_${process.pid}`
    await run(`CREATE DATABASE ${name} ENCODING 'SQL_ASCII' TEMPLATE template0`)

    const opening = open(address.replace(/@\/\w+/, `@/${name}`), 'jobs')

    await expect(opening).rejects.toThrow('the database has the encoding SQL_ASCII; it must be UTF8')
  })

  test('is told that the schema is newer than it knows', async () => {
    const { path } = await openPostgres()
    await run(`UPDATE ${path}.meta SET value = '999' WHERE name = 'version'`)

    await expect(open(await aDatabase(), path)).rejects.toThrow(
      `the schema ${path} has version 999, and this version of jobmachine knows ${migrations.length}: update jobmachine on this node`,
    )
  })

  test('is told which process of an earlier version has the schema open, and can open it after that', async () => {
    const schema = aSchema()
    const inSchema = `CREATE SCHEMA ${schema}; SET search_path TO ${schema};`
    const version = `INSERT INTO meta (name, value) VALUES ('database_id', 'of-a-test'), ('transaction_offset', '0'), ('version', '1');`
    const node = `INSERT INTO nodes (pid, host, started_at, serves, types, lease_ms, seen_at) SELECT 7, 'old', '', true, '{}', 60000, instant(NULL)`
    await run(inSchema + migrations[0]! + version + node)

    await expect(open(await aDatabase(), schema)).rejects.toThrow(
      /has version 1, and cannot be brought to version \d+ while it is used by process 7 on old, .*: stop all processes/,
    )
    await run(`UPDATE ${schema}.nodes SET ended_at = seen_at`)
    await open(await aDatabase(), schema)
  })
})

describe.skipIf(postgresMissing)('processes that start at once on an empty database', () => {
  test('make the schema once, and all of them are nodes', async () => {
    const schema = aSchema()
    const client = new pg.Client(await aDatabase())
    await client.connect()
    await client.query('SELECT pg_advisory_lock(hashtext($1))', [`jobmachine ${schema}`])
    const waiting = `SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`

    const stores = Promise.all([
      openPostgres({ path: schema }),
      openPostgres({ path: schema }),
      openPostgres({ path: schema }),
    ])
    await expect.poll(async () => (await client.query(waiting)).rows.length).toBe(3)
    await client.end()

    expect(await (await stores)[0]!.store.nodes()).toHaveLength(3)
  })
})

test('a server that is too old is refused, with the version that it has', async () => {
  const answer = { rows: [{ version: '120018', encoding: 'UTF8', standby: false }] }

  await expect(migrate({ query: async () => answer } as never, 'jobs', 'id')).rejects.toThrow(
    'the server has version 12; it must be 13 or later',
  )
})

test.each([
  [
    '28P01',
    'password authentication failed for user "me"',
    /^the server refuses the sign-in: password .*; correct the user and the password/,
  ],
  ['28000', 'no pg_hba.conf entry for host "10.0.0.1"', /^the server refuses the sign-in: no pg_hba.conf entry/],
  [
    undefined,
    'SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string',
    /^the server asks for a password, and there is none/,
  ],
])('a sign-in that is refused with %s says what to correct', (code, message, said) => {
  const error = toOpenError(Object.assign(new Error(message), { code }))

  expect(error).toMatchObject({ code: 'database_unusable', message: expect.stringMatching(said) })
})
