import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import {
  BackpressureError,
  createJobSystem,
  defineHandler,
  IdempotencyConflictError,
  InvalidInputError,
  type JobContext,
  PayloadError,
  UnavailableError,
  UnknownTypeError,
} from '../../../src/index.ts'
import { aConnection, aDatabase, aSchema } from '../../support/postgres.ts'
import { ownServer, postgresMissing } from '../../support/postgres-server.ts'
import { shareOfEachGroup } from '../../support/share.ts'
import { collectSpans } from '../../support/spans.ts'
import { whenDone } from '../../support/temp.ts'

/** A user's client, with a table for side effects. */
async function aClient(address?: string): Promise<pg.Client> {
  const client = await aConnection(address === undefined ? {} : { connectionString: address })
  await client.query(
    'CREATE TABLE IF NOT EXISTS own_orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text)',
  )
  return client
}

interface Given {
  readonly address?: string
  readonly schema?: string
  readonly maxQueueDepth?: number
  readonly leaseMs?: number
  run?(n: number, context: JobContext): unknown
}

async function aSystem({ address, schema = aSchema(), run = () => {}, ...settings }: Given = {}) {
  const handlers = [defineHandler({ type: 'count', payload: z.number(), run: (n, context) => run(n, context) })]
  const postgres = { connectionString: address ?? (await aDatabase()), schema, maxConnections: 3 }
  const system = await createJobSystem({ postgres, handlers, workers: 3, retryBaseMs: 1, ...settings })
  whenDone(() => system.stop())
  return system
}

const aCount = { type: 'count' as const, payload: 1 }

shareOfEachGroup(3)

describe.skipIf(postgresMissing)('a job that is enqueued in a transaction of the caller', () => {
  test('exists once that commits, with its history and counts, and runs', async () => {
    const ran: number[] = []
    const system = await aSystem({ run: (n) => void ran.push(n) })
    await system.start()
    const client = await aClient()

    await client.query('BEGIN')
    const { id, state, created, committed } = await system.enqueue(aCount, { client })
    const before = [await system.find(id), (await system.counts()).queued]
    await client.query('COMMIT')

    expect({ state, created, committed }).toEqual({ state: 'queued', created: true, committed: false })
    expect(before).toEqual([undefined, 0])
    await expect.poll(() => ran).toEqual([1])
    await expect.poll(async () => (await system.find(id))?.state).toBe('succeeded')
    expect((await system.history(id))[0]).toMatchObject({ event: 'enqueue', cause: 'library', seq: 1 })
    expect((await system.verify()).violations).toEqual([])
  })

  test('keeps the trace in which it was enqueued', async () => {
    const spans = collectSpans()
    const system = await aSystem()
    const client = await aClient()

    await client.query('BEGIN')
    const { id } = await system.enqueue(aCount, { client })
    await client.query('COMMIT')

    const [span] = await spans.until('enqueue default')
    expect((await system.find(id))!.traceId).toBe(span.spanContext().traceId)
    expect((await system.verify()).violations).toEqual([])
  })

  test('never exists if that rolls back', async () => {
    const system = await aSystem()
    const client = await aClient()

    await client.query('BEGIN')
    const { id } = await system.enqueue(aCount, { client })
    await client.query('ROLLBACK')

    expect(await system.find(id)).toBeUndefined()
    expect(await system.verify()).toMatchObject({ jobs: 0, events: 0, violationCount: 0 })
  })

  test('goes with the savepoint in which it was enqueued, and the rest stays', async () => {
    const system = await aSystem()
    const client = await aClient()

    await client.query('BEGIN')
    const kept = await system.enqueue(aCount, { client })
    await client.query('SAVEPOINT here')
    const gone = await system.enqueue(aCount, { client })
    await client.query('ROLLBACK TO here')
    const [last] = await system.enqueue([aCount, aCount], { client })
    await client.query('COMMIT')

    expect(await system.find(gone.id)).toBeUndefined()
    expect([await system.find(kept.id), await system.find(last!.id)]).toMatchObject([{ id: kept.id }, { id: last!.id }])
    expect(await system.verify()).toMatchObject({ jobs: 3, events: 3, violationCount: 0 })
  })

  test('is checked as any other, and a refusal leaves the transaction as it was', async () => {
    const system = await aSystem()
    const client = await aClient()
    const keyed = { ...aCount, idempotencyKey: 'order-1' }

    await client.query('BEGIN')
    await system.enqueue(keyed, { client })
    const refused = [
      { type: 'count', payload: 'no number' },
      { type: 'unknown', payload: 1 },
      { type: 'count', payload: 1, priority: 1_000 },
      { ...keyed, payload: 2 },
    ].map((job) => system.enqueue(job as never, { client }).catch((error) => error))
    const errors = await Promise.all(refused)
    await client.query(`INSERT INTO own_orders (name) VALUES ('kept')`)
    await client.query('COMMIT')

    expect(errors.map((error) => error.constructor)).toEqual([
      PayloadError,
      UnknownTypeError,
      InvalidInputError,
      IdempotencyConflictError,
    ])
    expect((await system.list()).jobs).toHaveLength(1)
  })

  test('is refused if too many wait, before anything is sent', async () => {
    const system = await aSystem({ maxQueueDepth: 2 })
    const client = await aClient()
    await system.enqueue([aCount, aCount])

    await client.query('BEGIN')
    const refused = system.enqueue(aCount, { client })

    await expect(refused).rejects.toBeInstanceOf(BackpressureError)
    await client.query('SELECT 1')
    await client.query('ROLLBACK')
  })

  test('is answered with the job that has its key, whether that is committed or not', async () => {
    const system = await aSystem()
    const client = await aClient()
    const stored = await system.enqueue({ ...aCount, idempotencyKey: 'known' })

    await client.query('BEGIN')
    const known = await system.enqueue({ ...aCount, idempotencyKey: 'known' }, { client })
    const [first, again] = await system.enqueue(
      [1, 2].map(() => ({ ...aCount, idempotencyKey: 'new' })),
      { client },
    )
    const third = await system.enqueue({ ...aCount, idempotencyKey: 'new' }, { client })
    await client.query('COMMIT')
    const later = await system.enqueue({ ...aCount, idempotencyKey: 'new' })

    expect(known).toEqual({ id: stored.id, state: 'queued', created: false })
    expect([again, third]).toEqual(
      [1, 2].map(() => ({ id: first!.id, state: 'queued', created: false, committed: false })),
    )
    expect(later).toEqual({ id: first!.id, state: 'queued', created: false })
    expect((await system.list()).jobs).toHaveLength(2)
  })

  test('is one with that of another transaction that has stored its key meanwhile', async () => {
    const system = await aSystem()
    const [one, two] = [await aClient(), await aClient()]
    const keyed = { ...aCount, idempotencyKey: 'same' }

    await one.query('BEGIN')
    await two.query('BEGIN')
    const first = await system.enqueue(keyed, { client: one })
    const waiting = system.enqueue(keyed, { client: two })
    await expect.poll(async () => (await aLook(one)).rows[0]!.n).toBe('1')
    await one.query('COMMIT')

    expect(await waiting).toEqual({ id: first.id, state: 'queued', created: false })
    await two.query('COMMIT')
    expect((await system.list()).jobs).toHaveLength(1)
  })

  test('fails as a serialization failure if the transaction cannot see who has its key', async () => {
    const system = await aSystem()
    const client = await aClient()
    const keyed = { ...aCount, idempotencyKey: 'later' }

    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ')
    await client.query('SELECT 1 FROM own_orders')
    await system.enqueue(keyed)
    const failed = system.enqueue(keyed, { client })

    await expect(failed).rejects.toMatchObject({ code: '40001' })
    await client.query('ROLLBACK')
  })

  test('is not that of another transaction that has used its key before', async () => {
    const system = await aSystem()
    const client = await aClient()

    await client.query('BEGIN')
    await system.enqueue(aCount, { client })
    const { id } = await system.enqueue({ ...aCount, idempotencyKey: 'of another' })
    const known = await system.enqueue({ ...aCount, idempotencyKey: 'of another' }, { client })
    await client.query('ROLLBACK')

    expect(known).toEqual({ id, state: 'queued', created: false })
  })

  /** Enqueues 30 jobs with keys in one call; before each of its first `times` tries, another call stores the next of the keys. */
  async function raced(times: number, begin: string) {
    const system = await aSystem()
    const client = await aClient()
    const jobs = Array.from({ length: 30 }, (_, n) => ({ ...aCount, idempotencyKey: `key ${n}` }))
    const others: number[] = []
    const query = async (text: string, values: string[]) => {
      if (text.includes('.enqueue_') && others.length < times)
        others.push((await system.enqueue(jobs[others.length]!)).id)
      return client.query(text, values)
    }
    await client.query(begin)
    const stored = system.enqueue(jobs, { client: { query } })
    return { system, client, others, stored }
  }

  test.each([
    ['one by one', 'BEGIN'],
    ['in a transaction that may, by its name, read what is not committed', 'BEGIN ISOLATION LEVEL READ UNCOMMITTED'],
  ])('is stored with the rest if others use the keys of a list, %s', async (_, begin) => {
    const { system, client, others, stored } = await raced(5, begin)

    const answers = await stored
    await client.query('COMMIT')

    expect(answers.filter(({ created }) => !created)).toEqual(
      others.map((id) => ({ id, state: 'queued', created: false })),
    )
    for (const { id } of answers) expect(await system.find(id)).toMatchObject({ id })
    expect((await system.list()).jobs).toHaveLength(30)
  })

  test('is refused, and nothing of its call is stored, if others use its keys again and again', async () => {
    const { system, client, others, stored } = await raced(Number.POSITIVE_INFINITY, 'BEGIN')

    await expect(stored).rejects.toThrow(UnavailableError)
    await expect(stored).rejects.toThrow('other callers store jobs with the same keys now')
    const last = await system.enqueue(aCount, { client })
    await client.query('COMMIT')

    expect(others).toHaveLength(20)
    expect((await system.list()).jobs.map(({ id }) => id).sort()).toEqual([...others, last.id].sort())
  })

  test('may be one of 4,000 in its transaction, and not of more', async () => {
    const system = await aSystem()
    const client = await aClient()
    const thousand = Array.from({ length: 1_000 }, () => aCount)

    await client.query('BEGIN')
    for (let times = 0; times < 4; times++) await system.enqueue(thousand, { client })
    const refused = system.enqueue(aCount, { client })

    await expect(refused).rejects.toThrow('a transaction may store 4000 jobs, and this one has stored 4000')
    await client.query('COMMIT')
    expect(await system.verify()).toMatchObject({ jobs: 4_000, events: 4_000, violationCount: 0 })
  })
})

describe.skipIf(postgresMissing)('a transaction that stays open', () => {
  /** A transaction in which jobs were stored, with and without a key; it stays open for the whole test. */
  async function stillOpen(system: Awaited<ReturnType<typeof aSystem>>) {
    const client = await aClient()
    await client.query('BEGIN')
    await system.enqueue(aCount, { client })
    const { id } = await system.enqueue({ ...aCount, idempotencyKey: 'taken' }, { client })
    return { client, id }
  }

  test('keeps no other from storing jobs, and no node from running them', async () => {
    const ran: number[] = []
    const system = await aSystem({ run: (n) => void ran.push(n) })
    await system.start()
    const { client } = await stillOpen(system)
    const other = await aClient()

    await system.enqueue({ type: 'count', payload: 2, idempotencyKey: 'free' })
    await other.query('BEGIN')
    await system.enqueue({ type: 'count', payload: 3, idempotencyKey: 'also free' }, { client: other })
    await other.query('COMMIT')
    await expect.poll(() => ran).toEqual([2, 3])
    await system.cancel((await system.enqueue({ ...aCount, delayMs: 60_000 })).id)
    await client.query('COMMIT')

    await expect.poll(() => ran).toEqual([2, 3, 1, 1])
    expect((await system.verify()).violations).toEqual([])
  })

  test('makes who uses the key of its job elsewhere try again, and nobody else', async () => {
    const system = await aSystem()
    const { client, id } = await stillOpen(system)

    const calls = [
      system.enqueue({ ...aCount, idempotencyKey: 'taken' }).catch((error) => error),
      system.enqueue(aCount),
      system.enqueue({ ...aCount, idempotencyKey: 'free' }),
    ]
    const [refused, ...stored] = await Promise.all(calls)
    await client.query('COMMIT')
    const again = await system.enqueue({ ...aCount, idempotencyKey: 'taken' })

    expect(refused).toBeInstanceOf(UnavailableError)
    expect(refused.message).toContain('a transaction that is still open has used the same key')
    expect(stored).toMatchObject([{ created: true }, { created: true }])
    expect(again).toEqual({ id, state: 'queued', created: false })
    expect((await system.verify()).violations).toEqual([])
  })

  test('holds back what was committed after it began from those who read transitions', async () => {
    const system = await aSystem()
    const { client } = await stillOpen(system)
    const { id } = await system.enqueue(aCount)

    const meanwhile = await system.transitions({ after: 0 })
    await client.query('COMMIT')
    const { transitions } = await system.transitions({ after: 0 })

    expect(meanwhile.transitions).toEqual([])
    expect(transitions.map(({ jobId }) => jobId)).toContain(id)
    expect(transitions).toHaveLength(3)
  })

  test('has a count of its own, which is added to the others when it has ended', async () => {
    const system = await aSystem()
    const { client } = await stillOpen(system)
    await client.query('COMMIT')
    const rows = () => client.query('SELECT writer_id FROM edge_counts WHERE writer_id <= 0')
    await client.query(`SET search_path TO ${aSchemaBefore()}`)
    const before = (await rows()).rowCount

    await system.start()

    expect(before).toBe(1)
    await expect.poll(async () => (await rows()).rows).toEqual([{ writer_id: '0' }])
    expect((await system.verify()).violations).toEqual([])
  })
})

/** The last schema that this file used. */
function aSchemaBefore(): string {
  return `test_${Number(aSchema().slice('test_'.length)) - 1}`
}

describe.skipIf(postgresMissing)('nodes with free workers', () => {
  test('are woken by the commit, by one of the transactions that are open at once', async () => {
    const { address } = ownServer(['max_prepared_transactions=0'])
    const system = await aSystem({ address })
    await system.start()
    const listener = await aClient(address)
    const heard: (string | undefined)[] = []
    listener.on('notification', ({ payload }) => heard.push(payload))
    await listener.query('LISTEN jobmachine')
    const [one, two] = [await aClient(address), await aClient(address)]
    const schema = aSchemaBefore()
    const isWaiting = `SELECT 1 FROM ${schema}.nodes WHERE is_waiting`
    await expect.poll(async () => (await listener.query(isWaiting)).rowCount).toBe(1)

    await one.query('BEGIN')
    await two.query('BEGIN')
    for (const client of [one, one, two]) await system.enqueue(aCount, { client })
    await listener.query('SELECT 1')
    const before = heard.length
    await one.query('COMMIT')
    await two.query('COMMIT')
    await listener.query('SELECT 1')

    expect([before, heard]).toEqual([0, [`${schema} jobs 0`]])
  })
})

/** How many sessions of the database wait for a transaction of another session. */
function aLook(client: pg.Client) {
  return client.query<{ n: string }>(
    `SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'transactionid'`,
  )
}

describe.skipIf(postgresMissing)('a client', () => {
  test.each([
    ['no client', () => ({}), 'must be a client of pg'],
    ['none', () => undefined, 'must be a client of pg'],
    ['of SQLite', () => ({ query: 0, prepare() {} }), 'the jobs are on PostgreSQL'],
    ['whose query answers with something else', () => ({ query: async () => 5 }), 'must resolve with the rows'],
    ['without a transaction', aClient, 'is not in a transaction'],
    ['a pool', async () => aPool(await aDatabase()), 'is not in a transaction'],
    [
      'of another database',
      async () => {
        const client = await aClient((await aDatabase()).replace(/\/tests_\w+/, '/postgres'))
        await client.query('BEGIN')
        return client
      },
      'is connected to the database postgres of another server, or to another database',
    ],
  ])('that is %s is refused, and nothing is stored', async (_, given, message) => {
    const system = await aSystem()
    const client = (await given()) as pg.Client

    const refused = system.enqueue(aCount, { client })

    await expect(refused).rejects.toBeInstanceOf(InvalidInputError)
    await expect(refused).rejects.toThrow(message)
    expect((await system.verify()).jobs).toBe(0)
  })

  test('whose role may not see the schema is told what to grant, and then needs no more', async () => {
    const system = await aSystem({ schema: 'granted' })
    const owner = await aClient()
    await owner.query(`DROP ROLE IF EXISTS clerk`)
    await owner.query('CREATE ROLE clerk LOGIN')
    whenDone(async () => {
      await owner.query('REVOKE USAGE ON SCHEMA granted FROM clerk; DROP ROLE clerk')
    })
    const client = await aConnection({ connectionString: (await aDatabase()).replace('postgres@', 'clerk@') })

    await client.query('BEGIN')
    const refused = system.enqueue(aCount, { client })
    await expect(refused).rejects.toThrow(
      'client: has the role clerk, which may not use the schema granted: GRANT USAGE ON SCHEMA "granted" TO "clerk"',
    )
    await owner.query('GRANT USAGE ON SCHEMA granted TO clerk')
    const { id } = await system.enqueue(aCount, { client })
    await client.query('COMMIT')

    expect(await system.find(id)).toMatchObject({ state: 'queued' })
    await expect(client.query('SELECT * FROM granted.jobs')).rejects.toThrow('permission denied')
  })
})

function aPool(connectionString: string): pg.Pool {
  const pool = new pg.Pool({ connectionString })
  whenDone(() => pool.end())
  return pool
}
