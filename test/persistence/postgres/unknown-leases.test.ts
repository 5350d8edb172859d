import { describe, expect, test } from 'vitest'
import type { LeasedJob } from '../../../src/persistence/store.ts'
import { openPostgres, passLease } from '../../support/postgres.ts'
import { postgresMissing } from '../../support/postgres-server.ts'
import { aJob } from '../../support/store.ts'
import { leaseOf } from '../conformance/helpers.ts'

/** A store that holds a lease which nobody here knows. */
async function withUnknown() {
  const node = await openPostgres()
  const { store, line } = node
  await store.enqueue([aJob()])
  const [job] = await store.lease({ limit: 1, wait: false, start: true })
  const { prototype } = line.driver.Client
  const query = prototype.query as (...given: unknown[]) => Promise<unknown>
  prototype.query = async function (this: unknown, ...given: [{ text?: string }]) {
    const refused = Object.assign(new Error('the table is locked'), { code: '55P03' })
    if (!String(given[0]?.text).includes('SET lease_expires_at')) return query.apply(this, given)
    const callback = given.at(-1) as unknown as (error: Error) => void
    if (typeof callback !== 'function') throw refused
    callback(refused)
  } as never
  await expect(store.abandon([leaseOf(job!)])).rejects.toThrow('the table is locked')
  prototype.query = query as never
  return { ...node, job: job! }
}

describe.skipIf(postgresMissing)('a lease that its node holds in the database and does not know', () => {
  test('runs out, though its node lives', async () => {
    const { store, clock, job } = await withUnknown()

    await passLease(clock, store)
    await passLease(clock, store)

    const history = await store.history(job.id, { after: 3, limit: 9 })
    expect(history?.map(({ event }) => event)).toContain('expire')
    expect(await store.lease({ limit: 1, wait: false })).toMatchObject([{ id: job.id }])
  })

  test('is left alone while the answer to its claim is on its way', async () => {
    const { store, line, clock } = await openPostgres()
    await store.enqueue([aJob()])
    const { prototype } = line.driver.Client
    const query = prototype.query as (...given: unknown[]) => Promise<unknown>
    let answer = () => {}
    const isAnswered = new Promise<void>((resolve) => {
      answer = resolve
    })
    let isStored = false
    prototype.query = async function (this: unknown, ...given: [{ name?: string }]) {
      const rows = await query.apply(this, given)
      if (given[0]?.name !== 'step' || isStored) return rows
      isStored = true
      await isAnswered
      return rows
    } as never
    const leasing: Promise<readonly LeasedJob[]> = store.lease({ limit: 1, wait: false, start: true })
    await expect.poll(() => isStored).toBe(true)

    // Without the rest of a sweep, which waits for the writer.
    const swept = [store.sweep(), store.sweep(), store.sweep()]
    await Promise.race([Promise.all(swept), new Promise((resolve) => setTimeout(resolve, 100))])
    answer()
    const [job] = await leasing
    await Promise.all(swept)
    await passLease(clock, store)
    await passLease(clock, store)

    expect(await store.apply([{ ...leaseOf(job!), event: 'succeed' }])).toEqual([])
  })
})
