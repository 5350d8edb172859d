import { setTimeout } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { aConnection, openPostgres } from '../../support/postgres.ts'
import { postgresMissing } from '../../support/postgres-server.ts'
import { aJob } from '../../support/store.ts'
import { ids } from '../conformance/helpers.ts'

/** Two stores, of which the second's next transaction begins, and so has its id, but waits for `release` before it looks at any job. */
async function twoStores() {
  const first = await openPostgres()
  const second = await openPostgres({ path: first.path, clock: first.clock })
  for (const { store } of [first, second]) await store.recoverOrphans()
  // So that both have written once, and their writers have rows.
  for (const { store } of [first, second]) await store.command('cancel', ids(await store.enqueue([aJob()])))
  const client = await aConnection()
  await client.query('BEGIN')
  const newest = `(SELECT max(node_id) FROM ${first.path}.writers)`
  await client.query(`SELECT 1 FROM ${first.path}.writers WHERE node_id = ${newest} FOR UPDATE`)
  const isBegun = async () =>
    (await client.query("SELECT 1 FROM pg_locks WHERE NOT granted AND locktype IN ('transactionid', 'tuple')"))
      .rowCount! > 0
  return {
    first: first.store,
    second: second.store,
    async begun() {
      while (!(await isBegun())) await setTimeout(2)
    },
    release: () => client.query('ROLLBACK'),
  }
}

const start = { wait: false, start: true } as const

describe.skipIf(postgresMissing)('a transaction that began before another, and meets its jobs', () => {
  test('moves a job only after the other, in the order of the transitions too', async () => {
    const { first, second, begun, release } = await twoStores()
    const { last } = await first.transitions({ after: 0, limit: 100 })
    const [id] = ids(await first.enqueue([aJob()]))
    const cancelled = second.command('cancel', [id!])
    await begun()
    await first.lease({ limit: 1, ...start })
    await release()

    expect(await cancelled).toEqual([id])
    const { transitions } = await first.transitions({ after: last, limit: 100 })
    expect(transitions.map(({ event }) => event)).toEqual(['enqueue', 'lease', 'start', 'cancel'])
  })

  test('leaves what the other has stored for the next claim', async () => {
    const { first, second, begun, release } = await twoStores()
    const { last } = await first.transitions({ after: 0, limit: 100 })
    const claimed = second.lease({ limit: 9, ...start })
    await begun()
    const [id] = ids(await first.enqueue([aJob()]))
    await release()

    expect(await claimed).toEqual([])
    expect(await second.lease({ limit: 9, ...start })).toMatchObject([{ id }])
    const { transitions } = await first.transitions({ after: last, limit: 100 })
    expect(transitions.map(({ event }) => event)).toEqual(['enqueue', 'lease', 'start'])
  })
})
