import { setTimeout } from 'node:timers/promises'
import pg from 'pg'
import { describe, expect, test, vi } from 'vitest'
import { OwnNode } from '../../../src/persistence/postgres/nodes.ts'
import { aDatabase, openPostgres, passLease } from '../../support/postgres.ts'
import { postgresMissing } from '../../support/postgres-server.ts'
import { shareOfEachGroup } from '../../support/share.ts'
import { aJob, leaseMs } from '../../support/store.ts'
import { ids, leaseOf } from '../conformance/helpers.ts'

const start = { wait: false, start: true } as const

/** Two nodes on one database, with one clock. */
async function twoNodes(types: { one?: string[]; two?: string[] } = {}) {
  const one = await openPostgres({ types: types.one ?? ['work'] })
  const two = await openPostgres({ path: one.path, clock: one.clock, types: types.two ?? ['work'] })
  for (const { store } of [one, two]) await store.recoverOrphans()
  return { one, two, clock: one.clock }
}

/** The rows of a statement in a schema. */
async function query(schema: string, sql: string): Promise<Record<string, string>[]> {
  const client = new pg.Client(await aDatabase())
  await client.connect()
  try {
    await client.query(`SET search_path TO ${schema}`)
    return (await client.query(sql)).rows
  } finally {
    await client.end()
  }
}

shareOfEachGroup(3)

describe.skipIf(postgresMissing)('nodes that share a database', () => {
  test('share its jobs: each is given to one of them', async () => {
    const { one, two } = await twoNodes()
    const stored = ids(await one.store.enqueue(Array.from({ length: 60 }, () => aJob())))

    const given = await Promise.all([one, two, one, two].map(({ store }) => store.lease({ limit: 15, ...start })))

    expect(
      given
        .flat()
        .map(({ id }) => id)
        .sort((a, b) => a - b),
    ).toEqual(stored)
  })

  test('leave the leases of one that lives alone, and take those of one that fell silent', async () => {
    const { one, two, clock } = await twoNodes()
    const [id] = ids(await one.store.enqueue([aJob()]))
    await one.store.lease({ limit: 1, ...start })
    await passLease(clock, one.store, two.store)
    const before = await two.store.find(id!)

    one.line.cut()
    await passLease(clock, two.store)

    expect(before).toMatchObject({ state: 'running' })
    expect(await two.store.find(id!)).toMatchObject({ state: 'queued', crashes: 1 })
    expect((await two.store.lease({ limit: 1, ...start })).map((job) => job.id)).toEqual([id])
  })

  test.each([
    ['alone', 1],
    ['with others', 20],
  ])('are named in the history of a job by whoever claimed it %s', async (_, count) => {
    const { one, two } = await twoNodes()
    const [id] = ids(await one.store.enqueue(Array.from({ length: count }, () => aJob())))
    const given = await one.store.lease({ limit: count, ...start })
    await one.store.apply(given.map((job) => ({ ...leaseOf(job), event: 'release' as const })))

    await two.store.lease({ limit: count, ...start })

    const history = await one.store.history(id!, { after: 0, limit: 9 })
    const own = await Promise.all([one, two].map(async ({ store }) => (await store.nodes()).find(({ isOwn }) => isOwn)))
    expect(history!.map(({ event, node }) => [event, node?.id])).toEqual([
      ['enqueue', undefined],
      ['lease', own[0]!.id],
      ['start', undefined],
      ['release', undefined],
      ['lease', own[1]!.id],
      ['start', undefined],
    ])
    expect(history![1]).toMatchObject({ cause: 'dispatcher', node: { host: own[0]!.host, pid: own[0]!.pid } })
  })

  test('take nothing from each other because the server was away for longer than a lease', async () => {
    const { one, two, clock } = await twoNodes()
    const [id] = ids(await one.store.enqueue([aJob()]))
    const [job] = await one.store.lease({ limit: 1, ...start })
    await passLease(clock, one.store, two.store)
    for (const { line } of [one, two]) line.cut()
    clock.advance(2 * leaseMs)
    for (const { line } of [one, two]) line.mend()

    await two.store.recoverOrphans()
    await two.store.sweep()
    clock.advance(leaseMs / 3)
    await two.store.sweep()

    expect(await two.store.find(id!)).toMatchObject({ state: 'running', crashes: 0 })
    await one.store.sweep()
    await passLease(clock, one.store, two.store)
    expect(await one.store.apply([{ ...leaseOf(job!), event: 'succeed' }])).toEqual([])
  })

  /** Two nodes, of which the first runs a job; and whether it still does. */
  async function oneRuns(given: { one?: number; two?: number } = {}) {
    const one = await openPostgres({ leaseMs: given.one ?? leaseMs })
    const two = await openPostgres({ path: one.path, clock: one.clock, leaseMs: given.two ?? leaseMs })
    for (const { store } of [one, two]) await store.recoverOrphans()
    const [id] = ids(await one.store.enqueue([aJob()]))
    await one.store.lease({ limit: 1, ...start })
    return { one, two, clock: one.clock, state: async () => (await two.store.find(id!))?.state }
  }

  test('take nothing from each other when another starts after the server was away for all', async () => {
    const { one, two, clock, state } = await oneRuns()
    for (const { line } of [one, two]) line.cut()
    clock.advance(100 * leaseMs)

    const late = await openPostgres({ path: one.path, clock })
    const found = await late.store.recoverOrphans()
    for (const { line } of [one, two]) line.mend()
    for (const { store } of [two, one]) await store.sweep()

    expect(found).toMatchObject({ running: 0 })
    expect(one.notices).not.toContainEqual(expect.objectContaining({ type: 'declaredDead' }))
    await passLease(clock, one.store, two.store, late.store)
    expect(await state()).toBe('running')
    one.line.cut()
    await passLease(clock, late.store)
    expect(await state()).toBe('queued')
  })

  test('take nothing from each other when one comes back after the server was away for all', async () => {
    const { one, two, clock, state } = await oneRuns()
    await query(one.path, `UPDATE nodes SET ended_at = ${clock.now()} WHERE id = 2`)
    clock.advance(100 * leaseMs)

    await two.store.sweep()
    await two.store.sweep()

    expect(two.notices).toContainEqual({ type: 'declaredDead', leases: 0 })
    expect(await state()).toBe('running')
  })

  test('are recovered at once by one that starts, if another has lived while they were silent', async () => {
    const one = await openPostgres()
    const { clock } = one
    // It has not begun to recover others.
    const witness = await openPostgres({ path: one.path, clock })
    await one.store.enqueue([aJob()])
    await one.store.lease({ limit: 1, ...start })
    one.line.cut()
    await passLease(clock, witness.store)

    const late = await openPostgres({ path: one.path, clock })

    expect(await late.store.recoverOrphans()).toMatchObject({ running: 1 })
  })

  test.each([
    ['back by an hour', -3_600_000],
    ['back by less than a lease', -leaseMs / 2],
    ['ahead by an hour', 3_600_000],
    ['ahead by less than a lease', leaseMs / 2],
  ])("judge as before when the server's clock is set %s", async (_, ms) => {
    const { one, two, clock, state } = await oneRuns()
    await passLease(clock, one.store, two.store)
    clock.advance(ms)
    await two.store.sweep()
    await two.store.recoverOrphans()
    const atOnce = await state()
    await one.store.sweep()
    await passLease(clock, one.store, two.store)
    const alive = await state()

    one.line.cut()
    clock.advance(ms)
    await two.store.sweep()
    await passLease(clock, two.store)

    expect([atOnce, alive, await state()]).toEqual(['running', 'running', 'queued'])
  })

  test('declare one dead although every heartbeat of the others comes late', async () => {
    const { one, two, clock, state } = await oneRuns({ one: 1_000, two: 300 })
    one.line.cut()

    for (let beats = 0; beats < 40; beats++) {
      clock.advance(200)
      await two.store.sweep()
    }

    expect(await state()).toBe('queued')
  })

  test('fence a writer that one opens while it is declared dead', async () => {
    const one = await openPostgres()
    const { clock } = one
    const witness = await openPostgres({ path: one.path, clock })
    await passLease(clock, witness.store)
    const late = await openPostgres({ path: one.path, clock })
    const client = new pg.Client(await aDatabase())
    await client.connect()
    await client.query(`SET search_path TO ${one.path}; BEGIN`)
    await client.query(
      'INSERT INTO writers (node_id) SELECT id FROM nodes WHERE id = 1 AND ended_at IS NULL FOR SHARE RETURNING id',
    )

    // Not by a sweep, which fences the writers of all that are gone.
    const recovered = late.store.recoverOrphans()
    const waits = `SELECT count(*) AS n FROM pg_stat_activity
      WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%UPDATE nodes SET ended_at%'`
    await expect.poll(async () => (await query(one.path, waits))[0]!.n).toBe('1')
    await client.query('COMMIT')
    await client.end()
    await recovered

    expect(await query(one.path, 'SELECT last_call FROM writers WHERE node_id = 1 AND last_call >= 0')).toEqual([])
  })

  test('refuse the outcome of one that was declared dead, which comes back under another name', async () => {
    const { one, two, clock } = await twoNodes()
    const [id] = ids(await one.store.enqueue([aJob()]))
    const [job] = await one.store.lease({ limit: 1, ...start })
    await passLease(clock, two.store)
    const [again] = await two.store.lease({ limit: 1, ...start })

    const late = { ...leaseOf(job!), event: 'succeed' as const }
    const refused = await one.store.apply([late])

    expect(refused).toEqual([late])
    expect(one.notices).toContainEqual({ type: 'lost', leases: [{ ...leaseOf(job!), cancelled: false }] })
    expect(await two.store.apply([{ ...leaseOf(again!), event: 'succeed' }])).toEqual([])
    expect(await one.store.find(id!)).toMatchObject({ state: 'succeeded' })
    expect(two.notices).toContainEqual({
      type: 'nodeGone',
      node: { id: 1, pid: process.pid, host: 'test' },
      wasSilent: true,
      leases: 1,
    })
    await two.store.close()
    const named = (await one.store.nodes()).map(({ id, endedAt, declaredBy }) => [id, endedAt !== null, declaredBy])
    expect(named).toEqual([
      [3, false, null],
      [2, true, null],
      [1, true, 2],
    ])
    await one.store.enqueue([aJob()])
    expect(await one.store.lease({ limit: 1, ...start })).toHaveLength(1)
    expect((await one.store.verify()).violations).toEqual([])
  })

  test('have one row each, though the event loop was blocked before that is written', async () => {
    const { register } = OwnNode.prototype
    const registered = vi.spyOn(OwnNode.prototype, 'register').mockImplementationOnce(async function (this: OwnNode) {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_100)
      // The loop notices.
      await setTimeout(1)
      return register.call(this)
    })

    const { store, notices } = await openPostgres()

    expect(notices).toEqual([])
    expect(await store.nodes()).toHaveLength(1)
    registered.mockRestore()
  })

  test('forget one that is long gone, and still refuse what it does when it comes back after days', async () => {
    const { one, two, clock } = await twoNodes()
    const [id] = ids(await one.store.enqueue([aJob()]))
    const [job] = await one.store.lease({ limit: 1, ...start })
    one.line.cut()
    await passLease(clock, two.store)
    clock.advance(3 * 86_400_000)
    await two.store.sweep()
    const [again] = await two.store.lease({ limit: 1, ...start })
    const rows = await query(
      one.path,
      'SELECT (SELECT count(*) FROM nodes) AS nodes, (SELECT count(DISTINCT node_id) FROM writers) AS writers',
    )

    one.line.mend()
    const late = { ...leaseOf(job!), event: 'succeed' as const }
    const refused = await one.store.apply([late])

    expect(rows).toEqual([{ nodes: '1', writers: '1' }])
    expect(refused).toEqual([late])
    expect(await two.store.apply([{ ...leaseOf(again!), event: 'succeed' }])).toEqual([])
    expect(ids(await one.store.enqueue([aJob()]))).toHaveLength(1)
    expect(await one.store.lease({ limit: 1, ...start })).toHaveLength(1)
    expect((await one.store.verify()).violations).toEqual([])
    expect(again!.id).toBe(id)
  })

  test('keep the rows of one that is gone for a day, and of at most a thousand', async () => {
    const { one, clock } = await twoNodes()
    const insert = (n: number, endedAt: number) =>
      query(
        one.path,
        `
      INSERT INTO nodes (pid, host, started_at, serves, types, lease_ms, seen_at, ended_at)
      SELECT n, 'gone', '', true, '{}', 1, 1, ${endedAt} FROM generate_series(1, ${n}) AS n`,
      )
    const countGone = async () =>
      Number((await query(one.path, "SELECT count(*) AS n FROM nodes WHERE host = 'gone'"))[0]!.n)
    clock.advance(3_600_000)
    await insert(10, clock.now() - 86_400_000)
    await insert(5, clock.now() - 86_300_000)
    await one.store.sweep()
    const afterDay = await countGone()

    await insert(1_200, clock.now())
    await one.store.sweep()

    expect([afterDay, await countGone()]).toEqual([5, 1_000])
  })

  test('note which of them did a duty last', async () => {
    const { one, two, clock } = await twoNodes()
    await one.store.enqueue([aJob({ delayMs: 10 })])
    clock.advance(10)
    await two.store.sweep()

    const duties = await query(one.path, 'SELECT name, node_id, done_at FROM duties')

    expect(duties).toEqual([{ name: 'promotion', node_id: expect.any(String), done_at: String(clock.now()) }])
  })

  test('leave a job that only another has a handler for to that one', async () => {
    const { one, two } = await twoNodes({ two: ['other'] })
    const [other, work] = ids(await one.store.enqueue([aJob({ type: 'other' }), aJob()]))

    const byOne = await one.store.lease({ limit: 9, ...start })
    const byTwo = await two.store.lease({ limit: 9, ...start })

    expect([byOne, byTwo].map((jobs) => jobs.map(({ id }) => id))).toEqual([[work], [other]])
    expect(one.notices).toEqual([])
  })

  test('hand a job that one stores to another that waits', async () => {
    const { one, two } = await twoNodes()
    const waiting = two.store.lease({ limit: 1, wait: true })

    const [id] = ids(await one.store.enqueue([aJob()]))

    expect((await waiting).map((job) => job.id)).toEqual([id])
  })

  test('tell the holder of a job that another has cancelled it', async () => {
    const { one, two } = await twoNodes()
    const [id] = ids(await one.store.enqueue([aJob()]))
    const [job] = await one.store.lease({ limit: 1, ...start })

    await two.store.send('cancel', id!)

    await expect.poll(() => one.notices).toEqual([{ type: 'lost', leases: [{ ...leaseOf(job!), cancelled: false }] }])
  })

  test('tell the holder of a job that was cancelled while it could hear nothing', async () => {
    // A lease so long that no renewal discovers it in the meantime.
    const one = await openPostgres({ leaseMs: 3 * 3_600_000 })
    const two = await openPostgres({ path: one.path, clock: one.clock })
    const [id] = ids(await one.store.enqueue([aJob()]))
    const [job] = await one.store.lease({ limit: 1, ...start })
    one.line.cut()

    await two.store.send('cancel', id!)
    one.line.mend()

    await expect
      .poll(() => one.notices)
      .toContainEqual({ type: 'lost', leases: [{ ...leaseOf(job!), cancelled: false }] })
  })

  test('make one job of one key, whichever of them is asked', async () => {
    const { one, two } = await twoNodes()
    const keyed = aJob({ idempotency: { key: 'k', content: 'c' } })

    const all = await Promise.all(
      Array.from({ length: 20 }, (_, n) => (n % 2 ? one : two).store.enqueue([keyed, aJob()])),
    )

    expect(new Set(all.map((result) => ids(result)[0])).size).toBe(1)
    expect((await one.store.verify()).jobs).toBe(21)
  })
})

describe.skipIf(postgresMissing)('the law in the database', () => {
  test.each([
    ['a state that no edge leads to', "UPDATE jobs SET state = 'succeeded', seq = seq + 1, finished_at = 1"],
    ['a seq that leaves one out', "UPDATE jobs SET state = 'cancelled', seq = seq + 2, finished_at = 1"],
    ['another id', 'UPDATE jobs SET id = 77'],
    ['a job that has not ended', 'DELETE FROM jobs'],
    ['all jobs', 'TRUNCATE jobs'],
    ['a history that is rewritten', "UPDATE single_events SET event = 'requeue'"],
    ['a history without its job', 'DELETE FROM single_events'],
    ['another payload', "UPDATE job_payloads SET payload = '1'"],
    ['a lease without a node', 'UPDATE jobs SET lease_token = 1'],
  ])('refuses %s from a hand too', async (_, sql) => {
    const { store, path } = await openPostgres()
    await store.enqueue([aJob()])
    const client = new pg.Client(await aDatabase())
    await client.connect()

    const refusal = await client.query(`SET search_path TO ${path}; ${sql}`).catch((error) => error.code)

    await client.end()
    expect(refusal).toMatch(/^23/)
  })
})
