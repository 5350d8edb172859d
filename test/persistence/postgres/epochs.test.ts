import { setTimeout } from 'node:timers/promises'
import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { OutcomeUnknownError, UnavailableError } from '../../../src/errors.ts'
import type { Store } from '../../../src/persistence/store.ts'
import { aDatabase, openPostgres } from '../../support/postgres.ts'
import { aStandby, ownServer, postgresMissing, standbyMissing } from '../../support/postgres-server.ts'
import { aJob } from '../../support/store.ts'
import { whenDone } from '../../support/temp.ts'
import { ids } from '../conformance/helpers.ts'

async function connected(address: string): Promise<pg.Client> {
  const client = new pg.Client(address)
  await client.connect()
  client.on('error', () => {})
  whenDone(() => client.end().catch(() => {}))
  return client
}

/** Stores so many jobs, at most 100 at a time. What is refused meanwhile is tried again. */
async function store(at: Store, count: number): Promise<number[]> {
  const stored: number[] = []
  while (stored.length < count)
    try {
      stored.push(...ids(await at.enqueue(Array.from({ length: Math.min(100, count - stored.length) }, () => aJob()))))
    } catch (error) {
      if (!(error instanceof UnavailableError || error instanceof OutcomeUnknownError)) throw error
      await setTimeout(50)
    }
  return stored
}

async function newestEvent(at: Store): Promise<number> {
  const { transitions } = await at.transitions({ after: 0, limit: 10_000 })
  return transitions.at(-1)!.id
}

/** Three nodes of a server, and its standby, which lacks what the third has stored, and all that it and a stranger have reserved. */
async function aFailover() {
  const primary = ownServer(['wal_level=replica', 'max_wal_senders=4'])
  const standby = aStandby(primary)
  const hosts = [primary, standby].map(({ folder }) => encodeURIComponent(folder)).join(',')
  const connectionString = `postgres://postgres@/postgres?host=${hosts}`
  const first = await openPostgres({ connectionString })
  const { path } = first
  const second = await openPostgres({ connectionString, path })
  await store(first.store, 10)
  await store(second.store, 10)
  const sql = await connected(primary.address)
  const copy = await connected(standby.address)
  const at = (await sql.query('SELECT pg_current_wal_lsn() AS at')).rows[0].at
  const isThere = async () =>
    (await copy.query('SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn AS done', [at])).rows[0].done
  await expect.poll(isThere).toBe(true)
  await copy.end()
  standby.leave()
  await setTimeout(300)
  // A sequence is logged for its next 32 values at once.
  for (const each of ['job_ids', 'nodes_id_seq', 'writers_id_seq'])
    await sql.query(`SELECT nextval('${path}.${each}') FROM generate_series(1, 40)`)
  const third = await openPostgres({ connectionString, path })
  const lost = await store(third.store, 20)
  const seen = await newestEvent(third.store)
  await sql.end()
  const failOver = () => {
    primary.stop()
    standby.promote()
  }
  return {
    nodes: [first, second, third] as const,
    lost,
    seen,
    connectionString,
    address: standby.address,
    path,
    failOver,
  }
}

describe.skipIf(standbyMissing)('after a failover to a standby that lacks the last commits', () => {
  test('nodes store every job, and give no id of a job or a transition twice', async () => {
    const { nodes, lost, seen, connectionString, address, path, failOver } = await aFailover()
    const before = nodes[0].store.databaseIdOf(lost[0]!)

    failOver()
    const own = await connected(address)
    await own.query('BEGIN')
    const uncommitted = ids(await nodes[2].store.enqueueIn(own, [aJob()]))
    await own.query('COMMIT')
    const given = (await Promise.all(nodes.map((node) => store(node.store, 6_000)))).flat()
    const fourth = await openPostgres({ connectionString, path })
    given.push(...uncommitted, ...(await store(fourth.store, 6_000)))

    expect(new Set([...given, ...lost]).size).toBe(given.length + lost.length)
    for (const { store: at } of nodes) {
      expect(at.databaseIdOf(given.at(-1)!)).not.toBe(before)
      expect(at.databaseIdOf(lost[0]!)).toBe(before)
    }
    const { transitions } = await nodes[1].store.transitions({ after: seen, limit: 10_000 })
    expect(transitions.length).toBeGreaterThan(1_000)
    const rows = await nodes[2].store.nodes()
    expect(new Set(rows.map(({ id }) => id)).size).toBe(rows.length)
    expect((await nodes[0].store.verify()).violations).toEqual([])
  })
})

describe.skipIf(postgresMissing)('after a server went back that does not say so', () => {
  test('a job whose id another has is stored under a higher one, and none is refused', async () => {
    const first = await openPostgres()
    const before = await store(first.store, 10)
    const sql = await connected(await aDatabase())
    await sql.query(`SELECT setval('${first.path}.job_ids', 1, false)`)

    const second = await openPostgres({ path: first.path })
    const after = await store(second.store, 10)

    expect(Math.min(...after)).toBeGreaterThan(Math.max(...before))
    for (const each of [first, second]) expect(each.store.databaseIdOf(after[0]!)).toBe(first.store.databaseIdOf(1))
    expect(await second.store.verify()).toMatchObject({ jobs: 20, violationCount: 0 })
  })
})
