import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { openForWriting } from '../../../src/persistence/sqlite/file/connection.ts'
import { Reader } from '../../../src/persistence/sqlite/read/reader.ts'
import { Writer } from '../../../src/persistence/sqlite/write/writer.ts'
import type { ListFilter, NewJobRow } from '../../../src/persistence/store.ts'
import { shareOf } from '../../support/share.ts'
import { aJob } from '../../support/store.ts'
import { tempFolder, whenDone } from '../../support/temp.ts'
import { newCalls } from '../../support/writer.ts'

/** See `rowsMax`, `searchedBytesMax` and `setBackMaxMs` in src/persistence/sqlite/read/walk.ts. */
const rowsMax = 20_000
const searchedBytesMax = 16_777_216
const setBackMaxMs = 600_000
const largestPayload = 262_144

/** A file, a writer whose time the test sets, and lists read page by page. */
function aFile() {
  const db = openForWriting(join(tempFolder(), 'jobs.db'), () => 'id', 0)
  whenDone(() => db.close())
  // What is stored here need not survive a power cut.
  db.pragma('synchronous = OFF')
  const writer = new Writer(db, {
    types: ['work'],
    leaseMs: 1,
    maxQueueDepth: 1_000_000,
    retentionMs: 0,
  })
  const reader = new Reader(db)
  const createdAt: number[] = []
  return {
    db,
    reader,
    /** When each job was created, by its id less one. */
    createdAt,
    store(jobs: readonly NewJobRow[], now = 0): void {
      db.exec('BEGIN IMMEDIATE')
      writer.begin()
      writer.enqueue(newCalls(jobs), now)
      writer.finish()
      db.exec('COMMIT')
      for (const _ of jobs) createdAt.push(now)
    },
    /** Jobs of the type `filler`, without a history or a payload: many at once. */
    fill(count: number): void {
      db.exec('DROP TRIGGER IF EXISTS jobs_have_events')
      db.prepare(`
        WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)
        INSERT INTO jobs (type, queue, state, seq, priority, attempt, max_attempts, run_at, created_at)
          SELECT 'filler', 'default', 'queued', 1, 0, 0, 1, 0, 0 FROM numbers`).run(count)
    },
    /** Every page of a list: the ids on it. */
    async pages(filter: Partial<ListFilter>): Promise<number[][]> {
      const pages: number[][] = []
      for (let before: number | null | undefined; before !== null; ) {
        const { jobs, next } = await reader.list({ limit: 500, ...filter, ...(before === undefined ? {} : { before }) })
        pages.push(jobs.map(({ id }) => id))
        before = next
      }
      return pages
    },
    /** The same of the ids alone, a stretch of the walk at a time. */
    stretches(filter: Partial<ListFilter>): (readonly number[])[] {
      const stretches: (readonly number[])[] = []
      for (let before: number | null | undefined; before !== null; ) {
        const given = { command: 'cancel', limit: 500, ...filter, ...(before === undefined ? {} : { before }) } as const
        const { ids, next } = reader.matching(given)
        stretches.push(ids)
        before = next
      }
      return stretches
    },
    idsCreated(from: number, to: number): number[] {
      return createdAt.flatMap((at, index) => (at >= from && at < to ? [index + 1] : [])).reverse()
    },
  }
}

const jobsOf = (count: number, payload = '{}') => Array.from({ length: count }, () => aJob({ payload }))

describe('one job behind many others', () => {
  const many = 3 * rowsMax

  test('is found by one request, by each filter and by all of them', async () => {
    const { reader, store, fill } = aFile()
    store([
      aJob(),
      aJob({ type: 'rare' }),
      aJob({ queue: 'rare' }),
      aJob({ delayMs: 60_000 }),
      aJob({ type: 'one', queue: 'one', delayMs: 60_000, payload: '"hay"' }),
      aJob({ payload: '"needle"' }),
    ])
    fill(many)
    const found = async (filter: Partial<ListFilter>) => {
      const { jobs } = await reader.list({ ...filter, limit: 50 })
      return jobs.map(({ id }) => id)
    }

    expect(await found({ type: 'rare' })).toEqual([2])
    expect(await found({ queue: 'rare' })).toEqual([3])
    expect(await found({ state: 'scheduled' })).toEqual([5, 4])
    expect(await found({ type: 'one', queue: 'one', state: 'scheduled', text: 'hay' })).toEqual([5])
    expect(await found({ text: 'needle' })).toEqual([6])
    expect(await reader.list({ type: 'nobody', limit: 50 })).toEqual({ jobs: [], next: null })
  })

  test('is not searched for in a state that no job is in', async () => {
    const { db, reader, store, fill } = aFile()
    store([aJob()])
    fill(many)
    const statements: string[] = []
    const prepare = db.prepare.bind(db)
    db.prepare = ((sql: string) => {
      statements.push(sql)
      return prepare(sql)
    }) as typeof db.prepare

    const page = await reader.list({ state: 'dead', limit: 50 })

    expect(page).toEqual({ jobs: [], next: null })
    // The walk prepares its statements when it begins.
    expect(statements).toEqual([])
  })

  test('is found behind ids that retention removed, without reading each of them', async () => {
    const { db, reader, store } = aFile()
    store([aJob({ type: 'rare' })])
    db.exec('UPDATE sqlite_sequence SET seq = 1e15')
    store(jobsOf(10))

    expect(await reader.list({ type: 'rare', limit: 50 })).toMatchObject({ jobs: [{ id: 1 }] })
  })

  test('lets other reads run in between', async () => {
    const { reader, store, fill } = aFile()
    store([aJob({ type: 'rare' })])
    fill(many)
    store([aJob()])
    const answered: string[] = []
    const rare = reader.list({ type: 'rare', limit: 50 }).then(() => answered.push('rare'))

    await reader.list({ type: 'work', limit: 50 }).then(() => answered.push('work'))
    await rare

    expect(answered).toEqual(['work', 'rare'])
  })

  test('is not searched for without a limit: a search that found nothing says how far it has come', async () => {
    const { db, reader, store, fill } = aFile()
    store([aJob({ payload: '"needle"' })])
    fill(50)
    // As if all others had been removed.
    db.exec(`DROP TRIGGER jobs_take_edges; UPDATE jobs SET id = (id - 1) * ${rowsMax} + 1 WHERE id > 1`)

    const { jobs, next } = await reader.list({ text: 'needle', limit: 50 })

    expect([jobs, next]).toEqual([[], 2])
    expect(await reader.list({ text: 'needle', limit: 50, before: next! })).toMatchObject({ jobs: [{ id: 1 }] })
  })
})

describe('a search', () => {
  test('reads at most 20,000 jobs per step, and misses or repeats none on its way to the end', async () => {
    const { store, pages, stretches } = aFile()
    const count = 2 * rowsMax + 5_000
    store(Array.from({ length: count }, (_, index) => aJob({ payload: index % 999 === 0 ? '"a needle"' : `${index}` })))
    const needles = Array.from({ length: count }, (_, index) => index + 1).filter((id) => (id - 1) % 999 === 0)

    const inFull = await pages({ text: 'NEEDLE' })
    const bySeven = await pages({ text: 'NEEDLE', limit: 7 })

    expect(inFull).toHaveLength(3)
    expect(inFull.flat()).toEqual([...needles].reverse())
    expect(bySeven.flat()).toEqual([...needles].reverse())
    expect(stretches({ text: 'nowhere' })).toEqual([[], [], []])
  })

  test('reads no further step once it is told to stop', async () => {
    const { fill, reader } = aFile()
    fill(3 * rowsMax)

    const search = reader.list({ text: 'nowhere', limit: 1 }, AbortSignal.abort(new Error('gone')))

    await expect(search).rejects.toThrow('gone')
  })

  test('reads at most some tens of megabytes of payloads per step', async () => {
    const { store, stretches } = aFile()
    const count = shareOf({ share: 150, whole: 300 })
    for (let i = 0; i < count; i += 50) store(jobsOf(50, JSON.stringify('x'.repeat(largestPayload - 2))))

    const requests = stretches({ text: 'nowhere' })

    // A step of 64 jobs may pass the bound.
    const mostAtOnce = searchedBytesMax + 64 * largestPayload
    expect(requests.length).toBeGreaterThanOrEqual(Math.ceil((count * largestPayload) / mostAtOnce))
    expect(requests.flat()).toEqual([])
  })

  test('reads no payload of a job that the other filters exclude', async () => {
    const { store, pages } = aFile()
    store([aJob({ type: 'other', payload: '"a needle"' })])
    for (let i = 0; i < 4; i++) store(jobsOf(50, JSON.stringify(`needle${'x'.repeat(largestPayload - 8)}`)))

    expect(await pages({ text: 'needle', type: 'other' })).toEqual([[1]])
  })
})

describe('a span of time', () => {
  const minute = 60_000

  test('is reached directly, however deep it is, and left for good', async () => {
    const { store, stretches, idsCreated } = aFile()
    for (let i = 0; i < 100; i++) store(jobsOf(1_000), i * minute)

    const pagesOfSpan = stretches({ createdFrom: 20 * minute, createdTo: 22 * minute })

    expect(pagesOfSpan.flat()).toEqual(idsCreated(20 * minute, 22 * minute))
    // Jobs within ten minutes of it are examined; the whole file would take six stretches.
    expect(pagesOfSpan.filter((page) => page.length === 0).length).toBeLessThanOrEqual(2)
    expect(stretches({ createdFrom: 99 * minute }).slice(2)).toEqual([[], []])
  })

  test('ends where it begins: older jobs are not read', async () => {
    const { store, stretches } = aFile()
    for (let i = 0; i < 6; i++) store(jobsOf(rowsMax / 2), i * 60 * minute)

    expect(stretches({ createdFrom: 6 * 60 * minute })).toEqual([[]])
  })

  test('includes its first instant and excludes its last', async () => {
    const { store, pages } = aFile()
    for (const at of [10, 11, 12, 13]) store([aJob()], at)

    expect(await pages({ createdFrom: 11, createdTo: 13 })).toEqual([[3, 2]])
    expect(await pages({ createdFrom: 13 })).toEqual([[4]])
    expect(await pages({ createdTo: 11 })).toEqual([[1]])
    expect(await pages({ createdFrom: 12, createdTo: 11 })).toEqual([[]])
  })

  test('hides nothing if the clock was set back by ten minutes', async () => {
    const { store, pages, idsCreated } = aFile()
    const setBackTo = 100 * minute
    for (let i = 0; i < 30; i++) store(jobsOf(1_000), i * 3 * minute)
    for (let i = 0; i < 20; i++) store(jobsOf(1_000), setBackTo + setBackMaxMs)
    for (let i = 0; i < 30; i++) store(jobsOf(1_000), setBackTo + i * minute)

    const stepMs = shareOf({ share: 21, whole: 7 }) * minute
    for (let from = 0; from < setBackTo + 30 * minute; from += stepMs) {
      const to = from + 2 * minute
      expect((await pages({ createdFrom: from, createdTo: to })).flat()).toEqual(idsCreated(from, to))
    }
    expect((await pages({ createdTo: setBackTo + 1 })).flat()).toEqual(idsCreated(0, setBackTo + 1))
  })

  test.each([
    ['in 1970', 0],
    ['in 2100', Date.UTC(2100, 0, 1)],
  ])('hides nothing if every third job was stored by a clock that was %s', async (_, wrong) => {
    const { store, pages, idsCreated } = aFile()
    const start = Date.UTC(2030, 0, 1)
    const pace = 5 * minute
    for (let i = 0; i < 400; i++) {
      store(jobsOf(100), start + i * pace)
      store(jobsOf(50), wrong)
    }

    const spans = [3, 120, 250, 390].map((i) => [start + i * pace, start + (i + 2) * pace] as const)

    for (const [from, to] of spans) {
      expect((await pages({ createdFrom: from, createdTo: to })).flat()).toEqual(idsCreated(from, to))
    }
  })
})
