import { join } from 'node:path'
import Database from 'better-sqlite3'
import { describe, expect, test } from 'vitest'
import { openForReading, openForWriting } from '../../../src/persistence/sqlite/file/connection.ts'
import { openKept } from '../../../src/persistence/sqlite/file/kept.ts'
import { commitTogether, type Part } from '../../../src/persistence/sqlite/thread/group-commit.ts'
import { verifyFile } from '../../../src/persistence/sqlite/verify/verify.ts'
import { Writer } from '../../../src/persistence/sqlite/write/writer.ts'
import { aJob, openStore } from '../../support/store.ts'
import { tempFolder, whenDone } from '../../support/temp.ts'
import { newCalls } from '../../support/writer.ts'

function aFile() {
  const path = join(tempFolder(), 'jobs.db')
  const db = openForWriting(path, () => 'id', 0)
  whenDone(() => db.close())
  const options = { types: ['work'], leaseMs: 1, maxQueueDepth: 9_999, retentionMs: 0 }
  const writer = new Writer(db, options)
  const told: string[] = []
  return {
    db,
    path,
    writer,
    told,
    /** `more`: what joins while the transaction runs, one group for each request. */
    commit: (parts: readonly Part[], verify = () => {}, ...more: Part[][]) =>
      commitTogether(db, writer, [...parts], { now: () => 1 }, verify, () => more.shift() ?? []),
    /** A part that stores one job of that name; `then` runs after it in its transaction. */
    part: (queue: string, then: () => void = () => {}): Part => ({
      run(now) {
        writer.enqueue(newCalls([aJob({ queue })]), now)
        then()
      },
      done: () => told.push(`${queue} done`),
      failed: (error) => told.push(`${queue} failed: ${(error as Error).message}`),
    }),
    stored: () => db.prepare('SELECT queue FROM jobs ORDER BY id').pluck().all(),
    counted: () => db.prepare('SELECT coalesce(sum(n), 0) FROM edge_counts').pluck().get(),
  }
}

/** Throws each time it is called. */
function throwing(error: Error): () => never {
  return () => {
    throw error
  }
}

function failure(code: string): Error {
  return new Database.SqliteError('as SQLite says it', code)
}

describe('parts of one transaction', () => {
  test('are committed by one commit', () => {
    const { commit, part, told, path } = aFile()
    const other = openForReading(path)
    whenDone(() => other.close())
    const versions = new Set<unknown>([other.pragma('data_version', { simple: true })])
    const seen: unknown[] = []

    commit([part('first'), part('second')], () => {
      versions.add(other.pragma('data_version', { simple: true }))
      seen.push(other.prepare('SELECT count(*) FROM jobs').pluck().get(), [...told])
    })

    expect(versions.size).toBe(2)
    // On disk, but not reported yet.
    expect(seen).toEqual([2, []])
    expect(told).toEqual(['first done', 'second done'])
  })

  test('do not fail because of one that throws: the others are stored', () => {
    const { commit, part, told, stored, counted } = aFile()

    commit([part('first'), part('bad', throwing(new Error('no'))), part('last')])

    expect(told).toEqual(['first done', 'bad failed: no', 'last done'])
    expect(stored()).toEqual(['first', 'last'])
    expect(counted()).toBe(2)
  })

  test('do not fail because of one that throws together with them but not alone', () => {
    const { commit, part, told, stored, counted } = aFile()
    let runs = 0

    commit([
      part('first'),
      part('moody', () => {
        if (++runs === 1) throw new Error('no')
      }),
      part('last'),
    ])

    expect(told).toEqual(['first done', 'moody done', 'last done'])
    expect(stored()).toEqual(['first', 'moody', 'last'])
    expect(counted()).toBe(3)
  })

  test('do not fail because of one that the commit itself refuses', () => {
    const { commit, part, told, stored, db } = aFile()
    db.pragma('foreign_keys = ON')
    db.exec(`CREATE TABLE parent (id INTEGER PRIMARY KEY);
      CREATE TABLE child (id INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED)`)

    commit([part('first'), part('bad', () => void db.exec('INSERT INTO child VALUES (7)')), part('last')])

    expect(told).toEqual(['first done', 'bad failed: FOREIGN KEY constraint failed', 'last done'])
    expect(stored()).toEqual(['first', 'last'])
    expect(db.inTransaction).toBe(false)
  })

  test('do not fail because of one that finds the file full: it ends the transaction of all', () => {
    const { commit, part, told, stored, db, writer } = aFile()
    commit([part('before')])
    db.pragma(`max_page_count = ${(db.pragma('page_count', { simple: true }) as number) + 8}`)
    const large = aJob({ queue: 'large', payload: JSON.stringify('x'.repeat(200_000)) })

    commit([part('first'), part('bad', () => void writer.enqueue(newCalls([large]), 1)), part('last')])

    expect(told).toEqual(['before done', 'first done', 'bad failed: database or disk is full', 'last done'])
    expect(stored()).toEqual(['before', 'first', 'last'])
    expect(db.inTransaction).toBe(false)
  })

  test('are split if one of them combines several calls: only the bad call fails', () => {
    const { commit, part, told, stored } = aFile()
    const calls = [part('one'), part('two', throwing(new Error('no'))), part('three')]
    const gathered: Part = {
      run: (now) => calls.map((call) => call.run(now)),
      split: () => calls,
      done: () => told.push('gathered done'),
      failed: () => told.push('gathered failed'),
    }

    commit([gathered])

    expect(told).toEqual(['one done', 'two failed: no', 'three done'])
    expect(stored()).toEqual(['one', 'three'])
  })

  test('are not run again if there is only one: it has already failed alone', () => {
    const { commit, part, told } = aFile()
    let runs = 0

    commit([
      part('only', () => {
        runs++
        throw new Error('no')
      }),
    ])

    expect([told, runs]).toEqual([['only failed: no'], 1])
  })
})

describe('parts that join', () => {
  test('are in the same commit, for as long as more arrive', () => {
    const { commit, part, told, stored, path } = aFile()
    const other = openForReading(path)
    whenDone(() => other.close())
    const seen: unknown[] = []
    const verify = () => void seen.push(other.prepare('SELECT count(*) FROM jobs').pluck().get(), [...told])

    commit([part('first')], verify, [part('second'), part('third')], [part('last')])

    expect(seen).toEqual([4, []])
    expect(told).toEqual(['first done', 'second done', 'third done', 'last done'])
    expect(stored()).toEqual(['first', 'second', 'third', 'last'])
  })

  test('do not fail the earlier ones: each valid one is stored', () => {
    const { commit, part, told, stored, counted } = aFile()

    commit([part('first')], () => {}, [part('second')], [part('bad', throwing(new Error('no')))], [part('late')])

    expect(told).toEqual(['first done', 'second done', 'bad failed: no'])
    expect(stored()).toEqual(['first', 'second'])
    expect(counted()).toBe(2)
  })

  test('use no event id twice if they are rolled back and run again', () => {
    const { commit, part, db, path } = aFile()
    commit([part('before')])

    commit([part('first'), part('second')], () => {}, [part('bad', throwing(new Error('no')))])
    commit([part('after')])

    expect(db.prepare('SELECT id FROM job_events ORDER BY id').pluck().all()).toEqual([1, 2, 3, 4])
    expect(verifyFile(path).violations).toEqual([])
  })

  test('are not requested by parts that run alone', () => {
    const { commit, part, told } = aFile()
    const late = [part('late')]

    commit([part('first'), part('bad', throwing(new Error('no')))], () => {}, [], late)

    expect(told).toEqual(['first done', 'bad failed: no'])
  })
})

describe('nobody gets an answer', () => {
  test('if another process holds the file: nothing is stored, and all can be tried again', () => {
    const { commit, part, told, stored, path } = aFile()
    const other = openKept(path, { timeout: 0 })
    whenDone(() => other.close())
    const parts = [part('first'), part('second')]
    other.exec('BEGIN IMMEDIATE')

    expect(() => commit(parts)).toThrow(expect.objectContaining({ code: 'SQLITE_BUSY' }))
    const before = [...told]
    other.exec('ROLLBACK')
    commit(parts)

    expect([before, told]).toEqual([[], ['first done', 'second done']])
    expect(stored()).toEqual(['first', 'second'])
  })

  test('if the file turns out to be another one after the commit', () => {
    const { commit, part, told } = aFile()

    expect(() => commit([part('first'), part('second')], throwing(new Error('gone')))).toThrow('gone')
    expect(told).toEqual([])
  })

  test.each(['SQLITE_IOERR_FSYNC', 'SQLITE_IOERR_WRITE', 'SQLITE_CORRUPT', 'SQLITE_NOTADB'])(
    'if the storage fails (%s): nothing is tried again on that connection',
    (code) => {
      const { commit, part, told, stored, db } = aFile()
      let runs = 0
      const parts = [
        part('first', () => {
          runs++
        }),
        part('second', throwing(failure(code))),
      ]

      expect(() => commit(parts)).toThrow(expect.objectContaining({ code }))
      expect([told, runs, stored(), db.inTransaction]).toEqual([[], 1, [], false])
    },
  )

  test('for the rest if the storage fails while each runs alone', () => {
    const { commit, part, told, stored } = aFile()
    let runs = 0
    const failing = part('second', () => {
      throw ++runs === 1 ? new Error('no') : failure('SQLITE_IOERR_FSYNC')
    })

    expect(() => commit([part('first'), failing, part('third')])).toThrow(
      expect.objectContaining({ code: 'SQLITE_IOERR_FSYNC' }),
    )
    expect(told).toEqual(['first done'])
    expect(stored()).toEqual(['first'])
  })
})

test('a part that runs alone and is blocked by another process gets that error; those behind it are not delayed', () => {
  const { commit, part, told, stored, path } = aFile()
  const other = openKept(path, { timeout: 0 })
  whenDone(() => other.close())
  const first = part('first')
  const locked = part('locked')
  const lockFile: Part = {
    ...first,
    done() {
      first.done(null as never)
      other.exec('BEGIN IMMEDIATE')
    },
  }
  const failed: unknown[] = []
  const unlockFile: Part = {
    ...locked,
    failed(error) {
      failed.push(error)
      other.exec('ROLLBACK')
    },
  }

  commit([lockFile, unlockFile, part('bad', throwing(new Error('no'))), part('last')])

  expect(failed).toEqual([expect.objectContaining({ code: 'SQLITE_BUSY' })])
  expect(told).toEqual(['first done', 'bad failed: no', 'last done'])
  expect(stored()).toEqual(['first', 'last'])
})

describe('calls of a store', () => {
  test('are answered only after their commit: another connection sees the job when the promise resolves', async () => {
    const { store, path } = await openStore()
    const other = openForReading(path)
    whenDone(() => other.close())

    await store.enqueue([aJob()])

    expect(other.prepare('SELECT count(*) FROM jobs').pluck().get()).toBe(1)
  })

  test('made together share a commit', async () => {
    const { store, path } = await openStore()
    const other = openForReading(path)
    whenDone(() => other.close())
    const version = other.prepare('PRAGMA data_version').pluck()
    const versions = new Set<unknown>()
    const watching = setInterval(() => versions.add(version.get()), 1)
    whenDone(() => clearInterval(watching))

    await Promise.all(Array.from({ length: 500 }, () => store.enqueue([aJob()])))
    versions.add(version.get())

    expect(versions.size).toBeLessThan(20)
  })

  test('do not fail because of one that violates a rule of the table', async () => {
    const { store } = await openStore()

    const all = await Promise.allSettled([
      store.enqueue([aJob()]),
      store.enqueue([aJob(), aJob({ maxAttempts: 0 })]),
      store.enqueue([aJob()]),
      store.send('cancel', 1),
    ])

    expect(all.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled'])
    expect(all[1]).toMatchObject({ reason: { message: expect.stringMatching(/CHECK constraint failed/) } })
    expect((await store.list({ limit: 9 })).jobs).toHaveLength(2)
    expect(await store.enqueue([aJob()])).toMatchObject({ outcome: 'stored' })
  })
})
