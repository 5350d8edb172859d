import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { createJobSystem, defineHandler, UniqueConflictError } from '../../../src/index.ts'
import { deferred } from '../../support/deferred.ts'
import { aConnection, aDatabase, aSchema, openPostgres } from '../../support/postgres.ts'
import { postgresMissing } from '../../support/postgres-server.ts'
import { shareOfEachGroup } from '../../support/share.ts'
import { aJob } from '../../support/store.ts'
import { whenDone } from '../../support/temp.ts'
import { leaseOf, rows } from '../conformance/helpers.ts'

const unique = { key: 'k', onConflict: 'after' } as const
const aCount = { type: 'count' as const, payload: 1, unique }

/** A system whose job runs until it is let go. */
async function aRunningHolder() {
  const gate = deferred()
  const ran: number[] = []
  const handlers = [
    defineHandler({
      type: 'count',
      payload: z.number(),
      async run(n, { attempt: _ }) {
        if (n === 0) await gate.promise
        ran.push(n)
      },
    }),
  ]
  const postgres = { connectionString: await aDatabase(), schema: aSchema(), maxConnections: 3 }
  const system = await createJobSystem({ postgres, handlers, workers: 3 })
  whenDone(() => {
    gate.resolve()
    return system.stop()
  })
  await system.start()
  const { id } = await system.enqueue({ ...aCount, payload: 0 })
  await expect.poll(async () => (await system.find(id))?.state).toBe('running')
  const end = async () => {
    gate.resolve()
    await expect.poll(async () => (await system.find(id))?.state).toBe('succeeded')
  }
  return { system, id, end, ran }
}

shareOfEachGroup(3)

describe.skipIf(postgresMissing)('a unique key in a transaction of the caller', () => {
  test('is held once it commits, and nobody waits for that but who asks for the key', async () => {
    const { system, end } = await aRunningHolder()
    const client = await aConnection()
    await client.query('BEGIN')
    const { id, state, unique } = await system.enqueue(aCount, { client })

    await end()
    const elsewhere = await system.enqueue({ ...aCount, unique: { key: 'other' } })
    await client.query('COMMIT')

    expect({ state, unique }).toEqual({ state: 'blocked', unique: 'blocked' })
    expect(elsewhere.unique).toBe('stored')
    await expect.poll(async () => (await system.find(id))?.state).toBe('succeeded')
    expect((await system.history(id)).map(({ event }) => event).slice(0, 2)).toEqual(['enqueue', 'unblock'])
    expect((await system.verify()).violations).toEqual([])
  })

  test('leaves the job blocked if the holder runs at the commit, and free with a rollback', async () => {
    const { system, id: holder, end } = await aRunningHolder()
    const client = await aConnection()
    await client.query('BEGIN')
    await system.enqueue(aCount, { client })
    await client.query('ROLLBACK')
    await client.query('BEGIN')
    const { id } = await system.enqueue(aCount, { client })
    const again = await system.enqueue(aCount, { client })
    await client.query('COMMIT')

    expect((await system.explain(id)).summary).toContain(`job ${holder}, which is running, holds its unique key "k"`)
    expect(again).toMatchObject({ id, unique: 'returned', committed: false })
    await end()
    await expect.poll(async () => (await system.find(id))?.state).toBe('succeeded')
    expect((await system.verify()).violations).toEqual([])
  })

  test('fails the commit of one with an older snapshot, if the holder has ended since', async () => {
    const { system, end } = await aRunningHolder()
    const client = await aConnection()
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ')
    await system.enqueue(aCount, { client })
    await end()

    await expect(client.query('COMMIT')).rejects.toMatchObject({ code: '40001' })
    expect((await system.verify()).violations).toEqual([])
  })

  test('refuses a request that says so, and the transaction can go on', async () => {
    const { system, id } = await aRunningHolder()
    const client = await aConnection()
    await client.query('BEGIN')
    const refused = system.enqueue({ ...aCount, unique: { key: 'k', onConflict: 'refuse' } }, { client })

    await expect(refused).rejects.toBeInstanceOf(UniqueConflictError)
    await expect(refused).rejects.toMatchObject({ jobId: id })
    await system.enqueue({ ...aCount, unique: { key: 'free' } }, { client })
    await client.query('COMMIT')
    expect((await system.verify()).violations).toEqual([])
  })
})

describe.skipIf(postgresMissing)('a request for the key of a job that cannot be changed', () => {
  test('is refused, and others are stored beside it', async () => {
    const { store, path } = await openPostgres()
    const holder = aJob({ unique: { key: 'k', until: 'ended', onConflict: 'replace' }, delayMs: 60_000 })
    const { id } = rows(await store.enqueue([holder]))[0]!
    const client = await aConnection({ schema: path })
    await client.query('UPDATE jobs SET crashes = 2147483647 WHERE id = $1', [id])

    const [refused, stored] = await Promise.allSettled([store.enqueue([holder]), store.enqueue([aJob()])])

    expect(refused).toMatchObject({ reason: { name: 'UnavailableError' } })
    expect(stored).toMatchObject({ value: { outcome: 'stored' } })
  })
})

describe.skipIf(postgresMissing)('two nodes that race for a unique key', () => {
  test('end a job and store the one after it, and neither is lost or doubled', async () => {
    const one = await openPostgres({ types: ['work'] })
    const two = await openPostgres({ path: one.path, clock: one.clock, types: ['work'] })
    for (const { store } of [one, two]) await store.recoverOrphans()
    const job = (key: string, onConflict: 'return' | 'after') => aJob({ unique: { key, until: 'ended', onConflict } })

    for (let round = 0; round < 60; round++) {
      const key = `${round}`
      const first = await Promise.all([one, two].map(({ store }) => store.enqueue([job(key, 'return')])))
      expect(first.map((result) => rows(result)[0]!).filter(({ created }) => created)).toHaveLength(1)
      const [running] = await one.store.lease({ limit: 1, wait: false, start: true })
      const [, ...answers] = await Promise.all([
        one.store.apply([{ ...leaseOf(running!), event: 'succeed' }]),
        ...[two, one, two].map(async ({ store }) => rows(await store.enqueue([job(key, 'after')]))[0]!),
      ])
      const created = answers.filter((answer) => answer.created)
      if (created.length !== 1) console.log(round, JSON.stringify(answers), running)
      expect(created).toHaveLength(1)
      const [next, ...others] = await two.store.lease({ limit: 9, wait: false, start: true })
      expect([next?.id, others]).toEqual([created[0]!.id, []])
      await two.store.apply([{ ...leaseOf(next!), event: 'succeed' }])
    }

    expect((await one.store.verify()).violations).toEqual([])
  })
})
