import Database from 'better-sqlite3'
import { expect, test } from 'vitest'
import { aJob, openStore } from '../../support/store.ts'

test('a job that dies of a crash together with others, as in an edited file, gets an error that says so', async () => {
  const { store, path } = await openStore()
  await store.enqueue([aJob(), aJob()])
  await store.lease({ limit: 2, wait: false, start: true })
  const db = new Database(path)
  db.exec('UPDATE jobs SET crashes = 3 WHERE id = 1')
  db.close()

  await store.recoverOrphans()

  expect(await store.find(1)).toMatchObject({
    state: 'dead',
    error: {
      message:
        'the process ended while it ran, for the fourth time; 1 other ran beside it at that moment, but it ran at all 4 such ends, so it counts as the cause (correct its handler, then requeue it)',
    },
  })
})

test('a lease leaves out a payload of more than 8 KiB, however few its characters', async () => {
  const { store } = await openStore()
  const payloads = ['x'.repeat(8_190), 'x'.repeat(8_191), '€'.repeat(2_731)].map((text) => JSON.stringify(text))
  await store.enqueue(payloads.map((payload) => aJob({ payload })))

  const leased = await store.lease({ limit: 3, wait: true, start: true })

  expect(leased.map(({ payload }) => payload)).toEqual([payloads[0], null, null])
})
