import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { openForReading, openForWriting } from '../../../src/persistence/sqlite/file/connection.ts'
import { Writer } from '../../../src/persistence/sqlite/write/writer.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { isWhole } from '../../support/share.ts'
import { aJob, openStore } from '../../support/store.ts'
import { onThreads, startHere } from '../../support/store-here.ts'
import { until } from '../../support/system.ts'
import { tempFolder, whenDone } from '../../support/temp.ts'
import { newCalls } from '../../support/writer.ts'

onThreads()

/** A file in which a server without the handlers has set aside that many jobs of each type. */
async function fileWithParked(count: number, ...types: string[]): Promise<string> {
  const path = join(tempFolder(), 'jobs.db')
  const db = openForWriting(path, () => 'id', 0)
  const options = { types: [], leaseMs: 1, maxQueueDepth: 1_000_000, retentionMs: 0 }
  const writer = new Writer(db, options)
  const commit = <T>(run: () => T): T => {
    db.exec('BEGIN')
    writer.begin()
    const result = run()
    writer.finish()
    db.exec('COMMIT')
    return result
  }
  for (const type of types) {
    commit(() => writer.enqueue(newCalls(Array.from({ length: count }, () => aJob({ type }))), 0))
  }
  while (commit(() => writer.lease([{ limit: 1, start: false }], 0)).more);
  db.close()
  return path
}

/** Counts the jobs that are put aside, from outside. */
function parkedIn(path: string): () => number {
  const db = openForReading(path)
  whenDone(() => db.close())
  const count = db.prepare('SELECT count(*) FROM jobs WHERE parked = 1').pluck()
  return () => count.get() as number
}

describe('jobs that a server without their handler set aside', () => {
  test('run when a process with a handler opens the file', async () => {
    const path = await fileWithParked(3, 'rare')

    const { store } = await openStore({ path, types: ['rare'] })

    expect(await store.lease({ limit: 5, wait: true })).toHaveLength(3)
  })

  test('stay aside while no process has one, and do not delay other jobs', async () => {
    const path = await fileWithParked(3, 'rare', 'work')

    const { store, notices } = await openStore({ path, types: ['work'] })
    const leased = await store.lease({ limit: 9, wait: true })

    expect(leased.map(({ type }) => type)).toEqual(['work', 'work', 'work'])
    expect(parkedIn(path)()).toBe(3)
    // The process that set them aside reported them.
    expect(notices).toEqual([])
  })

  test('are left aside by a producer, which runs nothing', async () => {
    const path = await fileWithParked(3, 'work')

    const { store } = await openStore({ path, owner: null })
    await store.enqueue([aJob()])

    expect(parkedIn(path)()).toBe(3)
  })

  test('can be cancelled, and requeued to a place where they are checked again', async () => {
    const path = await fileWithParked(2, 'rare')
    const { store } = await openStore({ path, types: ['work'] })

    await store.send('cancel', 1)
    await store.send('requeue', 1)
    await store.lease({ limit: 1, wait: false })

    expect(await store.find(1)).toMatchObject({ state: 'queued' })
    expect(parkedIn(path)()).toBe(2)
  })

  test.runIf(isWhole)('delay no call, however many they are: they come back in between', async () => {
    const path = await fileWithParked(100_000, 'rare')
    const parked = parkedIn(path)

    // On this thread, so that steps and calls take turns however fast the machine is.
    const { store } = await openStore(
      { path, types: ['rare'], maxQueueDepth: 1_000_000, clock: systemClock as never },
      startHere,
    )
    await store.enqueue([aJob({ type: 'rare', priority: 9 })])
    const [first] = await store.lease({ limit: 1, wait: true })
    const leftThen = parked()
    await until(() => parked() === 0)

    expect(first).toMatchObject({ id: 100_001 })
    expect(leftThen).toBeGreaterThan(50_000)
  })
})
