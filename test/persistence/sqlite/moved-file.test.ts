import { join } from 'node:path'
import Database from 'better-sqlite3'
import { expect, test } from 'vitest'
import { UnavailableError } from '../../../src/errors.ts'
import { backUp } from '../../../src/persistence/sqlite/file/backup.ts'
import { compact } from '../../../src/persistence/sqlite/file/compact.ts'
import { closeAsMoved } from '../../../src/persistence/sqlite/file/moved.ts'
import { migrations } from '../../../src/persistence/sqlite/schema.ts'
import { verifyFile } from '../../../src/persistence/sqlite/verify/verify.ts'
import { aJob, openStore } from '../../support/store.ts'
import { tempFolder, whenDone } from '../../support/temp.ts'

const refusal =
  /the jobs of \S*jobs\.db moved to postgres:\/\/db\/app, schema 'x' on 1970-01-01T00:00:00.000Z, .*: start with DATABASE_URL/

/** A file whose jobs have moved, and a connection that was opened before. */
async function aMovedFile() {
  const { store, path } = await openStore()
  await store.enqueue([aJob({ idempotency: { key: 'known', content: 'c' } })])
  await store.close()
  const db = new Database(path)
  whenDone(() => db.close())
  const move = () => db.transaction(() => closeAsMoved(db, { to: `postgres://db/app, schema 'x'`, at: 0 }))()
  return { path, db, move }
}

test('a file whose jobs have moved is opened by nobody, and says where they are', async () => {
  const { path, move } = await aMovedFile()
  move()

  for (const owner of [null, { pid: 1, host: 'here', startedAt: '' }])
    await expect(openStore({ path, owner })).rejects.toThrow(refusal)
  await expect(backUp(path, join(tempFolder(), 'copy.db'))).rejects.toThrow(refusal)
  expect(() => compact(path, { newDatabaseId: 'x', now: 0 })).toThrow(refusal)
})

test('a file whose jobs have moved is too new for every version that knows nothing of that', async () => {
  const { db, move } = await aMovedFile()
  move()

  expect(db.pragma('user_version', { simple: true })).toBe(1_000_000 + migrations.length)
})

test('a file whose jobs have moved can still be verified', async () => {
  const { path, move } = await aMovedFile()
  move()

  expect(verifyFile(path)).toEqual({
    jobs: 1,
    events: 1,
    violations: [],
    violationCount: 0,
    movedTo: `postgres://db/app, schema 'x'`,
  })
})

test('a producer that has the file open is refused once its jobs have moved, and goes on', async () => {
  const { path, move } = await aMovedFile()
  const { store, notices } = await openStore({ path, owner: null })
  await store.enqueue([aJob()])
  move()

  for (const jobs of [[aJob()], [aJob(), aJob()]]) {
    const refused = store.enqueue(jobs)
    await expect(refused).rejects.toThrow(UnavailableError)
    await expect(refused).rejects.toThrow('the jobs of this file have moved to postgres://db/app')
  }
  await expect(store.send('cancel', 1)).rejects.toThrow(UnavailableError)
  expect(await store.find(1)).toMatchObject({ state: 'queued' })
  expect(notices.filter(({ type }) => type === 'fatal')).toEqual([])
})

test.each([
  `INSERT INTO new_jobs (type, payload) VALUES ('work', '1')`,
  `INSERT OR IGNORE INTO new_jobs (type, payload) VALUES ('work', '1')`,
  `INSERT OR REPLACE INTO new_jobs (type, payload, idempotency_key) VALUES ('work', '{}', 'known')`,
  `INSERT INTO new_jobs (type) VALUES ('')`,
  `UPDATE OR IGNORE jobs SET priority = 1`,
  `DELETE FROM jobs`,
  `INSERT INTO event_runs SELECT * FROM event_runs`,
  `UPDATE jobs SET state = 'cancelled', seq = seq + 1, finished_at = 1`,
])('any SQL that had the file open can no longer write it: %s', async (sql) => {
  const { db, path, move } = await aMovedFile()
  const other = new Database(path)
  whenDone(() => other.close())
  other.prepare('SELECT count(*) FROM jobs').get()
  move()

  expect(() => other.prepare(sql).run()).toThrow('jobmachine: the jobs of this file have moved to postgres://db/app')
  expect(db.prepare('SELECT count(*) FROM jobs').pluck().get()).toBe(1)
})
