import { describe, expect, test } from 'vitest'
import { openKept } from '../../../src/persistence/sqlite/file/kept.ts'
import { verifyFile } from '../../../src/persistence/sqlite/verify/verify.ts'
import { aJob, openStore } from '../../support/store.ts'
import { whenDone } from '../../support/temp.ts'

type Options = Parameters<typeof openStore>[0]

/** A store whose first jobs have succeeded in one call, with the given results. */
async function succeeded(results: readonly string[], options: Options = {}) {
  const opened = await openStore(options)
  const { store, path, clock } = opened
  await store.enqueue(results.map((_, n) => aJob({ type: n % 2 === 0 ? 'work' : 'other' })))
  const jobs = await store.lease({ limit: results.length, wait: false, start: true })
  await store.apply(jobs.map(({ id, leaseToken }) => ({ id, leaseToken, event: 'succeed', result: results[id - 1]! })))
  // Its event is the newest, which stays.
  await store.enqueue([aJob()])
  const db = openKept(path)
  whenDone(() => db.close())
  return {
    ...opened,
    db,
    rows: () => db.prepare('SELECT job_id, length, result FROM job_results ORDER BY job_id').raw().all(),
    async pass(ms: number) {
      clock.advance(ms)
      for (let rounds = 0; rounds < 5; rounds++) await store.sweep()
    },
  }
}

describe('jobs that succeed together', () => {
  test('share a row of results, and one that has no neighbour with a result has its own', async () => {
    const { store, rows } = await succeeded(['1', '{"a":2}', '"three"'])
    const [job] = await store.lease({ limit: 1, wait: false, start: true })

    await store.apply([{ id: job!.id, leaseToken: job!.leaseToken, event: 'succeed', result: '[4]' }])

    expect(rows()).toEqual([
      [1, 3, '[1,{"a":2},"three"]'],
      [4, 1, '[4]'],
    ])
  })

  test('share rows of a bounded number of jobs, and of a bounded length', async () => {
    const short = await succeeded(Array.from({ length: 300 }, () => '7'))
    const long = await succeeded([1, 2, 3, 4].map((n) => JSON.stringify('x'.repeat(n * 1_000))))

    expect(short.rows().map((row) => (row as number[]).slice(0, 2))).toEqual([
      [1, 128],
      [129, 128],
      [257, 44],
    ])
    expect(long.rows().map((row) => (row as number[]).slice(0, 2))).toEqual([
      [1, 2],
      [3, 1],
      [4, 1],
    ])
  })

  test('have their results, and those beside them that have lost their leases have none', async () => {
    const { store, path } = await openStore()
    await store.enqueue(Array.from({ length: 6 }, () => aJob()))
    const jobs = await store.lease({ limit: 6, wait: false, start: true })
    await store.send('cancel', 1)
    // The lease token of this one differs from those of the others.
    for (const command of ['cancel', 'requeue'] as const) await store.send(command, 4)
    const again = await store.lease({ limit: 1, wait: false, start: true })
    await store.send('cancel', 4)

    const outcomes = [...jobs.filter(({ id }) => id !== 4), ...again].map(({ id, leaseToken }) => ({
      ...{ id, leaseToken, event: 'succeed' as const },
      result: `{"of":${id}}`,
    }))
    const refused = await store.apply(outcomes)

    expect(refused.map(({ id }) => id)).toEqual([1, 4])
    expect([...(await store.ended([1, 2, 3, 4, 5, 6]))].map(([, { result }]) => result)).toEqual([
      null,
      ...['{"of":2}', '{"of":3}'],
      null,
      ...['{"of":5}', '{"of":6}'],
    ])
    await store.close()
    expect(verifyFile(path).violations).toEqual([])
  })

  test('leave nothing of the results of those that retention removed first', async () => {
    const retention = { succeeded: { ms: 60_000 }, types: { other: { succeeded: { ms: 1_000 } } } }
    const { rows, pass, store, path } = await succeeded(
      Array.from({ length: 6 }, (_, n) => `{"secret":"${n + 1}"}`),
      { retention },
    )

    await pass(1_000)
    const left = rows()
    await pass(60_000)

    expect(left).toEqual([[1, 6, '[{"secret":"1"},null,{"secret":"3"},null,{"secret":"5"},null]']])
    expect(rows()).toEqual([])
    await store.close()
    expect(verifyFile(path).violations).toEqual([])
  })

  test('keep their results from being changed or removed by hand, except for those of jobs that are gone', async () => {
    const { db } = await succeeded(['1', '2', '3'])
    const refusal = (sql: string) => {
      try {
        db.exec(`BEGIN; ${sql}`)
        return null
      } catch (error) {
        return (error as Error).message
      } finally {
        db.exec('ROLLBACK')
      }
    }
    const [rewritten, goes] = [/a result is not rewritten/, /a result goes only after its job/]

    expect(refusal(`UPDATE job_results SET result = '[1,null,3]'`)).toMatch(rewritten)
    expect(refusal(`DELETE FROM jobs WHERE id = 1; DELETE FROM job_results`)).toMatch(goes)
    expect(refusal(`DELETE FROM jobs WHERE id = 2; UPDATE job_results SET result = '[null,null,3]'`)).toMatch(rewritten)
    expect(refusal(`DELETE FROM jobs WHERE id = 2; UPDATE job_results SET result = '[1,null,4]'`)).toMatch(rewritten)
    expect(refusal(`DELETE FROM jobs WHERE id = 2; UPDATE job_results SET result = '[1,null,3]', length = 2`)).toMatch(
      rewritten,
    )
    expect(refusal(`DELETE FROM jobs WHERE id = 2; UPDATE job_results SET result = '[1,null,3]'`)).toBeNull()
  })

  test('are removed also if the row of their results is damaged, and until then no other job has lost its own', async () => {
    const retention = { types: { other: { succeeded: { ms: 1_000 } } } }
    const { db, pass, store, rows } = await succeeded(['1', '2', '3'], { retention })
    const law = db.prepare(`SELECT sql FROM sqlite_schema WHERE name = 'job_results_are_final'`).pluck().get() as string
    db.exec(`DROP TRIGGER job_results_are_final; UPDATE job_results SET result = '[1,2'; ${law}`)

    await pass(1_000)

    const found = [...(await store.ended([1, 2, 3]))].map(([, { state, result }]) => [state, result])
    expect(found).toEqual([
      ['succeeded', '[1,2'],
      [null, null],
      ['succeeded', '[1,2'],
    ])
    expect(rows()).toEqual([[1, 3, '[1,2']])
  })

  test('that a damaged row has lost are unreadable, and not as if nothing had been returned', async () => {
    const { db, store, path } = await succeeded(['1', 'null', '3'])
    const law = db.prepare(`SELECT sql FROM sqlite_schema WHERE name = 'job_results_are_final'`).pluck().get() as string
    db.exec(`DROP TRIGGER job_results_are_final; UPDATE job_results SET result = '[1,null]'; ${law}`)

    const found = [...(await store.ended([1, 2, 3]))].map(([, { result }]) => result)

    expect(found).toEqual(['1', 'null', ''])
    await store.close()
    expect(verifyFile(path).violations).toMatchObject([
      { invariant: 'I1', jobId: 3, message: 'its result is not JSON' },
      { invariant: 'I1', jobId: 1 },
    ])
  })
})
