import { execFileSync } from 'node:child_process'
import {
  copyFileSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { crc32 } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { DatabaseUnusableError, LostJobsError } from '../../../src/errors.ts'
import { openKept } from '../../../src/persistence/sqlite/file/kept.ts'
import { lockForServer } from '../../../src/persistence/sqlite/file/lock.ts'
import { lookAtMark } from '../../../src/persistence/sqlite/file/mark.ts'
import { verifyFile } from '../../../src/persistence/sqlite/verify/verify.ts'
import { aJob, openStore } from '../../support/store.ts'
import { until } from '../../support/system.ts'
import { cleanUp, tempFolder } from '../../support/temp.ts'

const jobs = (count: number) => Array.from({ length: count }, () => aJob())

interface Made {
  readonly path: string
  /** The same file, as it was after 10 jobs. */
  readonly older: string
}

/** A file with 20 acknowledged jobs after a kill and after a stop; after the kill the last of them are only in the log. */
let made: { readonly killed: Made; readonly stopped: Made }
beforeAll(async () => {
  const { store, path } = await openStore()
  await store.enqueue(jobs(10))
  const older = copyOf(path)
  for (let i = 0; i < 10; i++) await store.enqueue(jobs(1))
  const killed = { path: copyOf(path), older }
  await store.close()
  made = { killed, stopped: { path: copyOf(path), older } }
})
afterAll(cleanUp)

/** Copies to be damaged. */
const killed = () => ({ path: copyOf(made.killed.path), older: made.killed.older })
const stopped = () => ({ path: copyOf(made.stopped.path), older: made.stopped.older })

/** All files of a database in a folder of its own, copied by another process. */
function copyOf(path: string): string {
  const folder = join(tempFolder(), 'copy')
  execFileSync('cp', ['-a', dirname(path), folder])
  return join(folder, 'jobs.db')
}

const smtpFailureOf = (path: string, acceptLoss?: string) =>
  openStore({ path, acceptLoss, newDatabaseId: 'later' }).then(
    () => null,
    (error: unknown) => error as LostJobsError,
  )
const contents = (path: string) =>
  readdirSync(dirname(path))
    .filter((name) => /\.db$|-wal$|-mark$/.test(name))
    .map((name) => [name, readFileSync(join(dirname(path), name)).toString('base64')])

describe('a mark', () => {
  test('says how far the log has come, as readable text', async () => {
    const { store, path } = await openStore()
    await store.enqueue(jobs(3))
    await store.lease({ limit: 1, wait: false, start: true })

    expect(lookAtMark(path).mark).toEqual({ epoch: 'test-database', transitions: 5, jobs: 3 })
    expect(readFileSync(`${path}-mark`, 'utf8')).toMatch(
      /^jobmachine mark 1\nepoch test-database *\ntransitions 0+5\njobs 0+3\n/,
    )
  })

  test('includes jobs that another process stored', async () => {
    const { store, path, clock } = await openStore()
    const producer = await openStore({ path, owner: null, clock })
    await producer.store.enqueue(jobs(5))
    await store.send('cancel', 1)

    expect(lookAtMark(path).mark).toMatchObject({ transitions: 6, jobs: 5 })
  })

  test('is created again if it was removed', async () => {
    const { store, path } = await openStore()
    await store.enqueue(jobs(3))
    rmSync(`${path}-mark`)

    await until(() => {
      const mark = lookAtMark(path).mark
      return mark !== null && mark !== 'damaged' && mark.transitions === 3
    })
  })
})

describe('a file that continues as if nothing had happened:', () => {
  test.each([
    ['one that was killed', killed, () => {}],
    ['one that was stopped', stopped, () => {}],
    ['one whose index of the log is gone', killed, (path: string) => rmSync(`${path}-shm`, { force: true })],
    [
      'one with a mark that is behind',
      killed,
      (path: string, older: string) => copyFileSync(`${older}-mark`, `${path}-mark`),
    ],
    ['one whose mark a power cut left empty, with its log', killed, (path: string) => truncateSync(`${path}-mark`, 0)],
    [
      'one whose mark a power cut left as zeros, with its log',
      killed,
      (path: string) => writeFileSync(`${path}-mark`, Buffer.alloc(100)),
    ],
    [
      'one of an earlier version, which has no mark',
      stopped,
      (path: string) => {
        rmSync(`${path}-mark`)
        inSqlite(path, "DELETE FROM meta WHERE name = 'marked'; PRAGMA journal_mode = WAL")
      },
    ],
    ['one without the lock', stopped, (path: string) => rmSync(`${path}-lock`, { force: true })],
  ] as const)('%s', async (_, make, prepare) => {
    const { path, older } = make()
    prepare(path, older)

    const { store, notices } = await openStore({ path, newDatabaseId: 'later' })
    const result = await store.enqueue(jobs(1))

    expect(result).toMatchObject({ jobs: [{ id: 21 }] })
    expect(store.databaseIdOf(21)).toBe('test-database')
    expect(notices).toEqual([])
  })
})

describe('a file that has less than was acknowledged', () => {
  describe.each([
    ['its log was removed', killed, (path: string) => rmSync(`${path}-wal`), 20],
    ['its log was emptied', killed, (path: string) => truncateSync(`${path}-wal`, 0), 20],
    [
      'its log was cut',
      killed,
      (path: string) => truncateSync(`${path}-wal`, statSync(`${path}-wal`).size - 3 * 4_096),
      1,
    ],
    [
      'its log was replaced by an older one',
      killed,
      (path: string, older: string) => copyFileSync(`${older}-wal`, `${path}-wal`),
      10,
    ],
    [
      'all was replaced by an older copy but the mark',
      stopped,
      (path: string, older: string) => {
        copyFileSync(older, path)
        copyFileSync(`${older}-wal`, `${path}-wal`)
      },
      10,
    ],
    [
      'its log, index and mark were removed',
      killed,
      (path: string) => {
        for (const suffix of ['-wal', '-shm', '-mark']) rmSync(`${path}${suffix}`, { force: true })
      },
      null,
    ],
    [
      'it came alone from a live server',
      killed,
      (path: string) => {
        for (const name of readdirSync(dirname(path))) if (name !== 'jobs.db') rmSync(join(dirname(path), name))
      },
      null,
    ],
    [
      'its mark is of another database',
      stopped,
      (path: string) => {
        const text = readFileSync(`${path}-mark`, 'latin1').split('check')[0]!.replace('test-database', 'othr-database')
        writeFileSync(`${path}-mark`, `${text}check ${crc32(text).toString(16).padStart(8, '0')}\n`)
      },
      null,
    ],
  ] as const)(', since %s,', (_, make, harm, missing) => {
    test('is refused, says how much, and is not changed', async () => {
      const { path, older } = make()
      harm(path, older)
      const before = contents(path)

      const refusal = await smtpFailureOf(path)

      expect(refusal).toBeInstanceOf(LostJobsError)
      expect(refusal).toMatchObject({ code: 'jobs_lost', missing })
      expect(refusal!.message).toMatch(/--accept-loss [0-9a-f]{8}/)
      // An empty log may have been made by the look at it.
      expect(contents(path).filter(([name, bytes]) => name !== 'jobs.db-wal' || bytes !== '')).toEqual(
        before.filter(([name, bytes]) => name !== 'jobs.db-wal' || bytes !== ''),
      )
      expect(await smtpFailureOf(path, '00000000')).toBeInstanceOf(LostJobsError)
    })

    test('continues once its loss is accepted, and gives no id and no token twice', async () => {
      const { path, older } = make()
      harm(path, older)
      const { acceptance } = (await smtpFailureOf(path))!

      const { store, notices } = await openStore({ path, acceptLoss: acceptance, newDatabaseId: 'later' })
      const result = await store.enqueue(jobs(1))
      await store.send('cancel', result.outcome === 'stored' ? result.jobs[0]!.id : 0)

      const { jobs: stored } = result as unknown as { jobs: { id: number }[] }
      expect(stored[0]!.id).toBeGreaterThan(1_000_000)
      expect(store.databaseIdOf(stored[0]!.id)).toBe('later')
      expect(store.databaseIdOf(10)).toBe('test-database')
      const { transitions } = await store.transitions({ after: 20, limit: 9 })
      expect(transitions[0]!.id).toBeGreaterThan(1_000_000)
      expect(notices).toEqual([{ type: 'file', message: expect.stringMatching(/new epoch begins.*accepted/) }])
      await store.close()
      expect(verifyFile(path).violations).toEqual([])
      const again = await openStore({ path, newDatabaseId: 'not used' })
      expect(again.notices).toEqual([])
      expect(await again.store.enqueue(jobs(1))).toMatchObject({ jobs: [{ id: stored[0]!.id + 1 }] })
      expect(again.store.databaseIdOf(stored[0]!.id)).toBe('later')
    })
  })

  test('is refused again when it loses more: a leftover acceptance accepts no other loss', async () => {
    const { path, older } = killed()
    rmSync(`${path}-wal`)
    const acceptLoss = (await smtpFailureOf(path))!.acceptance
    const { store } = await openStore({ path, acceptLoss })
    await store.enqueue(jobs(5))
    const later = copyOf(path)
    rmSync(`${later}-wal`)

    expect(await smtpFailureOf(later, acceptLoss)).toMatchObject({ missing: expect.any(Number) })
    // Nor does the mark from before conflict with the later one.
    const withOldMark = copyOf(path)
    copyFileSync(`${older}-mark`, `${withOldMark}-mark`)
    expect(await smtpFailureOf(withOldMark)).toBeNull()
  })
})

describe('a missing or empty database does not count as new', () => {
  const remove = (path: string) => rmSync(path)
  const empty = (path: string) => truncateSync(path, 0)
  test.each([
    ['removed, beside its mark', remove, ['-wal', '-lock'], /does not exist, but jobs\.db-mark says that 20/],
    ['emptied, beside its mark', empty, ['-wal', '-lock'], /is empty, but jobs\.db-mark says that 20/],
    ['removed, beside its log', remove, ['-mark', '-lock'], /does not exist, but jobs\.db-wal holds/],
    ['emptied, beside its log', empty, ['-mark', '-lock'], /is empty, but jobs\.db-wal holds/],
    ['removed, beside a lock', remove, ['-mark', '-wal'], /does not exist, but jobs\.db-lock exists/],
    ['emptied, beside a lock', empty, ['-mark', '-wal'], /is empty, but jobs\.db-lock exists/],
  ] as const)('%s', async (_, harm, alsoRemoved, reason) => {
    const { path } = killed()
    writeFileSync(`${path}-lock`, '')
    harm(path)
    for (const suffix of alsoRemoved) rmSync(`${path}${suffix}`, { force: true })

    await expect(openStore({ path })).rejects.toThrow(DatabaseUnusableError)
    await expect(openStore({ path })).rejects.toThrow(reason)
    expect(() => lockForServer(path)).toThrow(reason)
  })

  test('unless there is only a partial mark, which a full disk leaves after a first start', async () => {
    const paths = ['', 'jobmachine mark 1\nepoch '].map((left) => {
      const path = join(tempFolder(), 'jobs.db')
      writeFileSync(`${path}-mark`, left)
      lockForServer(path).release()
      return path
    })
    for (const path of paths) expect(lookAtMark(path).mark).toEqual({ epoch: '', transitions: 0, jobs: 0 })

    const path = paths[0]!
    // Beside a lock, it is what a power cut left of the mark.
    rmSync(path)
    truncateSync(`${path}-mark`, 0)
    await expect(openStore({ path })).rejects.toThrow(
      `${path} does not exist, but jobs.db-mark exists but is damaged, so there was a database. Put it back`,
    )
  })

  test('unless everything is gone, or nothing was ever stored', async () => {
    const path = join(tempFolder(), 'jobs.db')
    // As a server that was killed while it made the file.
    lockForServer(path).release()

    const { store } = await openStore({ path })

    expect(await store.enqueue(jobs(1))).toMatchObject({ jobs: [{ id: 1 }] })
  })
})

describe('a copy without its mark', () => {
  test.each([
    ['after a stop', (path: string) => path],
    [
      'by VACUUM INTO of a live server',
      (path: string) => {
        inSqlite(path, `VACUUM INTO '${path}.backup'`)
        return `${path}.backup`
      },
    ],
  ])('%s continues with higher ids and another token', async (_, copy) => {
    const { path } = _ === 'after a stop' ? stopped() : killed()
    const alone = join(tempFolder(), 'jobs.db')
    renameSync(copy(path), alone)

    const { store, notices } = await openStore({ path: alone, newDatabaseId: 'later' })
    const { jobs: stored } = (await store.enqueue(jobs(1))) as { jobs: readonly { id: number }[] }

    expect(stored[0]!.id).toBeGreaterThan(1_000_000)
    expect(store.databaseIdOf(stored[0]!.id)).toBe('later')
    expect(await store.find(20)).toBeDefined()
    expect(notices).toEqual([{ type: 'file', message: expect.stringMatching(/it came without jobs\.db-mark/) }])
  })
})

test('a stopped file with a damaged mark continues with higher ids, and the log says why', async () => {
  const { path } = stopped()
  truncateSync(`${path}-mark`, 100)

  const { store, notices } = await openStore({ path, newDatabaseId: 'later' })
  await store.enqueue(jobs(1))

  expect(notices).toEqual([
    { type: 'file', message: expect.stringMatching(/new epoch begins.*because jobs\.db-mark is damaged$/) },
  ])
  expect(lookAtMark(path).mark).toMatchObject({ epoch: 'later' })
})

function inSqlite(path: string, sql: string): void {
  const db = openKept(path)
  db.exec(sql)
  db.close()
}
