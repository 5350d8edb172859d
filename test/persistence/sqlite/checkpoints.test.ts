import { openSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { makeFile, openForWriting } from '../../../src/persistence/sqlite/file/connection.ts'
import { FileGuard } from '../../../src/persistence/sqlite/file/file-guard.ts'
import { Checkpoints } from '../../../src/persistence/sqlite/thread/checkpoints.ts'
import { aJob, openStore, startAt } from '../../support/store.ts'
import { tempFolder } from '../../support/temp.ts'

const descriptors = new Map<string, number>()

/**
 * How many pages the log has, and how many of them are in the database too: https://sqlite.org/walformat.html#walidxfmt. The index stays
 * open: closing it would drop the locks of this process on it.
 */
function pagesOf(path: string): { log: number; moved: number } {
  const index = descriptors.get(path) ?? openSync(`${path}-shm`, 'r')
  descriptors.set(path, index)
  const header = new DataView(new ArrayBuffer(100))
  readSync(index, header, 0, 100, 0)
  return { log: header.getUint32(16, true), moved: header.getUint32(96, true) }
}

function openLog() {
  const path = join(tempFolder(), 'jobs.db')
  makeFile(path)
  const db = openForWriting(path, () => 'id', startAt)
  const guard = new FileGuard(path, null)
  const checkpoints = new Checkpoints(db, guard)
  const note = db.prepare(`INSERT INTO meta (name, value) VALUES (?, ?)`)
  let notes = 0
  /** Makes the log at least that long, by one commit. */
  const fill = (pages: number) => {
    db.exec('BEGIN IMMEDIATE')
    for (let left = pages - pagesOf(path).log; left > 0; left--) note.run(`note ${notes++}`, 'x'.repeat(3_000))
    db.exec('COMMIT')
  }
  return { path, db, guard, checkpoints, fill }
}

test('a store moves its log into the database once no call comes', async () => {
  const { store, path } = await openStore()

  const payload = JSON.stringify('x'.repeat(4_000))
  await store.enqueue(Array.from({ length: 300 }, () => aJob({ payload })))

  await vi.waitFor(() => {
    const { log, moved } = pagesOf(path)
    expect([log > 250, moved]).toEqual([true, log])
  })
})

test('in a pause a short log stays, and one that was looked at is looked at again only after a commit', () => {
  const { path, db, checkpoints, fill } = openLog()
  fill(60)
  checkpoints.afterCommit()

  checkpoints.inPause()
  expect(pagesOf(path).moved).toBe(0)

  fill(300)
  checkpoints.inPause()
  expect(pagesOf(path).moved).toBe(0)

  checkpoints.afterCommit()
  checkpoints.inPause()
  expect(pagesOf(path).moved).toBe(pagesOf(path).log)
  db.close()
})

test('without a pause the log is moved only shortly before a COMMIT would do it', () => {
  const { path, db, checkpoints, fill } = openLog()
  const commitOften = () => {
    for (let n = 0; n < 8; n++) checkpoints.afterCommit()
  }

  fill(1_000)
  commitOften()
  expect(pagesOf(path).moved).toBe(0)

  fill(1_500)
  commitOften()
  expect(pagesOf(path).moved).toBe(pagesOf(path).log)
  db.close()
})

test('a reader that needs the log keeps it, and nothing fails', () => {
  const { path, db, checkpoints, fill } = openLog()
  fill(10)
  const reader = openForWriting(path, () => 'id', startAt)
  reader.exec('BEGIN')
  reader.prepare('SELECT * FROM meta').all()
  fill(300)
  checkpoints.afterCommit()

  checkpoints.inPause()

  const { log, moved } = pagesOf(path)
  expect(moved).toBeLessThan(log)
  reader.exec('COMMIT')
  reader.close()
  db.close()
})

test('files that are not what they were are not written by a checkpoint', () => {
  const { db, guard, fill } = openLog()
  fill(300)
  const lost = new Error('the file is lost')
  const checkpoints = new Checkpoints(db, {
    logPages: guard.logPages,
    check: () => {
      throw lost
    },
  })
  checkpoints.afterCommit()

  expect(() => checkpoints.inPause()).toThrow(lost)
  db.close()
})
