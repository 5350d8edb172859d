import pg from 'pg'
import { describe, expect, test, vi } from 'vitest'
import { copyFile } from '../../../src/persistence/copy/copy-file.ts'
import { Addresses } from '../../../src/persistence/postgres/addresses.ts'
import { loadDriver } from '../../../src/persistence/postgres/connection.ts'
import { CopyTarget } from '../../../src/persistence/postgres/copy/copy-target.ts'
import { ManualClock } from '../../../src/runtime/clock.ts'
import { storedAt, storedIn } from '../../support/both-sides.ts'
import { aConnection, aDatabase, aSchema, openPostgres } from '../../support/postgres.ts'
import { postgresMissing } from '../../support/postgres-server.ts'
import { aJob } from '../../support/store.ts'
import { whenDone } from '../../support/temp.ts'
import { ids } from '../conformance/helpers.ts'
import { aServedFile, copy, fill } from './a-file.ts'

type Run = Awaited<ReturnType<typeof copy>>

/** A copy that ends at a step as if it were killed there. */
async function endAt(step: string, path: string, schema: string): Promise<Run> {
  const begun = await copy(
    path,
    (reached) => {
      if (reached.step === step) throw new Error(`killed when ${step}`)
    },
    schema,
  )
  await expect(begun.run()).rejects.toThrow(`killed when ${step}`)
  return begun
}

/** Keeps what a schema has now; the answer brings all of it back, as a restore or a failover to a standby that lags does. */
async function keep(client: pg.Client, schema: string): Promise<() => Promise<void>> {
  const { rows } = await client.query<{ name: string }>(
    `SELECT relname AS name FROM pg_class WHERE relnamespace = $1::regnamespace AND relkind = 'r'`,
    [schema],
  )
  for (const { name } of rows) await client.query(`CREATE TEMP TABLE kept_${name} AS TABLE ${name}`)
  const { rows: sequence } = await client.query<{ last: string }>('SELECT last_value AS last FROM job_ids')
  return async () => {
    await client.query('SET session_replication_role TO replica')
    for (const { name } of rows)
      await client.query(`DELETE FROM ${name}; INSERT INTO ${name} OVERRIDING SYSTEM VALUE TABLE kept_${name}`)
    await client.query(`SELECT setval('job_ids', $1, false)`, [sequence[0]!.last])
    await client.query('SET session_replication_role TO origin')
  }
}

/** A file that was closed by a run which did not open the database any more. */
async function aClosedFile() {
  const file = await aServedFile()
  await fill(file, 1)
  const { schema } = await endAt('waiting', file.path, aSchema())
  const client = await aConnection({ schema })
  const restore = await keep(client, schema)
  await fill(file, 1)
  await file.stop()
  await endAt('closed', file.path, schema)
  return { path: file.path, schema, client, restore }
}

async function aTarget(schema: string) {
  const clients: pg.Client[] = []
  class Client extends pg.Client {
    constructor(config: pg.ClientConfig) {
      super(config)
      clients.push(this)
    }
  }
  const driver = { ...loadDriver(), types: pg.types, Client } as unknown as ReturnType<typeof loadDriver>
  const target = new CopyTarget({ driver, addresses: new Addresses(await aDatabase()), schema })
  whenDone(() => target.close())
  const origin = {
    epochs: [{ id: 'a-file', firstJob: 1, firstTransition: 1 }],
    owner: null,
    wasStopping: false,
    transitions: 10,
    jobs: 10,
  }
  await target.begin(origin, 'a file', 'new')
  return { target, origin, client: clients[0]! }
}

describe.skipIf(postgresMissing)('a move that ended when the file was closed', () => {
  test('copies again what the database lost before it was opened', async () => {
    const { path, schema, restore } = await aClosedFile()
    await restore()
    const { run, connectionString } = await copy(path, undefined, schema)
    expect(await storedAt(connectionString, schema)).not.toEqual(storedIn(path))

    const report = await run()

    const here = storedIn(path)
    expect(await storedAt(connectionString, schema)).toEqual(here)
    expect(report).toMatchObject({ jobs: here.jobs!.length, refusedMs: null })
    const { store } = await openPostgres({ path: schema })
    expect((await store.verify()).violations).toEqual([])
    expect(ids(await store.enqueue([aJob()]))[0]).toBeGreaterThan(here.jobs!.at(-1)!.id as number)
  })

  test('does not open a database that lacks a job', async () => {
    const { path, schema, client } = await aClosedFile()
    await client.query('SET session_replication_role TO replica; DELETE FROM jobs WHERE id = 3')

    await expect((await copy(path, undefined, schema)).run()).rejects.toThrow('No process can start on the database')
    await expect(openPostgres({ path: schema })).rejects.toThrow('only a part of the jobs')
  })

  test('goes on whatever the address says, if it leads to the same database', async () => {
    const { path, schema } = await aClosedFile()
    const { connectionString, run } = await copy(path, undefined, schema)
    const other = connectionString.replace(/^postgres:/, 'postgresql:')
    expect(other).not.toBe(connectionString)

    const options = { path, stopServer: false, now: () => 0, newDatabaseId: 'new', onStep: () => {} }
    const report = await copyFile({ ...options, postgres: { connectionString: other, schema } })

    expect(report.jobs).toBe(storedIn(path).jobs!.length)
    expect((await run()).jobs).toBe(report.jobs)
  })

  test('makes nothing in a database to which the jobs did not move, and says where they are', async () => {
    const { path, schema } = await aClosedFile()
    const wrong = aSchema()

    await expect((await copy(path, undefined, wrong)).run()).rejects.toThrow(
      new RegExp(
        `the schema ${wrong} of this database is not the one to .* moved: that is in postgres.*, schema ${schema}$`,
      ),
    )
    const client = await aConnection({ schema: wrong })
    expect((await client.query('SELECT 1 FROM pg_namespace WHERE nspname = $1', [wrong])).rows).toEqual([])
  })
})

describe.skipIf(postgresMissing)('a schema that gets the jobs of a file', () => {
  test('is not opened on another connection than that on which it was compared', async () => {
    const { target, client } = await aTarget(aSchema())
    await target.count()
    const other = await aConnection({ schema: 'public' })
    const ended = new Promise((resolve) => client.once('end', resolve))
    await other.query('SELECT pg_terminate_backend($1)', [(client as unknown as { processID: number }).processID])
    await ended

    expect(await target.open()).toBe(false)
    expect(target.state).not.toBeNull()

    await target.count()
    expect(await target.open()).toBe(true)
    expect(target.state).toBeNull()
    expect(await target.open()).toBe(true)
  })

  test('may be compared for an hour, while other statements have a minute', async () => {
    const { target, origin, client } = await aTarget(aSchema())
    const asked = vi.spyOn(client, 'query')
    const timeout = `SELECT current_setting('statement_timeout') AS timeout`

    expect(await target.all(timeout)).toEqual([{ timeout: '1h' }])
    await target.settle(origin, [])

    const long = { query_timeout: 3_605_000 }
    expect(asked).toHaveBeenCalledWith(expect.objectContaining({ text: timeout, ...long }))
    expect(asked).toHaveBeenCalledWith(
      expect.objectContaining({ text: expect.stringContaining('DELETE FROM key_replays'), ...long }),
    )
    expect((await client.query(timeout)).rows).toEqual([{ timeout: '1min' }])
  })

  test('may have been used by a process that was killed, which stores nothing there any more', async () => {
    const { store, path: schema } = await openPostgres({ clock: new ManualClock(Date.now() - 3_600_000) })
    const client = await aConnection({ schema })
    const left = 'SELECT 1 FROM nodes WHERE ended_at IS NULL UNION ALL SELECT 1 FROM writers WHERE last_call >= 0'
    expect((await client.query(left)).rows.length).toBeGreaterThan(1)
    const file = await aServedFile()
    await file.store.enqueue([aJob()])
    await file.stop()

    await endAt('copying', file.path, schema)

    expect((await client.query(left)).rows).toEqual([])
    await expect(store.enqueue([aJob()])).rejects.toThrow()
    expect((await client.query('SELECT id FROM jobs')).rows).toEqual([])
    expect((await (await copy(file.path, undefined, schema)).run()).jobs).toBe(1)
    await store.close()
  })
})
