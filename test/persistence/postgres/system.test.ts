import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { createJobSystem, defineHandler, type JobContext, JobNotFoundError } from '../../../src/index.ts'
import { aConnection, aDatabase, aSchema } from '../../support/postgres.ts'
import { postgresMissing } from '../../support/postgres-server.ts'
import { shareOfEachGroup } from '../../support/share.ts'
import { whenDone } from '../../support/temp.ts'

async function aSystem(schema: string, run: (n: number, context: JobContext) => Promise<void> | void) {
  const handlers = [defineHandler({ type: 'count', payload: z.number(), run })]
  const postgres = { connectionString: await aDatabase(), schema, maxConnections: 3 }
  const system = await createJobSystem({ postgres, handlers, workers: 3, retryBaseMs: 1 })
  whenDone(() => system.stop())
  await system.start()
  return system
}

shareOfEachGroup(3)

describe.skipIf(postgresMissing)('a system on PostgreSQL', () => {
  test('runs jobs, retries them, explains them and finds nothing wrong', async () => {
    const failing = new Set([3])
    const system = await aSystem(aSchema(), (n) => {
      if (failing.delete(n)) throw new Error('once')
    })

    const jobs = await system.enqueue(Array.from({ length: 20 }, (_, n) => ({ type: 'count' as const, payload: n })))

    await expect.poll(async () => (await system.metrics()).successCount).toBe(20)
    const history = await system.history(jobs[3]!.id)
    expect(history?.map(({ event }) => event)).toEqual([
      'enqueue',
      'lease',
      'start',
      'fail',
      'due',
      'lease',
      'start',
      'succeed',
    ])
    expect((await system.explain(jobs[0]!.id)).state).toBe('succeeded')
    expect((await system.verify()).violations).toEqual([])
  })

  test('tells a handler which schedule made its job, and for which tick', async () => {
    const told: Awaited<ReturnType<JobContext['schedule']>>[] = []
    const system = await aSystem(aSchema(), async (_, { schedule }) => void told.push(await schedule()))
    await system.schedules.put({ name: 'pulse', everyMs: 1_000, job: { type: 'count', payload: 1 } })

    await expect.poll(() => told.length, { timeout: 20_000 }).toBeGreaterThan(0)

    const { tick } = (await system.schedules.history('pulse')).toReversed().find(({ event }) => event === 'tick')!
    expect(told[0]).toEqual({ name: 'pulse', tick, missed: 0, firstMissed: null })
  })

  test('fires the signal of a cancelled job, and lets its next run go on, even if both are one commit', async () => {
    const signals: AbortSignal[] = []
    const system = await aSystem(aSchema(), async (_, { signal }) => {
      signals.push(signal)
      if (signals.length === 1) await new Promise((resolve) => signal.addEventListener('abort', resolve))
    })
    const { id } = await system.enqueue({ type: 'count', payload: 1 })
    await expect.poll(() => signals.length).toBe(1)

    await Promise.all([system.cancel(id), system.requeue(id)])

    await expect.poll(async () => (await system.find(id))?.state).toBe('succeeded')
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, false])
  })

  test.each([1.5, Number.NaN, 1e300])('has no job %s', async (id) => {
    const system = await aSystem(aSchema(), () => {})

    for (const call of ['cancel', 'requeue', 'history', 'explain'] as const)
      await expect(system[call](id)).rejects.toBeInstanceOf(JobNotFoundError)
    expect(await system.find(id)).toBeUndefined()
  })

  test('names a transaction of somebody else that stays open in its health and in explain', async () => {
    const system = await aSystem(aSchema(), () => {})
    const job = await system.enqueue({ type: 'count', payload: 1 })
    const stranger = await aConnection({ application_name: 'stranger' })
    await stranger.query('BEGIN; CREATE TEMP TABLE held (n integer)')
    const { pid } = (await stranger.query('SELECT pg_backend_pid() AS pid')).rows[0]

    await expect.poll(() => system.health().warnings).toHaveLength(1)
    const { ready, warnings } = system.health()
    const { summary } = await system.explain(job.id)
    await stranger.query('COMMIT')

    expect(ready).toBe(true)
    expect(warnings![0]).toContain(`session ${pid} (stranger, user postgres, since `)
    expect(summary).toContain(`${warnings![0]}.`)
    await expect.poll(() => system.health()).toEqual({ ready: true, reason: null })
  })

  test('shares its jobs with another, and hands over what it did when it stops', async () => {
    const schema = aSchema()
    const ran: number[] = []
    const one = await aSystem(schema, (n) => void ran.push(n))
    const two = await aSystem(schema, (n) => void ran.push(n))

    await one.enqueue(Array.from({ length: 30 }, (_, n) => ({ type: 'count' as const, payload: n })))
    await expect.poll(() => ran.length).toBe(30)
    await one.stop()
    await two.enqueue({ type: 'count', payload: 30 })
    await expect.poll(() => ran.length).toBe(31)

    expect(new Set(ran).size).toBe(31)
    expect((await two.verify()).violations).toEqual([])
  })
})

test.each([
  [
    'a file beside it',
    { postgres: 'postgres://localhost/app', database: 'jobs.db' },
    'database and postgres are both given',
  ],
  ['an address of another database', { postgres: 'mysql://localhost/app' }, 'postgres has an invalid connectionString'],
  ['what is for a file', { postgres: 'postgres://localhost/app', secureDelete: true }, 'secureDelete is for a file'],
  [
    'a schema of the server',
    { postgres: { connectionString: 'postgres://localhost/app', schema: 'pg_x' } },
    'postgres has a schema',
  ],
])('a system on PostgreSQL refuses %s', async (_, options, message) => {
  await expect(createJobSystem(options as never)).rejects.toThrow(message)
})

test('a system on PostgreSQL says that the server cannot be reached, without the password', async () => {
  const opening = createJobSystem({ postgres: 'postgres://me:secret@127.0.0.1:1/app' })

  await expect(opening).rejects.toMatchObject({ code: 'unavailable', message: expect.not.stringContaining('secret') })
})
