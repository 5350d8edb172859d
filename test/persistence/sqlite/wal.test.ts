import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { DatabaseUnusableError } from '../../../src/errors.ts'
import { openForWriting } from '../../../src/persistence/sqlite/file/connection.ts'
import { openKept } from '../../../src/persistence/sqlite/file/kept.ts'
import { assertWalWhole } from '../../../src/persistence/sqlite/file/wal.ts'
import { verifyFile } from '../../../src/persistence/sqlite/verify/verify.ts'
import { Writer } from '../../../src/persistence/sqlite/write/writer.ts'
import { aJob } from '../../support/store.ts'
import { tempFolder } from '../../support/temp.ts'
import { newCalls } from '../../support/writer.ts'

const commits = 8
const frameSize = 24 + 4_096

/** A database and its log as a process that was killed after eight commits of one job each has left them, in memory. */
let database: Buffer
let log: Buffer
/** How many frames the log has when the nth commit is done. */
const framesAfter: number[] = []
beforeAll(() => {
  const path = join(tempFolder(), 'jobs.db')
  // Closed and opened again, so that the tables are in the file and the log has only those commits.
  openForWriting(path, () => 'id', 0).close()
  const db = openForWriting(path, () => 'id', 0)
  const options = { types: [], leaseMs: 1, maxQueueDepth: 99, retentionMs: 0 }
  const writer = new Writer(db, options)
  for (let commit = 0; commit < commits; commit++) {
    db.exec('BEGIN IMMEDIATE')
    writer.begin()
    writer.enqueue(newCalls([aJob()]), 0)
    writer.finish()
    db.exec('COMMIT')
    framesAfter.push((readFileSync(`${path}-wal`).length - 32) / frameSize)
  }
  database = readFileSync(path)
  log = readFileSync(`${path}-wal`)
  db.close()
})

/** The two files, with the log as `harm` has changed it. */
function filesWith(harm: (log: Buffer) => Buffer | void): string {
  const path = join(tempFolder(), 'jobs.db')
  const harmed = Buffer.from(log)
  writeFileSync(path, database)
  writeFileSync(`${path}-wal`, harm(harmed) ?? harmed)
  return path
}

const flip = (at: number) => (bytes: Buffer) => {
  bytes[at]! ^= 0x10
}

/** The jobs that a start finds. */
function jobsFound(path: string): unknown {
  const db = openForWriting(path, () => 'id', 0)
  const count = db.prepare('SELECT count(*) FROM jobs').pluck().get()
  db.close()
  return count
}

describe('a log', () => {
  test('that is complete is read to its end', () => {
    const path = filesWith(() => {})

    expect(() => assertWalWhole(path)).not.toThrow()
    expect(jobsFound(path)).toBe(commits)
  })

  test.each([
    ['the header', () => 9],
    ['the salts of the header', () => 17],
    ['the number of a page', () => framesAfter[2]! * frameSize + 32 + 2],
    ['the salts of a frame', () => framesAfter[2]! * frameSize + 32 + 9],
    ['the checksum of a frame', () => framesAfter[2]! * frameSize + 32 + 20],
    ['the data of a page', () => framesAfter[2]! * frameSize + 32 + 2_000],
    ['the data of the last page of a commit', () => framesAfter[3]! * frameSize + 32 - 7],
  ])('with a flipped bit in %s, and commits behind it, is refused and not changed', (what, at) => {
    const path = filesWith(flip(at()))
    const harmed = readFileSync(`${path}-wal`)

    expect(() => openForWriting(path, () => 'id', 0)).toThrow(DatabaseUnusableError)
    expect(() => verifyFile(path)).toThrow(what.includes('header') ? /at its header/ : /at frame \d+ of \d+/)
    expect([readFileSync(`${path}-wal`).equals(harmed), readFileSync(path).equals(database)]).toEqual([true, true])
  })

  test('that lacks a part in its middle is refused if more of it follows', () => {
    const from = framesAfter[2]! * frameSize + 32
    const path = filesWith((bytes) => void bytes.fill(0, from, from + frameSize))

    expect(() => openForWriting(path, () => 'id', 0)).toThrow(/-wal is damaged at frame \d+.* journal_mode = DELETE/)
  })

  test('that is damaged can be given up as the refusal says, by a user who can do without the rest', () => {
    const path = filesWith(flip(framesAfter[2]! * frameSize + 32 + 2_000))
    const shell = openKept(path)
    shell.pragma('journal_mode = DELETE')
    shell.close()

    expect(jobsFound(path)).toBe(3)
  })

  test('torn by a power cut is read to its last complete commit', () => {
    // The last transaction reached the disk in part: its first page did not.
    const path = filesWith((bytes) => void bytes.fill(0, framesAfter.at(-2)! * frameSize + 32 + 24, undefined))

    expect(jobsFound(path)).toBe(commits - 1)
    expect(verifyFile(path).violations).toEqual([])
  })

  test('torn by a power cut is read to its last complete commit, even if its last frames reached the disk', () => {
    const from = framesAfter.at(-2)! * frameSize + 32
    const path = filesWith((bytes) => void bytes.fill(0, from, from + frameSize))

    expect(jobsFound(path)).toBe(commits - 1)
  })

  test('that ends inside a frame is read to its last complete commit', () => {
    const path = filesWith((bytes) => bytes.subarray(0, bytes.length - 1))

    expect(jobsFound(path)).toBe(commits - 1)
  })

  // There is no promise about what looks like a torn transaction.
  test('whose last commit but one is damaged at its end looks like one torn by a power cut', () => {
    const path = filesWith(flip(framesAfter.at(-2)! * frameSize + 32 - 7))

    expect(jobsFound(path)).toBe(commits - 2)
  })

  test('that started over is not judged by its earlier content', () => {
    const path = filesWith(() => {})
    const db = openForWriting(path, () => 'id', 0)
    db.pragma('wal_checkpoint(RESTART)')
    db.exec(`UPDATE meta SET value = 'x' WHERE name = 'opened'`)
    const copy = join(tempFolder(), 'jobs.db')
    for (const file of ['', '-wal']) copyFileSync(path + file, copy + file)
    db.close()

    expect(() => assertWalWhole(copy)).not.toThrow()
    expect(jobsFound(copy)).toBe(commits)
  })
})
