import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { aDatabase, openPostgres } from '../../support/postgres.ts'
import { postgresMissing } from '../../support/postgres-server.ts'
import { aJob } from '../../support/store.ts'
import { whenDone } from '../../support/temp.ts'

describe.skipIf(postgresMissing)('a tail that an open transaction holds back', () => {
  test('is looked at some times and then read as it is, by the next reader at once', async () => {
    const { store, line } = await openPostgres()
    const stranger = new pg.Client({ connectionString: await aDatabase() })
    await stranger.connect()
    whenDone(() => stranger.end())
    await stranger.query('BEGIN; SELECT pg_current_xact_id()')
    await store.enqueue([aJob()])
    const { prototype } = line.driver.Client
    const query = prototype.query as (...given: unknown[]) => unknown
    let looks = 0
    prototype.query = function (this: unknown, ...given: [{ text?: string }]) {
      if (String(given[0]?.text).includes('pg_snapshot_xmax')) looks++
      return query.apply(this, given)
    } as never

    await store.transitions({ after: 0, limit: 10 })
    const first = looks
    const { transitions } = await store.transitions({ after: 0, limit: 10 })
    const second = looks - first
    await stranger.query('COMMIT')

    expect(transitions).toEqual([])
    expect(first).toBeLessThan(25)
    expect(second).toBe(1)
    expect((await store.transitions({ after: 0, limit: 10 })).transitions).toHaveLength(1)
  })
})
