import type pg from 'pg'
import { describe, expect, test } from 'vitest'
import { pinPlansSql } from '../../../src/persistence/postgres/connection.ts'
import { serverFunctions, stepNames } from '../../../src/persistence/postgres/functions.ts'
import type { LeasedJob } from '../../../src/persistence/store.ts'
import { aConnection, type OpenedPostgres, openPostgres } from '../../support/postgres.ts'
import { postgresMissing } from '../../support/postgres-server.ts'
import { shareOfEachGroup } from '../../support/share.ts'
import { aJob } from '../../support/store.ts'
import { ids, leaseOf } from '../conformance/helpers.ts'

const start = { wait: false, start: true } as const
/** More than a claim skips before it remembers a lower bound. */
const many = 3_000

/** A connection of the test's own, in the schema of a store. */
async function connected(path: string): Promise<pg.Client> {
  const client = await aConnection({ schema: path })
  await client.query(pinPlansSql)
  return client
}

/** A transaction that can still see all that is there now. */
async function oldSnapshot(path: string): Promise<void> {
  const client = await connected(path)
  await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ')
  await client.query('SELECT FROM jobs LIMIT 1')
}

/** Enqueues some, with an instant of their own for each thousand. */
async function enqueueMany({ store, clock }: OpenedPostgres, count: number, given = {}): Promise<number[]> {
  const stored: number[] = []
  for (let left = count; left > 0; left -= 1_000) {
    stored.push(...ids(await store.enqueue(Array.from({ length: Math.min(left, 1_000) }, () => aJob(given)))))
    clock.advance(1_000)
  }
  return stored
}

/** Runs some to the end, in order. */
async function finish({ store }: OpenedPostgres, count: number): Promise<void> {
  for (let left = count; left > 0; left -= 1_000) {
    const jobs = await store.lease({ limit: Math.min(left, 1_000), ...start })
    await store.apply(jobs.map((job) => ({ ...leaseOf(job), event: 'succeed' as const })))
  }
}

/** What a claim picks, and how many rows and pages of the index it reads; it is rolled back. */
async function pick(client: pg.Client, types: readonly string[], bounds: object = {}) {
  const { name } = serverFunctions.find((each) => each.name.startsWith('pick_'))!
  await client.query('BEGIN')
  const read = async (what: string) =>
    Number((await client.query(`SELECT pg_stat_get_xact_${what}('jobs_ready'::regclass) AS n`)).rows[0].n)
  const before = { rows: await read('tuples_returned'), pages: await read('blocks_fetched') }
  const { rows } = await client.query(`SELECT _picked AS picked, _bounds AS bounds FROM ${name}(10, $1, '', $2)`, [
    types,
    JSON.stringify(bounds),
  ])
  const rowsRead = (await read('tuples_returned')) - before.rows
  const pagesRead = (await read('blocks_fetched')) - before.pages
  await client.query('ROLLBACK')
  return { picked: (rows[0].picked as string[]).map(Number), bounds: rows[0].bounds as object, rowsRead, pagesRead }
}

/** As if it had been found only now. */
function lasting(bounds: object): object {
  return Object.fromEntries(
    Object.entries(bounds).map(([queue, bound]) => [queue, { ...bound, until: Date.now() + 50_000 }]),
  )
}

/** From now on the lower bound of the node's claims does not expire: its lifetime is measured by the real clock. */
function keepBounds({ line }: OpenedPostgres): void {
  const { prototype } = line.driver.Client
  const query = prototype.query as (...given: unknown[]) => unknown
  const at = stepNames.indexOf('bounds')
  prototype.query = function (this: unknown, ...given: [{ name?: string; values: unknown[] }]) {
    const [{ name, values }] = given
    if (name === 'step' && values[at] !== null) values[at] = JSON.stringify(lasting(JSON.parse(values[at] as string)))
    return query.apply(this, given)
  } as never
}

/** A node that starts its claims at a lower bound: ended jobs lie before it, and an old snapshot still sees them. */
async function bounded(given: Parameters<typeof openPostgres>[0] = {}) {
  const node = await openPostgres(given)
  await oldSnapshot(node.path)
  await enqueueMany(node, many)
  const waiting = await enqueueMany(node, 20)
  await finish(node, many)
  // Meets the ended jobs, and remembers the lower bound.
  await finish(node, 1)
  return { node, waiting: waiting.slice(1) }
}

shareOfEachGroup(3)

describe.skipIf(postgresMissing)('a claim', () => {
  test('begins where the last one ended, if an old snapshot keeps the rows of many that ended', async () => {
    const node = await openPostgres()
    await oldSnapshot(node.path)
    await enqueueMany(node, many)
    const waiting = await enqueueMany(node, 40)
    await finish(node, many)
    const client = await connected(node.path)

    const first = await pick(client, ['work'])
    const next = await pick(client, ['work'], lasting(first.bounds))

    expect(first.rowsRead).toBeGreaterThan(many)
    expect(next.rowsRead).toBeLessThan(200)
    expect([first.picked, next.picked]).toEqual([waiting.slice(0, 10), waiting.slice(0, 10)])
  })

  test('begins where the last one ended, if no VACUUM has removed the rows of many that ended', async () => {
    const node = await openPostgres()
    const client = await connected(node.path)
    await client.query('ALTER TABLE jobs SET (autovacuum_enabled = false)')
    await enqueueMany(node, 4 * many)
    const waiting = await enqueueMany(node, 40)
    await finish(node, 4 * many)

    const first = await pick(client, ['work'])
    const next = await pick(client, ['work'], lasting(first.bounds))

    expect(first.pagesRead).toBeGreaterThan(40)
    expect(next.pagesRead).toBeLessThan(30)
    expect([first.picked, next.picked]).toEqual([waiting.slice(0, 10), waiting.slice(0, 10)])
  })

  test('begins behind many jobs that only another node runs', async () => {
    const node = await openPostgres({ types: ['work'] })
    await openPostgres({ path: node.path, clock: node.clock, types: ['other'] })
    await enqueueMany(node, many, { type: 'other' })
    const own = await enqueueMany(node, 5)
    const client = await connected(node.path)

    const first = await pick(client, ['work'])
    const next = await pick(client, ['work'], lasting(first.bounds))
    const others = await pick(client, ['nothing'])
    const none = await pick(client, ['nothing'], lasting(others.bounds))

    expect(first.rowsRead).toBeGreaterThan(many)
    expect(next.rowsRead).toBeLessThan(200)
    expect([first.picked, next.picked]).toEqual([own, own])
    expect(none.rowsRead).toBeLessThan(200)
    expect(await node.store.lease({ limit: 9, ...start })).toHaveLength(5)
    expect(node.notices).toEqual([])
  })

  test('takes turns of queues, of which some have bounds, and misses none', async () => {
    const node = await openPostgres()
    await oldSnapshot(node.path)
    await enqueueMany(node, many, { queue: 'b' })
    await finish(node, many)
    const stored: number[] = []
    for (const queue of ['a', 'b', 'c']) stored.push(...(await enqueueMany(node, 6, { queue })))
    const client = await connected(node.path)

    const { bounds } = await pick(client, ['work'])
    const taken: LeasedJob[] = []
    for (let round = 0; round < 18; round++) taken.push(...(await node.store.lease({ limit: 1, ...start })))

    expect(Object.keys(bounds)).toEqual(['b'])
    expect(taken.map(({ queue }) => queue).join('')).toMatch(/^(abc|bca|cab){6}$/)
    expect(taken.map(({ id }) => id).sort((a, b) => a - b)).toEqual(stored)
  })

  test('takes a job of higher priority that this node stores next, although it comes before the bounds', async () => {
    const { node, waiting } = await bounded()
    keepBounds(node)

    const [urgent] = ids(await node.store.enqueue([aJob({ priority: 1 })]))

    expect((await node.store.lease({ limit: 2, ...start })).map(({ id }) => id)).toEqual([urgent, waiting[0]])
  })

  test('takes a job that is given back, requeued, or due by now, although it comes before the bounds', async () => {
    const { node, waiting } = await bounded()
    keepBounds(node)
    const { store, clock } = node
    const [delayed] = ids(await store.enqueue([aJob({ runAt: clock.now() + 10 })]))
    await enqueueMany(node, 20)
    const [back, failed, ...others] = await store.lease({ limit: 25, ...start })
    const cancelled = others[0]!.id
    await store.send('cancel', cancelled)

    await store.apply([{ ...leaseOf(back!), event: 'release' }])
    const first = await store.lease({ limit: 1, ...start })
    await store.apply([{ ...leaseOf(failed!), event: 'fail', delayMs: 0, error: { name: 'Error', message: 'no' } }])
    await store.send('requeue', cancelled)
    await store.sweep()
    const next = await store.lease({ limit: 40, ...start })

    expect(first.map(({ id }) => id)).toEqual([waiting[0]])
    expect(next.map(({ id }) => id)).toEqual(expect.arrayContaining([delayed, failed!.id, cancelled]))
  })

  test('takes a job that another node has put before the bounds, when their time is over', async () => {
    const { node } = await bounded()
    await enqueueMany(node, 1_000)
    const other = await openPostgres({ path: node.path, clock: node.clock })
    const [urgent] = ids(await other.store.enqueue([aJob({ priority: 1 })]))

    const claim = async () => (await node.store.lease({ limit: 1, ...start }))[0]?.id

    await expect.poll(claim, { timeout: 20_000 }).toBe(urgent)
  })
})
