import type pg from 'pg'
import { describe, expect, test } from 'vitest'
import { pinPlansSql } from '../../../src/persistence/postgres/connection.ts'
import { stepSql } from '../../../src/persistence/postgres/functions.ts'
import { type Step, stepValues } from '../../../src/persistence/postgres/write/step.ts'
import type { LeasedJob } from '../../../src/persistence/store.ts'
import { aConnection, type OpenedPostgres, openPostgres } from '../../support/postgres.ts'
import { postgresMissing } from '../../support/postgres-server.ts'
import { aJob } from '../../support/store.ts'
import { leaseOf } from '../conformance/helpers.ts'

/** Jobs that a step ends, and that it claims. */
const moved = 500

/** How often a transaction has read a table and its indexes. */
interface Reads {
  readonly rows: number
  readonly scansOfTheTable: number
}

const enqueue = ({ store }: OpenedPostgres, count: number) => store.enqueue(Array.from({ length: count }, () => aJob()))

async function lease({ store }: OpenedPostgres, count: number): Promise<readonly LeasedJob[]> {
  return store.lease({ limit: count, wait: false, start: true })
}

/** Runs one step in its own session, which makes its plans now, and rolls it back. */
async function readsOf(node: OpenedPostgres, ended: readonly LeasedJob[]): Promise<Reads> {
  const client = await connected(node)
  const { rows: writers } = await client.query(
    'INSERT INTO writers (node_id) SELECT id FROM nodes ORDER BY id DESC LIMIT 1 RETURNING id, node_id',
  )
  const step: Step = {
    newJobs: [],
    replayed: [],
    replaced: [],
    changes: [{ event: 'succeed', jobs: ended.map(leaseOf) }],
    room: [{ limit: moved, start: true }],
    claim: { handled: ['work'], served: '', bounds: {}, besideSuspects: false },
    blocks: 0,
    reports: null,
    timeline: null,
  }
  const own = { given: node.clock.now(), node: writers[0].node_id, writer: writers[0].id, call: 1 }
  await client.query('BEGIN')
  const before = await readNow(client)
  const { rows } = await client.query(stepSql, stepValues(step, own))
  const after = await readNow(client)
  await client.query('ROLLBACK')
  expect(rows).toHaveLength(1 + moved)
  return { rows: after.rows - before.rows, scansOfTheTable: after.scansOfTheTable - before.scansOfTheTable }
}

async function readNow(client: pg.Client): Promise<Reads> {
  const { rows } = await client.query(`
    SELECT sum(pg_stat_get_xact_tuples_returned(indexrelid)) AS rows, pg_stat_get_xact_numscans('jobs'::regclass) AS scans
    FROM pg_index WHERE indrelid = 'jobs'::regclass`)
  return { rows: Number(rows[0].rows), scansOfTheTable: Number(rows[0].scans) }
}

async function connected({ path }: OpenedPostgres): Promise<pg.Client> {
  const client = await aConnection({ schema: path })
  await client.query(pinPlansSql)
  return client
}

/** Runs ANALYZE, as autovacuum may do at any time. */
async function analyze(node: OpenedPostgres): Promise<void> {
  await (await connected(node)).query('ANALYZE')
}

describe.skipIf(postgresMissing)('the plans of a step', () => {
  test.each(['never', 'no job is there', 'all are queued', 'all are held', 'all have ended'])(
    'read each job a few times, if ANALYZE ran when %s',
    async (moment) => {
      const node = await openPostgres()
      const at = (now: string) => (now === moment ? analyze(node) : undefined)
      await at('no job is there')
      await enqueue(node, 4 * moved)
      await at('all are queued')
      const first = [...(await lease(node, 2 * moved)), ...(await lease(node, 2 * moved))]
      await at('all are held')
      await node.store.apply(first.map((job) => ({ ...leaseOf(job), event: 'succeed' })))
      await at('all have ended')
      await enqueue(node, 4 * moved)
      const held = await lease(node, 2 * moved)

      // Entries of dead rows count too, as long as a transaction that is open may see them: one of the store's own looks.
      await node.store.close()
      await (await connected(node)).query('VACUUM jobs')

      const { rows, scansOfTheTable } = await readsOf(node, held.slice(0, moved))

      expect(scansOfTheTable).toBe(0)
      // The outcome, the claim and what is handed out look each up once or twice; the claim finds what is locked or has left the line.
      expect(rows).toBeLessThan(8 * moved)
    },
  )
})

describe.skipIf(postgresMissing)('the plans of a new job with a unique key', () => {
  test.each(['never', 'no key is held', 'all are held'])('read few of them, if ANALYZE ran when %s', async (moment) => {
    const node = await openPostgres({ maxQueueDepth: 100_000 })
    const aUnique = (key: string) => aJob({ unique: { key, until: 'ended', onConflict: 'return' } })
    if (moment === 'no key is held') await analyze(node)
    const client = await connected(node)
    // Its session makes its plans while the table is empty.
    await client.query('BEGIN')
    await node.store.enqueueIn(client, [aUnique('first')])
    await client.query('ROLLBACK')
    for (let page = 0; page < 5; page++)
      await node.store.enqueue(Array.from({ length: 1_000 }, (_, n) => aUnique(`${page} ${n}`)))
    if (moment === 'all are held') await analyze(node)
    await client.query('BEGIN')

    await node.store.enqueueIn(client, [aUnique('another')])

    const { rows } = await client.query(`
      SELECT sum(pg_stat_get_xact_tuples_returned(indexrelid)) AS read FROM pg_index WHERE indrelid = 'unique_jobs'::regclass`)
    await client.query('ROLLBACK')
    expect(Number(rows[0].read)).toBeLessThan(20)
  })
})
