import { describe, expect, test } from 'vitest'
import type { CopyState } from '../../../src/persistence/postgres/database.ts'
import { aConnection, openPostgres } from '../../support/postgres.ts'
import { postgresMissing } from '../../support/postgres-server.ts'

const copy: CopyState = { from: '/srv/jobs.db on app-1', node: 1, lastJob: 10, lastTransition: 30 }

describe.skipIf(postgresMissing)('a schema that has only a part of the jobs of a file', () => {
  test('is refused by every process, with what to do', async () => {
    const { store, path } = await openPostgres()
    await store.close()
    const client = await aConnection({ schema: path })
    await client.query(`INSERT INTO meta (name, value) VALUES ('copy', $1)`, [JSON.stringify(copy)])

    await expect(openPostgres({ path })).rejects.toThrow(
      /only a part of the jobs of \/srv\/jobs.db on app-1: run jobmachine migrate --to again/,
    )
    await client.query(`DELETE FROM meta WHERE name = 'copy'`)
    await expect(openPostgres({ path })).resolves.toBeDefined()
  })

  test('lets no process become a node, even one that looked at it before the copy began', async () => {
    const { store, path } = await openPostgres()
    await store.close()
    const client = await aConnection({ schema: path })
    await client.query(`INSERT INTO meta (name, value) VALUES ('copy', $1)`, [JSON.stringify(copy)])

    const node = `INSERT INTO nodes (pid, host, started_at, serves, types, lease_ms, seen_at) VALUES (1, 'a', 'b', true, '{}', 1, 1)`
    await expect(client.query(node)).rejects.toThrow('the jobs of a file are being copied into this schema')
  })
})

describe.skipIf(postgresMissing)('a database that came from a file', () => {
  test('keeps its epochs, from which idempotency tokens are made', async () => {
    const { store, path } = await openPostgres()
    const first = store.databaseIdOf(1)
    await store.close()
    const client = await aConnection({ schema: path })
    await client.query(`INSERT INTO meta (name, value) VALUES ('epochs', $1)`, [
      JSON.stringify([{ id: 'later', firstJob: 1_000_001, firstTransition: 1_000_001 }]),
    ])

    const { store: reopened } = await openPostgres({ path })

    expect([1_000_000, 1_000_001].map((id) => reopened.databaseIdOf(id))).toEqual([first, 'later'])
  })
})
