import { setTimeout } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { openPostgres } from '../../support/postgres.ts'
import { postgresMissing } from '../../support/postgres-server.ts'
import { aJob } from '../../support/store.ts'

describe.skipIf(postgresMissing)('leasing ahead', () => {
  test('covers the time of three calls, so that a slow server does not make calls small, but at most 100 ms', async () => {
    const { store, line } = await openPostgres()
    const { prototype } = line.driver.Client
    const query = prototype.query as (...given: unknown[]) => Promise<unknown>
    prototype.query = async function (this: unknown, ...given: [{ name?: string }]) {
      const answer = await query.apply(this, given)
      if (given[0].name === 'step') await setTimeout(40)
      return answer
    } as never
    const before = store.prefetch.withinMs

    for (let call = 0; call < 20; call++) await store.enqueue([aJob()])

    expect([before, store.prefetch.withinMs]).toEqual([20, 100])
  })
})
