import { describe, expect, test } from 'vitest'
import { pgbouncer, pgbouncerMissing } from '../../support/pgbouncer.ts'
import { openPostgres } from '../../support/postgres.ts'
import { postgresMissing } from '../../support/postgres-server.ts'
import { aJob } from '../../support/store.ts'
import { ids, leaseOf } from '../conformance/helpers.ts'

const missing = postgresMissing ?? pgbouncerMissing

if (missing) describe('PgBouncer', () => test.skip(missing, () => {}))
else
  describe('PgBouncer', () => {
    test.each([
      ['transaction', {}],
      ['transaction', { server_round_robin: 1 }],
      ['transaction', { default_pool_size: 1 }],
      ['statement', {}],
    ])('in %s mode is refused at the start, with what to do (%j)', async (mode, more) => {
      const connectionString = await pgbouncer({ pool_mode: mode, ...more })

      const refusal = await openPostgres({ connectionString }).catch((error) => error)

      expect(refusal).toMatchObject({
        code: 'database_unusable',
        message: expect.stringMatching(
          /pooler in transaction mode .*connect to the server itself, or set pool_mode to session/,
        ),
      })
    })

    test('in transaction mode is refused where the schema exists too, as on every later start', async () => {
      const { path } = await openPostgres()
      const connectionString = await pgbouncer({ pool_mode: 'transaction' })

      for (let start = 0; start < 3; start++)
        await expect(openPostgres({ connectionString, path })).rejects.toMatchObject({ code: 'database_unusable' })
    })

    test('in session mode is as good as the server itself', async () => {
      const connectionString = await pgbouncer({ pool_mode: 'session' })
      const { store, path, notices } = await openPostgres({ connectionString, leaseMs: 3 * 3_600_000 })
      const other = await openPostgres({ connectionString, path })
      const waiting = other.store.lease({ limit: 1, wait: true, start: true })

      const [id] = ids(await store.enqueue([aJob({ idempotency: { key: 'k', content: 'c' } })]))
      const [job] = await waiting
      await other.store.apply([{ ...leaseOf(job!), event: 'succeed' }])

      expect(job!.id).toBe(id)
      expect(await store.find(id!)).toMatchObject({ state: 'succeeded' })
      const [again] = ids(await store.enqueue([aJob()]))
      const [held] = await store.lease({ limit: 1, wait: false, start: true })
      await other.store.send('cancel', again!)
      // By NOTIFY: no renewal comes in time.
      await expect
        .poll(() => notices)
        .toContainEqual({ type: 'lost', leases: [{ ...leaseOf(held!), cancelled: false }] })
      expect((await store.verify()).violations).toEqual([])
    })
  })
