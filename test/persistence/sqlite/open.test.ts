import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { DatabaseUnusableError } from '../../../src/errors.ts'
import { openForWriting } from '../../../src/persistence/sqlite/file/connection.ts'
import { openKept } from '../../../src/persistence/sqlite/file/kept.ts'
import { applicationId, migrations } from '../../../src/persistence/sqlite/schema.ts'
import { aJob, openStore } from '../../support/store.ts'
import { tempFolder } from '../../support/temp.ts'

const fingerprint = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex')

test('a missing folder and file are created', async () => {
  const path = join(tempFolder(), 'a', 'b', 'jobs.db')

  const { store } = await openStore({ path })

  expect(existsSync(path)).toBe(true)
  expect(store.databaseIdOf(1)).toBe('test-database')
})

test('a file keeps its id and its jobs', async () => {
  const { store, path } = await openStore()
  await store.enqueue([aJob({ payload: '"kept"' })])
  await store.close()

  const again = await openStore({ path, newDatabaseId: 'another' })

  expect(again.store.databaseIdOf(1)).toBe('test-database')
  expect(await again.store.find(1)).toMatchObject({ payload: '"kept"' })
})

test('a commit is flushed to the disk: WAL with synchronous FULL', () => {
  const db = openForWriting(join(tempFolder(), 'jobs.db'), () => 'id', 0)

  expect([db.pragma('journal_mode', { simple: true }), db.pragma('synchronous', { simple: true })]).toEqual(['wal', 2])
  db.close()
})

describe('a file that cannot be used is refused with a message, and not changed:', () => {
  test.each([
    [
      'one that a newer version wrote',
      (path: string) => edit(path, `PRAGMA user_version = ${migrations.length + 1}`),
      /run the newer version/,
    ],
    [
      'one whose trigger was dropped',
      (path: string) => edit(path, 'DROP TRIGGER jobs_stay'),
      /the trigger jobs_stay is missing.*restore a backup/,
    ],
    [
      'one of a build whose machine has other edges',
      (path: string) =>
        edit(
          path,
          `DROP TRIGGER jobs_stay;
            CREATE TRIGGER jobs_stay BEFORE DELETE ON jobs BEGIN SELECT RAISE(ABORT, 'no'); END`,
        ),
      new RegExp(`the trigger jobs_stay is not as schema version ${migrations.length} has it`),
    ],
    [
      'one of a build whose machine has other states',
      (path: string) =>
        edit(
          path,
          `PRAGMA writable_schema = ON;
            UPDATE sqlite_schema SET sql = replace(sql, 'state = ''dead''', 'state = ''buried''') WHERE name = 'jobs'`,
        ),
      /the table jobs is not as schema version/,
    ],
    [
      'one of an earlier version whose index was dropped',
      (path: string) => {
        const db = openKept(path)
        db.exec(`${migrations[0]}; DROP INDEX jobs_ready`)
        db.pragma(`application_id = ${applicationId}`)
        db.pragma('user_version = 1')
        db.close()
      },
      /the index jobs_ready is missing/,
    ],
    [
      'one of another program',
      (path: string) => {
        const db = openKept(path)
        db.exec('CREATE TABLE theirs (x)')
        db.close()
      },
      /another program/,
    ],
    [
      'a text file',
      (path: string) => writeFileSync(path, 'this is no database, but long enough to be one '.repeat(40)),
      /not a SQLite file/,
    ],
    ['a folder', (path: string) => mkdirSync(path), /cannot be opened/],
  ])('%s', async (_, prepare, message) => {
    const path = join(tempFolder(), 'jobs.db')
    prepare(path)
    const before = existsSync(path) && _ !== 'a folder' ? fingerprint(path) : null

    await expect(openStore({ path })).rejects.toThrow(DatabaseUnusableError)
    await expect(openStore({ path })).rejects.toThrow(message)

    if (before) expect(fingerprint(path)).toBe(before)
  })
})

test('a file whose migration was interrupted has the old version, and opens', () => {
  const path = join(tempFolder(), 'jobs.db')
  const db = openKept(path)
  db.pragma('journal_mode = WAL')
  expect(() =>
    db.transaction(() => {
      db.exec(migrations[0]!)
      throw new Error('the power went')
    })(),
  ).toThrow('the power went')
  db.close()

  const opened = openForWriting(path, () => 'id', 0)

  expect(opened.pragma('user_version', { simple: true })).toBe(migrations.length)
  opened.close()
})

test('a file to which somebody added an index, a table and a view opens', () => {
  const path = join(tempFolder(), 'jobs.db')

  edit(path, 'CREATE INDEX mine ON jobs (created_at); CREATE TABLE notes (x); CREATE VIEW late AS SELECT id FROM jobs')

  openForWriting(path, () => 'id', 0).close()
})

function edit(path: string, sql: string): void {
  openForWriting(path, () => 'id', 0).close()
  const db = openKept(path)
  db.unsafeMode()
  db.exec(sql)
  db.close()
}
