import type pg from 'pg'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import {
  createJobSystem,
  defineHandler,
  InvalidInputError,
  type JobContext,
  LeaseLostError,
} from '../../../src/index.ts'
import { deferred } from '../../support/deferred.ts'
import { aConnection, aDatabase, aSchema, openPostgres, passLease } from '../../support/postgres.ts'
import { postgresMissing } from '../../support/postgres-server.ts'
import { shareOfEachGroup } from '../../support/share.ts'
import { aJob } from '../../support/store.ts'
import { whenDone } from '../../support/temp.ts'
import { ids, leaseOf } from '../conformance/helpers.ts'

/** Ids of jobs are the same in each schema. */
const nameOfTest = () => expect.getState().currentTestName!

async function aClient(): Promise<pg.Client> {
  const client = await aConnection()
  await client.query(
    'CREATE TABLE IF NOT EXISTS effects (test text NOT NULL, job_id bigint NOT NULL, attempt integer NOT NULL)',
  )
  return client
}

const write = (client: pg.Client, { jobId, attempt }: Pick<JobContext, 'jobId' | 'attempt'>) =>
  client.query('INSERT INTO effects (test, job_id, attempt) VALUES ($1, $2, $3)', [nameOfTest(), jobId, attempt])

const effectsOf = async (client: pg.Client, id: number) =>
  (
    await client.query<{ attempt: number }>(
      'SELECT attempt FROM effects WHERE test = $1 AND job_id = $2 ORDER BY attempt',
      [nameOfTest(), id],
    )
  ).rows.map(({ attempt }) => attempt)

/** Runs one job with a handler, and waits until it has ended. */
async function ended(run: (context: JobContext, client: pg.Client) => Promise<unknown>, options: object = {}) {
  const client = await aClient()
  const lines: [object, string][] = []
  const line = (fields: object, message: string) => void lines.push([fields, message])
  const log = { debug() {}, info() {}, warn: line, error: line, child: () => log }
  const handler = defineHandler({ type: 'write', payload: z.null(), run: (_, context) => run(context, client) })
  const postgres = { connectionString: await aDatabase(), schema: aSchema(), maxConnections: 3 }
  const system = await createJobSystem({ postgres, handlers: [handler], log, retryBaseMs: 1, ...options })
  whenDone(() => system.stop())
  await system.start()
  const { id } = await system.enqueue({ type: 'write', payload: null, maxRetries: 1 })
  const isOver = async () => (await system.find(id))!.finishedAt !== null
  await expect.poll(isOver, { timeout: 10_000 }).toBe(true)
  const history = await system.history(id)
  return {
    system,
    client,
    id,
    lines,
    state: (await system.find(id))!.state,
    history,
    events: history.map(({ event }) => event),
  }
}

const once = ['enqueue', 'lease', 'start', 'succeed']
const twice = ['enqueue', 'lease', 'start', 'fail', 'due', 'lease', 'start', 'succeed']

shareOfEachGroup(3)

describe.skipIf(postgresMissing)('a handler that completes its job in its own transaction', () => {
  test('has stored what it reported before, and delays nobody with what it reports after', async () => {
    const { id, system, events } = await ended(async (context, client) => {
      context.progress(90)
      context.log.info({}, 'before')
      await client.query('BEGIN')
      await write(client, context)
      await context.complete(client)
      context.progress(100)
      context.log.info({}, 'after')
      await client.query('COMMIT')
    })

    expect(events).toEqual(once)
    expect(await system.find(id)).toMatchObject({ progress: 90 })
    expect((await system.log(id)).lines.map(({ message }) => message)).toEqual(['before'])
  })

  test('has its effect and its outcome in one commit, with the note and the counts', async () => {
    const { id, client, events, history, system, lines } = await ended(async (context, client) => {
      await client.query('BEGIN')
      await write(client, context)
      context.note('written')
      await context.complete(client)
      await client.query('COMMIT')
    })

    expect(events).toEqual(once)
    expect(history.at(-1)).toMatchObject({ cause: 'handler', note: 'written' })
    expect(await effectsOf(client, id)).toEqual([1])
    expect((await system.metrics()).successCount).toBe(1)
    expect((await system.verify()).violations).toEqual([])
    await expect.poll(() => system.activity().workers).toEqual([])
    expect(lines).toEqual([])
  })

  test('has failed if it returns without a commit, and its transaction cannot be committed after that', async () => {
    const first = deferred<pg.Client>()
    const { id, client, events, history } = await ended(async (context, client) => {
      // The rows of the driver are no result of a job.
      if (context.attempt === 2) return void (await write(client, context))
      const other = await aClient()
      await other.query('BEGIN')
      await write(other, context)
      await context.complete(other)
      first.resolve(other)
    })
    const late = (await first.promise).query('COMMIT')

    await expect(late).rejects.toMatchObject({ code: 'JM002' })
    expect(events).toEqual(twice)
    expect(history[3]!.error).toMatchObject({ name: 'NotCommittedError' })
    expect(await effectsOf(client, id)).toEqual([2])
  })

  test('goes on with a rollback as if it had not called it', async () => {
    const { id, client, events, history } = await ended(async (context, client) => {
      await client.query('BEGIN')
      await write(client, context)
      await context.complete(client)
      if (context.attempt === 2) return client.query('COMMIT')
      await client.query('ROLLBACK')
      throw new Error('not this time')
    })

    expect(events).toEqual(twice)
    expect(history[3]!.error).toMatchObject({ message: 'not this time' })
    expect(await effectsOf(client, id)).toEqual([2])
  })

  test('may try again in another transaction after a rollback', async () => {
    const { id, client, events } = await ended(async (context, client) => {
      for (const end of ['ROLLBACK', 'COMMIT']) {
        await client.query('BEGIN')
        await write(client, context)
        await context.complete(client)
        await client.query(end)
      }
    })

    expect(events).toEqual(once)
    expect(await effectsOf(client, id)).toEqual([1])
  })

  test('that throws after its commit has succeeded all the same, and the log says so', async () => {
    const { id, client, events, lines } = await ended(async (context, client) => {
      await client.query('BEGIN')
      await write(client, context)
      await context.complete(client)
      await client.query('COMMIT')
      throw new TypeError('too late')
    })

    expect(events).toEqual(once)
    expect(await effectsOf(client, id)).toEqual([1])
    await expect
      .poll(() => lines)
      .toEqual([
        [
          { error: 'TypeError' },
          'the handler threw after its transaction was committed; the job has succeeded all the same',
        ],
      ])
  })

  test('may call it twice in one transaction, and not in a second one', async () => {
    const second = deferred<unknown>()
    const { id, client, events } = await ended(async (context, client) => {
      await client.query('BEGIN')
      await write(client, context)
      await context.complete(client)
      await context.complete(client)
      await client.query('COMMIT')
      await client.query('BEGIN')
      await write(client, context)
      second.resolve(await context.complete(client).catch((error) => error))
      await client.query('COMMIT')
    })

    expect(await second.promise).toBeInstanceOf(LeaseLostError)
    expect(events).toEqual(once)
    expect(await effectsOf(client, id)).toEqual([1])
  })

  test('that is cancelled in between cannot commit', async () => {
    const running = deferred<number>()
    const goOn = deferred<void>()
    const failure = deferred<unknown>()
    const ending = ended(async (context, client) => {
      await client.query('BEGIN')
      await write(client, context)
      await context.complete(client)
      running.resolve(context.jobId)
      await goOn.promise
      failure.resolve(await client.query('COMMIT').catch((error) => error))
    })
    const id = await running.promise
    const canceller = await createJobSystem({
      postgres: { connectionString: await aDatabase(), schema: `test_${schemaOf()}`, maxConnections: 3 },
      handlers: [],
    })
    whenDone(() => canceller.stop())
    await canceller.cancel(id)
    goOn.resolve()
    const { state, client } = await ending

    expect(await failure.promise).toMatchObject({ code: 'JM002' })
    expect(state).toBe('cancelled')
    expect(await effectsOf(client, id)).toEqual([])
  })

  test('is refused a transaction that wrote before its attempt began', async () => {
    const early = await aClient()
    await early.query('BEGIN')
    await write(early, { jobId: 0, attempt: 0 })
    const refused = deferred<Error>()
    const { events } = await ended(async (context) => {
      refused.resolve(await context.complete(early).catch((error) => error))
    })

    expect(await refused.promise).toBeInstanceOf(InvalidInputError)
    expect((await refused.promise).message).toContain('began before this attempt')
    expect(events).toEqual(once)
    await early.query('COMMIT')
  })

  test('is refused it too if the row of the job no longer says so', async () => {
    const early = await aClient()
    await early.query('BEGIN')
    await write(early, { jobId: 0, attempt: 0 })
    const refused = deferred<Error>()
    const { events, system } = await ended(async (context) => {
      // As if more transactions had begun since than xmin can tell.
      await early.query(`UPDATE test_${schemaOf()}.jobs SET priority = priority`)
      refused.resolve(await context.complete(early).catch((error) => error))
      await early.query('COMMIT')
    })

    expect(await refused.promise).toBeInstanceOf(InvalidInputError)
    expect((await refused.promise).message).toContain('began before this attempt')
    expect(events).toEqual(once)
    expect((await system.verify()).violations).toEqual([])
  })

  test('has its effect under REPEATABLE READ too', async () => {
    const { id, client, events } = await ended(async (context, client) => {
      await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ')
      await write(client, context)
      await context.complete(client)
      await client.query('COMMIT')
    })

    expect(events).toEqual(once)
    expect(await effectsOf(client, id)).toEqual([1])
  })

  test.each([
    ['no client', async () => ({}), 'must be a client of pg'],
    ['without a transaction', aClient, 'is not in a transaction'],
  ])('is refused a client that is %s, and may go on without', async (_, given, message) => {
    const refused = deferred<Error>()
    const { events } = await ended(async (context) => {
      refused.resolve(await context.complete((await given()) as pg.Client).catch((error) => error))
    })

    expect(await refused.promise).toBeInstanceOf(InvalidInputError)
    expect((await refused.promise).message).toContain(message)
    expect(events).toEqual(once)
  })
})

/** The number of the last schema that this file used. */
function schemaOf(): number {
  return Number(aSchema().slice('test_'.length)) - 1
}

const start = { wait: false, start: true } as const

describe.skipIf(postgresMissing)('an attempt whose node was declared dead while its handler runs', () => {
  async function declaredDead() {
    const one = await openPostgres()
    const two = await openPostgres({ path: one.path, clock: one.clock })
    for (const { store } of [one, two]) await store.recoverOrphans()
    const [id] = ids(await one.store.enqueue([aJob()]))
    const [job] = await one.store.lease({ limit: 1, ...start })
    const client = await aClient()
    await client.query('BEGIN')
    await write(client, { jobId: id!, attempt: 1 })
    const die = () => passLease(one.clock, two.store)
    return { one, two, client, id: id!, event: { ...leaseOf(job!), event: 'succeed' as const }, die }
  }

  test('cannot complete it, and its transaction cannot commit', async () => {
    const { one, two, client, id, event, die } = await declaredDead()
    await die()

    await expect(one.store.complete(client, event)).rejects.toBeInstanceOf(LeaseLostError)

    expect((await client.query('COMMIT')).command).toBe('ROLLBACK')
    expect(await effectsOf(client, id)).toEqual([])
    expect(await two.store.find(id)).toMatchObject({ state: 'queued', crashes: 1 })
  })

  test('cannot commit what it has completed before, and another runs the job meanwhile', async () => {
    const { one, two, client, id, event, die } = await declaredDead()
    await one.store.complete(client, event)
    await die()
    const [again] = await two.store.lease({ limit: 1, ...start })

    await expect(client.query('COMMIT')).rejects.toMatchObject({ code: 'JM002' })

    expect(again!.id).toBe(id)
    expect(await effectsOf(client, id)).toEqual([])
    expect(await one.store.hasCompleted(event)).toBe(false)
    expect(await two.store.apply([{ ...leaseOf(again!), event: 'succeed' }])).toEqual([])
    expect((await two.store.verify()).violations).toEqual([])
  })

  test('keeps what was committed just before', async () => {
    const { one, two, client, id, event, die } = await declaredDead()
    await one.store.complete(client, event)
    await client.query('COMMIT')
    await die()

    expect(await two.store.find(id)).toMatchObject({ state: 'succeeded', crashes: 0 })
    expect(await effectsOf(client, id)).toEqual([1])
    expect(await one.store.hasCompleted(event)).toBe(true)
    expect((await two.store.verify()).violations).toEqual([])
  })

  test('cannot complete it in the moment before the job is taken', async () => {
    const { one, client, event } = await declaredDead()
    const other = await aClient()
    await other.query(`UPDATE ${one.path}.nodes SET ended_at = 1`)

    await expect(one.store.complete(client, event)).rejects.toBeInstanceOf(LeaseLostError)
  })

  test('needs no right but to use the schema', async () => {
    const { one, client, id, event } = await declaredDead()
    await client.query('ROLLBACK')
    await client.query('CREATE ROLE completer')
    whenDone(async () => {
      await client.query(`RESET ROLE; REVOKE USAGE ON SCHEMA ${one.path} FROM completer; DROP ROLE completer`)
    })
    await client.query(`GRANT USAGE ON SCHEMA ${one.path} TO completer`)
    await client.query('SET ROLE completer; BEGIN')

    await one.store.complete(client, event)
    await client.query('COMMIT')

    expect(await one.store.find(id)).toMatchObject({ state: 'succeeded' })
  })

  test('locks its job for nobody before the commit', async () => {
    const { one, client, id, event } = await declaredDead()
    await one.store.complete(client, event)

    expect(await one.store.send('cancel', id)).toMatchObject({ outcome: 'done' })
    await expect(client.query('COMMIT')).rejects.toMatchObject({ code: 'JM002' })
  })
})

describe.skipIf(postgresMissing)('a transaction whose snapshot is older than the attempt', () => {
  test.each(['enqueued', 'leased', 'started'])(
    'cannot complete a job that was %s after it, and goes on',
    async (step) => {
      const { store } = await openPostgres()
      const client = await aClient()
      const look = async (before: string) => {
        if (before !== step) return
        await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ')
        await client.query('SELECT 1 FROM effects')
      }

      await look('enqueued')
      await store.enqueue([aJob()])
      await look('leased')
      const [job] = await store.lease({ limit: 1, wait: false })
      await look('started')
      await store.apply([{ ...leaseOf(job!), event: 'start' }])
      const refused = store.complete(client, { ...leaseOf(job!), event: 'succeed' })

      await expect(refused).rejects.toBeInstanceOf(InvalidInputError)
      await expect(refused).rejects.toThrow('began before this attempt')
      expect((await client.query('COMMIT')).command).toBe('COMMIT')
      expect(await store.apply([{ ...leaseOf(job!), event: 'succeed' }])).toEqual([])
    },
  )
})
