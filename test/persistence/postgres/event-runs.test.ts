import { describe, expect, test } from 'vitest'
import { eventsAfter, eventsBetween, eventsOf } from '../../../src/persistence/postgres/event-runs.ts'
import type { Transition } from '../../../src/persistence/store.ts'
import { aConnection, type OpenedPostgres, openPostgres } from '../../support/postgres.ts'
import { postgresMissing } from '../../support/postgres-server.ts'
import { shareOfEachGroup } from '../../support/share.ts'
import { aJob } from '../../support/store.ts'
import { ids, leaseOf } from '../conformance/helpers.ts'

const keepMs = 1_000
/** The fewest jobs that have rows together. */
const few = 16

const enqueue = async ({ store }: OpenedPostgres, count: number) =>
  ids(await store.enqueue(Array.from({ length: count }, () => aJob())))

const lease = ({ store }: OpenedPostgres, limit: number) => store.lease({ limit, wait: false, start: true })

/** Stores so many jobs, claims them together, and ends them together. */
async function runTogether(node: OpenedPostgres, count: number): Promise<number[]> {
  const stored = await enqueue(node, count)
  const jobs = await lease(node, count)
  await node.store.apply(jobs.map((job) => ({ ...leaseOf(job), event: 'succeed' as const })))
  return stored
}

/** The events of the rows that several jobs share, with their number, and how many transitions have a row of their own. */
async function rowsOf({ path }: OpenedPostgres) {
  const client = await aConnection({ schema: path })
  const runs = await client.query({
    text: 'SELECT event, cardinality(job_ids) FROM event_runs ORDER BY last_id',
    rowMode: 'array',
  })
  const { rows } = await client.query('SELECT count(*)::int AS n FROM single_events')
  return { runs: runs.rows, singles: rows[0].n as number }
}

async function historyOf({ store }: OpenedPostgres, id: number) {
  const history = await store.history(id, { after: 0, limit: 100 })
  return history!.map(({ seq, event, from, to, attempt }) => [seq, event, from, to, attempt])
}

const ofOneRun = [
  [1, 'enqueue', null, 'queued', 0],
  [2, 'lease', 'queued', 'leased', 0],
  [3, 'start', 'leased', 'running', 1],
  [4, 'succeed', 'running', 'succeeded', 1],
]

/** The tail from its beginning, by pages of `limit`. */
async function tailOf({ store }: OpenedPostgres, limit: number): Promise<Transition[]> {
  const all: Transition[] = []
  for (let after = 0; ; ) {
    const page = await store.transitions({ after, limit })
    all.push(...page.transitions)
    if (page.last <= after) return all
    after = page.last
  }
}

shareOfEachGroup(3)

describe.skipIf(postgresMissing)('jobs that make a transition together', () => {
  test('are refused if they are more than a transaction has ids for', async () => {
    const node = await openPostgres()

    await expect(enqueue(node, 4_096)).rejects.toThrow('too many events in one transaction')
    expect(await enqueue(node, 4_095)).toHaveLength(4_095)
  })

  test('share a row for each event, and each has a history of its own', async () => {
    const node = await openPostgres()

    const stored = await runTogether(node, few)

    const runs = ['enqueue', 'lease', 'start', 'succeed'].map((event) => [event, few])
    expect(await rowsOf(node)).toEqual({ runs, singles: 0 })
    for (const id of stored) expect(await historyOf(node, id)).toEqual(ofOneRun)
    expect(await node.store.verify()).toMatchObject({ jobs: few, events: 4 * few, violations: [] })
  })

  test.each([
    ['are few', async (node: OpenedPostgres) => void (await runTogether(node, few - 1)), 4 * (few - 1)],
    [
      'fail, each with its error',
      async (node: OpenedPostgres) => {
        await enqueue(node, few)
        const jobs = await lease(node, few)
        const error = { name: 'Error', message: 'no' }
        await node.store.apply(jobs.map((job) => ({ ...leaseOf(job), event: 'fail' as const, delayMs: 1, error })))
      },
      few,
    ],
    [
      'are far apart',
      async (node: OpenedPostgres) => {
        const client = await aConnection({ schema: node.path })
        await node.store.enqueue([aJob({ priority: 1 })])
        // As if other nodes had reserved ids.
        await client.query(`SELECT nextval('job_ids') FROM generate_series(1, 9)`)
        for (let thousand = 0; thousand < 5; thousand++) await enqueue(node, 1_000)
        await node.store.enqueue(Array.from({ length: few - 1 }, () => aJob({ priority: 1 })))
        const jobs = await lease(node, few)
        expect(jobs.at(-1)!.id - jobs[0]!.id).toBeGreaterThan(8_192)
      },
      // Some thousands were stored of two blocks that are far apart.
      1_000 + 1 + (few - 1) + 2 * few,
    ],
  ])('have a row each if they %s', async (_, move, singles) => {
    const node = await openPostgres()

    await move(node)

    expect((await rowsOf(node)).singles).toBe(singles)
    expect((await node.store.verify()).violations).toEqual([])
  })

  test.each([1, 7, 1_000])('are told one by one, by pages of %i, each once and in order', async (limit) => {
    const node = await openPostgres()
    const together = await runTogether(node, 20)
    const alone = await runTogether(node, 1)
    const last = await runTogether(node, few)

    const tail = await tailOf(node, limit)

    const numbers = tail.map(({ id }) => id)
    expect(numbers).toEqual([...new Set(numbers)].sort((a, b) => a - b))
    expect(tail).toHaveLength(4 * (20 + 1 + few))
    for (const id of [...together, ...alone, ...last])
      expect(
        tail
          .filter(({ jobId }) => jobId === id)
          .map(({ seq, event, from, to, attempt }) => [seq, event, from, to, attempt]),
      ).toEqual(ofOneRun)
  })

  test('lose their rows with the last of them, and are not told of any more once they are gone', async () => {
    const node = await openPostgres({ retentionMs: keepMs })
    const stored = await enqueue(node, few)
    const jobs = await lease(node, few)
    const [late, ...early] = jobs
    await node.store.apply(early.map((job) => ({ ...leaseOf(job), event: 'succeed' as const })))
    node.clock.advance(keepMs + 1)
    await node.store.apply([{ ...leaseOf(late!), event: 'succeed' }])
    const before = await node.store.transitions({ after: 0, limit: 1 })

    await node.store.sweep()

    expect(await node.store.history(early[0]!.id, { after: 0, limit: 9 })).toBeUndefined()
    expect(await historyOf(node, late!.id)).toEqual(ofOneRun)
    expect((await tailOf(node, 1)).map(({ jobId }) => jobId)).toEqual(Array(4).fill(late!.id))
    expect((await node.store.transitions({ after: before.last, limit: 1 })).transitions).toHaveLength(1)
    expect((await rowsOf(node)).runs).toEqual(['enqueue', 'lease', 'start'].map((event) => [event, few]))
    expect(await node.store.verify()).toMatchObject({ jobs: 1, events: 4, violations: [] })

    node.clock.advance(keepMs + 1)
    await node.store.sweep()

    expect(await rowsOf(node)).toEqual({ runs: [], singles: 0 })
    expect(await tailOf(node, 3)).toEqual([])
    expect(stored).toHaveLength(few)
    expect((await node.store.verify()).violations).toEqual([])
  })

  test.each([
    ...["event = 'rubbish'", "to_state = 'rubbish'", "cause = '{'"],
    ...['seqs[1] = NULL', 'attempts[1] = NULL', 'job_ids[1] = NULL'],
  ])('answer every question about them if their row is damaged: %s', async (damage) => {
    const node = await openPostgres()
    const { store } = node
    const stored = await runTogether(node, few)
    const client = await aConnection({ schema: node.path })
    await client.query(`SET session_replication_role TO replica; UPDATE event_runs SET ${damage} WHERE event = 'start'`)

    for (const id of stored) {
      expect(await store.history(id, { after: 0, limit: 9 })).toBeDefined()
      expect(await store.jobFacts(id)).toBeDefined()
      expect(await store.pathOf(id, 9)).toBeDefined()
    }
    expect((await tailOf(node, 5)).length).toBeGreaterThanOrEqual(3 * few)
    expect((await store.verify()).violations).not.toEqual([])
  })

  test('are told by verify if a row of theirs does not fit their histories, or outlives them', async () => {
    const node = await openPostgres()
    const [first] = await runTogether(node, few)
    const client = await aConnection({ schema: node.path })
    await client.query(`SET session_replication_role TO replica`)
    await client.query(`UPDATE event_runs SET attempts[1] = 7 WHERE event = 'start'`)
    await client.query(`INSERT INTO event_runs SELECT 9e15::bigint, 999999, 999999, at, event, from_state, to_state, cause, '{999999}', '{1}', '{0}'
      FROM event_runs WHERE event = 'enqueue'`)

    const { violations } = await node.store.verify()

    expect(violations).toContainEqual(expect.objectContaining({ invariant: 'I3', jobId: first }))
    expect(violations).toContainEqual(expect.objectContaining({ invariant: 'I2', jobId: 999_999 }))
  })
})

/** How many rows of a table a statement reads, by its indexes or without. */
async function readBy({ path }: OpenedPostgres, table: string, sql: string): Promise<number> {
  const client = await aConnection({ schema: path })
  await client.query('BEGIN')
  await client.query(sql)
  const { rows } = await client.query(
    `SELECT pg_stat_get_xact_tuples_returned($1::regclass) + (SELECT sum(pg_stat_get_xact_tuples_returned(indexrelid))
      FROM pg_index WHERE indrelid = $1::regclass) AS read`,
    [table],
  )
  await client.query('COMMIT')
  return Number(rows[0].read)
}

describe.skipIf(postgresMissing)('a page of transitions', () => {
  const pageMax = 10

  test.each(['never', 'after the first', 'last'])('reads few runs, if ANALYZE ran %s', async (moment) => {
    const node = await openPostgres()
    const client = await aConnection({ schema: node.path })
    const analyze = (now: string) => now === moment && client.query('ANALYZE')
    await enqueue(node, few)
    await analyze('after the first')
    for (let thousand = 0; thousand < 5; thousand++) await enqueue(node, 1_000)
    await analyze('last')

    const page = `SELECT * FROM ${eventsAfter('0', '9000000000000000', String(pageMax))}`

    expect(await readBy(node, 'jobs', page)).toBeLessThan(1_100)
  })

  test('of one job reads no more than that', async () => {
    const node = await openPostgres()
    const id = `${(await enqueue(node, 1))[0]}::bigint`
    const client = await aConnection({ schema: node.path })
    await client.query(`SET session_replication_role TO replica; INSERT INTO single_events (id, job_id, at, seq, attempt, event, from_state, to_state)
      SELECT 9e14 + n, ${id}, 1, n, 0, 'lease', 'queued', 'leased' FROM generate_series(2, 5000) AS n; ANALYZE`)

    for (const page of [
      `${eventsOf(id)} WHERE seq > 5 ORDER BY seq`,
      `${eventsOf(id, 'seq DESC')} ORDER BY seq DESC`,
      `${eventsBetween(id, '9000::bigint')} WHERE (job_id, seq) > (${id}, 5) ORDER BY job_id, seq`,
    ])
      expect(await readBy(node, 'single_events', `SELECT * FROM ${page} LIMIT ${pageMax}`)).toBeLessThan(3 * pageMax)
  })
})
