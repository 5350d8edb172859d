import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { createJobSystem, defineHandler, ResultError } from '../../../src/index.ts'
import type { LeasedJob } from '../../../src/persistence/store.ts'
import { aConnection, aDatabase, aSchema, openPostgres } from '../../support/postgres.ts'
import { postgresMissing } from '../../support/postgres-server.ts'
import { aJob } from '../../support/store.ts'
import { whenDone } from '../../support/temp.ts'
import { leaseOf } from '../conformance/helpers.ts'

describe.skipIf(postgresMissing)('on PostgreSQL', () => {
  test.each([
    [
      'a result of a job that has not succeeded',
      (_: number, open: number) => `INSERT INTO job_results VALUES (${open}, '1')`,
    ],
    ['a result of no job', () => `INSERT INTO job_results VALUES (987654321, '1')`],
    ['a result', (id: number) => `UPDATE job_results SET result = '2' WHERE job_id = ${id}`],
    ['a result, to nowhere', (id: number) => `DELETE FROM job_results WHERE job_id = ${id}`],
    ['all results', () => 'TRUNCATE job_results'],
  ])('no manual statement can store or change %s', async (_, sqlOf) => {
    const { store, path } = await openPostgres()
    await store.enqueue([aJob(), aJob()])
    const [job, other] = (await store.lease({ limit: 2, wait: false, start: true })) as [LeasedJob, LeasedJob]
    await store.apply([{ ...leaseOf(job), event: 'succeed', result: '1' }])
    const client = await aConnection()
    await client.query(`SET search_path TO "${path}"`)

    await expect(client.query(sqlOf(job.id, other.id))).rejects.toMatchObject({
      code: '23000',
      message: expect.stringMatching(/^jobmachine: (only a job that has succeeded has|a result)/),
    })
    expect((await store.ended([job.id])).get(job.id)).toMatchObject({ result: '1' })
  })

  test('verify reports a result of a job that has not succeeded, and one that is no JSON', async () => {
    const { store, path } = await openPostgres()
    await store.enqueue([aJob(), aJob()])
    const [job, other] = (await store.lease({ limit: 2, wait: false, start: true })) as [LeasedJob, LeasedJob]
    await store.apply([{ ...leaseOf(job), event: 'succeed', result: '1' }])
    const client = await aConnection()
    await client.query(`SET search_path TO "${path}"; SET session_replication_role TO replica;
      UPDATE job_results SET result = '{'; INSERT INTO job_results VALUES (${other.id}, '1'), (987654321, '1')`)

    expect((await store.verify()).violations).toEqual([
      { invariant: 'I1', jobId: job.id, message: 'its result is not JSON' },
      { invariant: 'I4', jobId: other.id, message: expect.stringContaining('only a job that has succeeded has one') },
      { invariant: 'I2', jobId: 987_654_321, message: 'there is a result of this job, but no job' },
    ])
  })

  test('a result that is given to complete is stored by the transaction of the handler, or not at all', async () => {
    const client = await aConnection()
    const sum = defineHandler({
      type: 'sum',
      payload: z.array(z.number()),
      result: z.object({ sum: z.number() }),
      async run(numbers, { complete, attempt }) {
        const result = { sum: numbers.reduce((a, b) => a + b, 0), left: 'out' }
        await client.query('BEGIN')
        await expect(complete(client, { sum: 'none' })).rejects.toBeInstanceOf(ResultError)
        await complete(client, attempt === 1 ? { sum: -1 } : result)
        await client.query(attempt === 1 ? 'ROLLBACK' : 'COMMIT')
        if (attempt === 1) throw new Error('not this time')
        return { sum: 0 }
      },
    })
    const postgres = { connectionString: await aDatabase(), schema: aSchema(), maxConnections: 3 }
    const system = await createJobSystem({ postgres, handlers: [sum], retryBaseMs: 1, retryMaxMs: 1 })
    whenDone(() => system.stop())
    await system.start()

    expect(await system.enqueueAndWait(sum, [1, 2, 3])).toEqual({ sum: 6 })

    expect((await system.verify()).violations).toEqual([])
  })

  test('a node is told of the end of a job that another node ran', async () => {
    const postgres = { connectionString: await aDatabase(), schema: aSchema(), maxConnections: 3 }
    const here = await createJobSystem({ postgres })
    whenDone(() => here.stop())
    const echo = defineHandler({ type: 'echo', payload: z.unknown(), run: (payload) => payload })
    const there = await createJobSystem({ postgres, handlers: [echo] })
    whenDone(() => there.stop())
    await Promise.all([here.start(), there.start()])

    const results = await Promise.all(
      Array.from({ length: 300 }, (_, n) => here.enqueueAndWait({ type: 'echo', payload: n })),
    )

    expect(results).toEqual(Array.from({ length: 300 }, (_, n) => n))
  })
})
