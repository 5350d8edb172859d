import { execFileSync } from 'node:child_process'
import { copyFileSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test, vi } from 'vitest'
import { DatabaseLostError } from '../../../src/errors.ts'
import { FileGuard } from '../../../src/persistence/sqlite/file/file-guard.ts'
import { openKept } from '../../../src/persistence/sqlite/file/kept.ts'
import { lockForServer } from '../../../src/persistence/sqlite/file/lock.ts'
import { verifyFile } from '../../../src/persistence/sqlite/verify/verify.ts'
import type { StoreEvent } from '../../../src/persistence/store.ts'
import { aJob, openStore, passLook } from '../../support/store.ts'
import { until } from '../../support/system.ts'
import { tempFolder, whenDone } from '../../support/temp.ts'

/** A server's store with ten jobs, and its lock. */
async function aServer() {
  const path = join(tempFolder(), 'jobs.db')
  const lock = lockForServer(path)
  whenDone(() => lock.release())
  const opened = await openStore({ path, lock: lock.fileId })
  await opened.store.enqueue(Array.from({ length: 10 }, () => aJob()))
  const fatal = () => opened.notices.flatMap((notice: StoreEvent) => (notice.type === 'fatal' ? [notice.error] : []))
  passLook()
  return { ...opened, fatal }
}

const remove = (path: string) => rmSync(path)
const rename = (path: string) => renameSync(path, `${path}.moved`)
const replace = (path: string) => {
  copyFileSync(path, `${path}.copy`)
  renameSync(`${path}.copy`, path)
}
const copy = (path: string) => copyFileSync(path, `${path}.copy`)
const cut = (path: string) => truncateSync(path, 0)

const onlyOnLinux = process.platform === 'linux'

describe.each([
  ['the database', '', 'removed', remove, /jobs\.db is gone/],
  ['the database', '', 'renamed', rename, /jobs\.db is gone/],
  ['the database', '', 'replaced', replace, /jobs\.db was replaced/],
  ['the log', '-wal', 'removed', remove, /jobs\.db-wal is gone/],
  ['the log', '-wal', 'renamed', rename, /jobs\.db-wal is gone/],
  ['the log', '-wal', 'replaced', replace, /jobs\.db-wal was replaced/],
  ["the log's index", '-shm', 'removed', remove, /jobs\.db-shm is gone/],
  ["the log's index", '-shm', 'replaced', replace, /jobs\.db-shm was replaced/],
  ["the server's lock", '-lock', 'removed', remove, /jobs\.db-lock is gone/],
  ["the server's lock", '-lock', 'replaced', replace, /jobs\.db-lock was replaced/],
  // Visible only through /proc.
  ...(onlyOnLinux
    ? ([
        ['the database', '', 'copied by this process', copy, /lost its lock on jobs\.db:/],
        ["the log's index", '-shm', 'copied by this process', copy, /lost its lock on jobs\.db-shm/],
        ["the server's lock", '-lock', 'copied by this process', copy, /lost its lock on jobs\.db-lock/],
        ['the database', '', 'cut', cut, /jobs\.db was truncated to 0 bytes/],
        ['the log', '-wal', 'cut', cut, /jobs\.db-wal was truncated to 0 bytes/],
      ] as const)
    : []),
] as const)('once %s (jobs.db%s) was %s', (_, suffix, __, harm, reason) => {
  test('nothing is acknowledged any more, and the store ends with the reason', async () => {
    const { store, path, fatal } = await aServer()
    let acknowledged = 0

    harm(`${path}${suffix}`)
    const calls = [1, 2].map(() => store.enqueue([aJob()]).then(() => acknowledged++))
    for (const call of calls) call.catch(() => {})

    await until(() => fatal().length > 0)
    expect(fatal()).toEqual([expect.any(DatabaseLostError)])
    expect(fatal()[0]!.message).toMatch(reason)
    await expect(store.enqueue([aJob()])).rejects.toMatchObject({ code: 'unavailable' })
    expect(acknowledged).toBe(0)
  })

  test('an idle store ends too', async () => {
    const { path, fatal } = await aServer()

    harm(`${path}${suffix}`)

    await until(() => fatal().length > 0)
    expect(fatal()[0]!.message).toMatch(reason)
  })
})

describe('what others may do to an open database:', () => {
  test.each([
    ['move the log into the database and cut it', (path: string) => inSqlite(path, 'PRAGMA wal_checkpoint(TRUNCATE)')],
    ['VACUUM it', (path: string) => inSqlite(path, 'VACUUM; PRAGMA wal_checkpoint(TRUNCATE)')],
    ['read the log', (path: string) => void readFileSync(`${path}-wal`)],
    ['put files beside it', (path: string) => writeFileSync(`${path}.notes`, '')],
  ])('%s', async (_, act) => {
    const { store, path, notices } = await aServer()
    const payload = JSON.stringify('x'.repeat(100_000))
    await store.enqueue([aJob({ payload })])

    act(path)
    for (let i = 0; i < 5; i++) {
      await store.enqueue([aJob({ payload })])
      await new Promise((resolve) => setTimeout(resolve, 60))
    }

    expect(notices).toEqual([])
    await store.close()
    expect(verifyFile(path)).toMatchObject({ jobs: 16, violations: [] })
  })
})

test.runIf(onlyOnLinux).each([
  ['the log', '-wal', /jobs\.db-wal was truncated/],
  ['the database', '', /jobs\.db was truncated/],
])(
  '%s (jobs.db%s) that is cut between two commits that follow one another is noticed before the second',
  (_, suffix, reason) => {
    const path = join(tempFolder(), 'jobs.db')
    const db = openKept(path)
    whenDone(() => db.close())
    db.exec('PRAGMA journal_mode = WAL; CREATE TABLE jobs (id); PRAGMA wal_checkpoint; INSERT INTO jobs VALUES (1)')
    const guard = new FileGuard(path, null)
    guard.check()
    let now = performance.now()
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => now)
    whenDone(() => clock.mockRestore())
    guard.checkCommit()

    cut(`${path}${suffix}`)
    now += 2

    expect(() => guard.checkBefore()).toThrow(reason)
  },
)

const saved = 'a log whose name is removed is moved into the database first: nothing is lost'
test.runIf(onlyOnLinux).each([
  [saved, (path: string) => rmSync(path)],
  [`${saved}, also where a look has left an empty one`, (path: string) => void (rmSync(path), writeFileSync(path, ''))],
])('%s', async (_, harm) => {
  const { path, fatal } = await aServer()

  harm(`${path}-wal`)

  await until(() => fatal().length > 0)
  expect(fatal()[0]!.message).toMatch(/All acknowledged jobs are in the database/)
  const alone = join(tempFolder(), 'alone.db')
  copyFileSync(path, alone)
  expect(verifyFile(alone)).toMatchObject({ jobs: 10, violations: [] })
})

test.runIf(onlyOnLinux)('a log that was replaced by another is left alone', async () => {
  const { path, fatal } = await aServer()
  const before = readElsewhere(path)

  replace(`${path}-wal`)

  await until(() => fatal().length > 0)
  expect(fatal()[0]!.message).not.toMatch(/in the database/)
  expect(readElsewhere(path).equals(before)).toBe(true)
})

/** Made by another process: this one would lose its lock. */
function readElsewhere(path: string): Buffer {
  return execFileSync('cat', [path])
}

function inSqlite(path: string, sql: string): void {
  const db = openKept(path)
  db.exec(sql)
  db.close()
}
