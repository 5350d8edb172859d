import { expect, test } from 'vitest'
import { retainSql } from '../../../src/persistence/postgres/functions.ts'
import { aConnection, openPostgres } from '../../support/postgres.ts'
import { postgresMissing } from '../../support/postgres-server.ts'
import { aJob } from '../../support/store.ts'
import { ids, leaseOf } from '../conformance/helpers.ts'

test.skipIf(postgresMissing)(
  'a key that is used again while retention removes its job leaves nothing behind',
  async () => {
    const { store, path } = await openPostgres()
    const job = aJob({ idempotency: { key: 'key', content: 'same' } })
    const [id] = ids(await store.enqueue([job]))
    const [lease] = await store.lease({ limit: 1, wait: false, start: true })
    await store.apply([{ ...leaseOf(lease!), event: 'succeed' }])
    const { finishedAt } = (await store.find(id!))!
    const retention = await aConnection({ schema: path })
    await retention.query('BEGIN')
    await retention.query(retainSql.replace(':ids', '$1').replace(':finishedAts', '$2'), [[id], [finishedAt]])
    let isAnswered = false

    const again = store.enqueue([job]).finally(() => {
      isAnswered = true
    })
    const other = await aConnection()
    const isWaiting = async () => (await other.query('SELECT 1 FROM pg_locks WHERE NOT granted')).rows.length > 0
    await expect.poll(async () => isAnswered || (await isWaiting())).toBe(true)
    await retention.query('COMMIT')
    await again

    expect((await store.verify()).violations).toEqual([])
  },
)
