import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { verifyFile } from '../../../src/persistence/sqlite/verify/verify.ts'
import { Writer } from '../../../src/persistence/sqlite/write/writer.ts'
import type { LeaseEvent, NewJobRow } from '../../../src/persistence/store.ts'
import { aJob, openStore } from '../../support/store.ts'
import { until } from '../../support/system.ts'
import { tempFolder } from '../../support/temp.ts'
import { leasesOf, newCalls, openWriter, setsOf } from '../../support/writer.ts'

const keepMs = 1_000
/** See `walkMax` in src/persistence/sqlite/write/retention.ts. */
const batch = 1_000

function aFile(path?: string) {
  const { path: file, db, commit } = openWriter({ retentionMs: keepMs }, path)
  const ids = () => db.prepare('SELECT id FROM jobs ORDER BY id').pluck().all() as number[]
  return {
    db,
    path: file,
    ids,
    store: (count: number, now: number, job: NewJobRow = aJob()) =>
      void commit((writer) => writer.enqueue(newCalls(Array.from({ length: count }, () => job)), now)),
    /** Runs all waiting jobs until they take `end`. */
    finish(end: LeaseEvent['event'], now: number): void {
      for (;;) {
        const { jobs } = commit((writer) => writer.lease([{ limit: batch, start: false }], now))
        if (jobs.length === 0) return
        for (const event of ['start', end] as const) {
          commit((writer) => writer.apply(setsOf(event, leasesOf(jobs)), now))
        }
      }
    },
    /** One step of the walk: how many jobs it removed, and whether there is more to walk. */
    walk(now: number): { removed: number; goesOn: boolean } {
      const before = ids().length
      const goesOn = commit((writer) => writer.retain(now))
      return { removed: before - ids().length, goesOn }
    },
  }
}

/** Walks to the end. */
function walkThrough({ walk }: ReturnType<typeof aFile>, now: number): number[] {
  const removed: number[] = []
  for (let goesOn = true; goesOn; ) {
    const step = walk(now)
    removed.push(step.removed)
    goesOn = step.goesOn
  }
  return removed
}

describe('retention', () => {
  test('removes a bounded number in a transaction, and all in the end', () => {
    const file = aFile()
    const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
    file.store(2_500, 0, aJob({ trace: { traceparent, tracestate: null } }))
    file.finish('succeed', 0)
    file.store(1, 0)

    const removed = walkThrough(file, keepMs)

    expect(removed).toEqual([1_000, 1_000, 500])
    expect(file.ids()).toEqual([2_501])
    expect(verifyFile(file.path).violations).toEqual([])
  })

  test('removes one job before it first asks whether it may go on, because it may have much', () => {
    const { db, commit } = openWriter({ retentionMs: keepMs })
    commit((writer) => writer.enqueue(newCalls(Array.from({ length: 500 }, () => aJob())), 0))
    commit((writer) =>
      writer.command(
        'cancel',
        Array.from({ length: 499 }, (_, index) => index + 1),
        undefined,
        0,
      ),
    )
    const left = () => db.prepare('SELECT count(*) FROM jobs').pluck().get()
    let asked = 0

    commit((writer) => writer.retain(keepMs, () => false))
    expect(left()).toBe(499)
    commit((writer) => writer.retain(keepMs, () => asked++ < 3))
    expect(left()).toBe(499 - 1 - 2 - 4 - 8)
  })

  test('removes one job first too if many that stay come before it', () => {
    const { db, commit } = openWriter({ retentionMs: keepMs })
    commit((writer) => writer.enqueue(newCalls(Array.from({ length: 800 }, () => aJob())), 0))
    const ended = Array.from({ length: 400 }, (_, index) => index + 301)
    commit((writer) => writer.command('cancel', ended, undefined, 0))
    const left = () => db.prepare('SELECT count(*) FROM jobs').pluck().get()
    let asked = 0

    // Three pieces of a hundred have nothing to remove.
    commit((writer) => writer.retain(keepMs, () => asked++ < 3))
    expect(left()).toBe(799)
  })

  test('of dead jobs opens the law for them alone, and closes it again', () => {
    const { db, commit } = openWriter({ retention: { dead: { ms: keepMs } } })
    const take = (end: LeaseEvent['event']) => {
      commit((writer) => writer.enqueue(newCalls([aJob()]), 0))
      const { jobs } = commit((writer) => writer.lease([{ limit: 1, start: true }], 0))
      commit((writer) => writer.apply(setsOf(end, leasesOf(jobs)), 0))
    }
    take('reject')
    take('succeed')
    expect(() => db.exec('DELETE FROM jobs WHERE id = 1')).toThrow('and dead ones by their retention')

    commit((writer) => writer.retain(keepMs))

    expect(db.prepare('SELECT id, state FROM jobs').all()).toEqual([{ id: 2, state: 'succeeded' }])
    expect(db.prepare(`SELECT count(*) FROM meta WHERE name = 'removable'`).pluck().get()).toBe(0)
  })

  test('walks past any number of jobs that are kept', () => {
    const file = aFile()
    file.store(1_500, 0)
    file.finish('reject', 0)
    file.store(300, 0)
    file.finish('succeed', 0)
    file.store(1, 0)

    walkThrough(file, keepMs)

    expect(file.ids()).toHaveLength(1_500 + 1)
    expect(verifyFile(file.path).violations).toEqual([])
  })

  test('walks past jobs that were stored while the clock was wrong', () => {
    const file = aFile()
    const later = 365 * 86_400_000
    file.store(1, later)
    file.store(1_200, 0)
    file.finish('reject', 0)
    file.store(900, 0)
    file.finish('succeed', 0)
    file.store(1, 0)

    walkThrough(file, keepMs)

    expect(file.ids()).toHaveLength(1 + 1_200 + 1)
  })

  test('ends its walk where jobs are too young, however many there are', () => {
    const file = aFile()
    file.store(10, 0)
    file.finish('succeed', 0)
    file.store(5_000, keepMs)

    const steps = walkThrough(file, keepMs)

    expect(steps.length).toBeLessThanOrEqual(2)
  })

  test('starts again at the lowest id, if jobs have become old enough since', () => {
    const file = aFile()
    file.store(1, 0)
    file.finish('succeed', 500)
    file.store(1, 600)
    const early = walkThrough(file, keepMs)

    const late = walkThrough(file, 500 + keepMs)

    expect([early, late]).toEqual([[0], [1]])
  })

  test('forgets nothing if its transaction was rolled back', () => {
    const file = aFile()
    file.store(1_500, 0)
    file.finish('succeed', 0)
    file.store(1, 0)
    const writer = new Writer(file.db, {
      types: [],
      leaseMs: 1,
      maxQueueDepth: 1,
      retentionMs: keepMs,
    })
    const step = (end: string) => {
      file.db.exec('BEGIN IMMEDIATE')
      writer.begin()
      const goesOn = writer.retain(keepMs)
      writer.finish()
      file.db.exec(end)
      return goesOn
    }

    step('ROLLBACK')
    for (let walks = 0; walks < 2; walks++) while (step('COMMIT'));

    expect(file.ids()).toEqual([1_501])
    expect(verifyFile(file.path).violations).toEqual([])
  })

  test('never allows a job id or event id to be reused, even if the newest were removed', () => {
    const path = join(tempFolder(), 'jobs.db')
    const first = aFile(path)
    first.store(5, 0)
    first.finish('succeed', 0)
    walkThrough(first, keepMs)
    const newestEvent = first.db.prepare('SELECT max(id) FROM job_events').pluck().get() as number

    const second = aFile(path)
    second.store(1, keepMs)

    expect(newestEvent).toBe(20)
    expect(second.ids().at(-1)).toBe(6)
    expect(second.db.prepare('SELECT id FROM job_events WHERE job_id = 6').pluck().get()).toBe(21)
  })

  test('continues by itself, batch by batch, as time passes', async () => {
    const { path, store: prepare, finish, db } = aFile()
    prepare(2_500, 0)
    finish('succeed', 0)
    prepare(1, 0)
    db.close()
    const { store, clock } = await openStore({ path, retentionMs: keepMs })

    await until(async () => {
      clock.advance(100)
      return (await store.find(2_500)) === undefined
    })

    expect((await store.list({ limit: 9 })).jobs.map(({ id }) => id)).toEqual([2_501])
  })

  test('is off at 0', async () => {
    const { store, clock } = await openStore({ retentionMs: 0 })
    await store.enqueue([aJob(), aJob()])
    await store.send('cancel', 1)

    clock.advance(365 * 86_400_000)
    await store.sweep()

    expect((await store.find(1))?.state).toBe('cancelled')
  })
})
