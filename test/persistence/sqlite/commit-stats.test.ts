import { statSync } from 'node:fs'
import { expect, test } from 'vitest'
import { aJob, leaseMs, openStore } from '../../support/store.ts'

test('the store measures each commit that wrote an event: how long it took, and how many events it wrote', async () => {
  const { store } = await openStore()

  await store.enqueue([aJob(), aJob(), aJob()])
  const [job] = await store.lease({ limit: 1, wait: false })
  await store.apply([{ ...job!, event: 'start' }])
  await store.apply([{ ...job!, event: 'succeed' }])

  const { durationMs, events } = store.commitStats()
  expect([events.count, events.sum]).toEqual([4, 6])
  expect(durationMs.count).toBe(4)
  expect(durationMs.sum).toBeGreaterThan(0)
  expect(durationMs.sum).toBeLessThan(10_000)
})

test('a commit that wrote no event does not count', async () => {
  const { store, clock } = await openStore()
  await store.enqueue([aJob()])
  await store.lease({ limit: 1, wait: false })
  const before = store.commitStats()

  await store.lease({ limit: 1, wait: false })
  clock.advance(leaseMs / 2)
  await store.sweep()
  await store.send('cancel', 99)

  expect(store.commitStats()).toEqual(before)
})

test('a producer measures its commits too', async () => {
  const { store } = await openStore({ owner: null })

  await store.enqueue([aJob()])

  expect(store.commitStats().events).toMatchObject({ count: 1, sum: 1 })
})

test('the store reports the size of its files', async () => {
  const { store, path } = await openStore()
  await store.enqueue([aJob()])

  const { database, wal } = await store.fileSizes()

  expect([database, wal]).toEqual([statSync(path).size, statSync(`${path}-wal`).size])
  expect(wal).toBeGreaterThan(0)
})
