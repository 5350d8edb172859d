import { execFileSync } from 'node:child_process'
import {
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import { DatabaseLockedError, DatabaseUnusableError } from '../../../src/errors.ts'
import { locateDatabase } from '../../../src/persistence/sqlite/file/locate.ts'
import { noteOpen } from '../../../src/persistence/sqlite/file/open-here.ts'
import { mountOverlay } from '../../support/small-disk.ts'
import { openSystem } from '../../support/system.ts'
import { tempFolder, whenDone } from '../../support/temp.ts'

const aFolder = () => realpathSync(tempFolder())

test('links to the file, its folder or both lead to one path', () => {
  const folder = aFolder()
  mkdirSync(join(folder, 'real'))
  const real = join(folder, 'real', 'jobs.db')
  writeFileSync(real, '')
  symlinkSync(join(folder, 'real'), join(folder, 'folder'))
  symlinkSync(real, join(folder, 'file.db'))
  symlinkSync(join(folder, 'file.db'), join(folder, 'twice.db'))

  for (const path of ['real/jobs.db', 'folder/jobs.db', 'file.db', 'twice.db'])
    expect(locateDatabase(join(folder, path))).toBe(real)
  expect(locateDatabase(join(folder, 'folder', 'new.db'))).toBe(join(folder, 'real', 'new.db'))
})

test('a missing folder is created', () => {
  const folder = aFolder()

  expect(locateDatabase(join(folder, 'a', 'b', 'jobs.db'))).toBe(join(folder, 'a', 'b', 'jobs.db'))
  expect(existsSync(join(folder, 'a', 'b'))).toBe(true)
})

test('a database on an overlay file system, whose files have another device than their folder, starts again', async ({
  skip,
}) => {
  const folder = mountOverlay(join(aFolder(), 'layers')) ?? skip('no file systems can be layered here')
  const path = join(folder, 'jobs.db')
  const { system } = await openSystem({ database: path, runs: { work: () => {} } })
  const devices = [path, folder].map((file) => statSync(file).dev)
  await system.stop()

  const again = await openSystem({ database: path, runs: { work: () => {} } })

  expect(devices[0]).not.toBe(devices[1])
  expect(await again.system.list()).toMatchObject({ jobs: [] })
})

describe('a path that is not a file is refused, with what to use instead:', () => {
  test.each([
    ['a folder', 'folder', /folder is a folder; use the path of a file in it, such as .*folder\/jobs\.db$/],
    ['a link to a folder', 'link', /folder is a folder; use the path of a file in it/],
    ['a file in a file', 'package.json/x.db', /package\.json\/x\.db is inside a file, not a folder/],
    ['a file in a folder in a file', 'package.json/x/x.db', /is inside a file, not a folder/],
    ['too long a name', 'x'.repeat(300), /x cannot be accessed: ENAMETOOLONG.*; check the path/],
    ['a device', '/dev/null', /^\/dev\/null is a device, a pipe or a socket; use the path of a file$/],
  ])('%s', (_, path, reason) => {
    const folder = aFolder()
    mkdirSync(join(folder, 'folder'))
    symlinkSync(join(folder, 'folder'), join(folder, 'link'))
    writeFileSync(join(folder, 'package.json'), '{}')
    const before = readdirSync(folder)

    expect(() => locateDatabase(resolve(folder, path))).toThrow(DatabaseUnusableError)
    expect(() => locateDatabase(resolve(folder, path))).toThrow(reason)
    expect(readdirSync(folder)).toEqual(before)
  })
})

describe('a database whose log would be elsewhere is refused, with what to do:', () => {
  test.each([
    ['a hard link', (path: string) => linkSync(path, `${path}.link`), /2 names \(hard links\).*keep one/],
    [
      'a link that leads nowhere',
      (path: string) => {
        renameSync(path, `${path}.moved`)
        symlinkSync(`${path}.gone`, path)
      },
      /symbolic link to nothing/,
    ],
    ...['-wal', '-shm', '-lock', '-mark'].map(
      (suffix) =>
        [
          `a link in the place of jobs.db${suffix}`,
          (path: string) => symlinkSync(`${path}.elsewhere`, `${path}${suffix}`),
          /is a symbolic link; it must be a plain file beside the database/,
        ] as const,
    ),
    ['a folder in the place of its log', (path: string) => mkdirSync(`${path}-wal`), /is a folder or device/],
  ] as const)('%s', (_, prepare, reason) => {
    const path = join(aFolder(), 'jobs.db')
    writeFileSync(path, '')

    prepare(path)

    expect(() => locateDatabase(path)).toThrow(DatabaseUnusableError)
    expect(() => locateDatabase(path)).toThrow(reason)
  })

  test.for(['jobs.db', 'jobs.db-wal'])('%s, mounted by itself', (name, { skip }) => {
    const folder = join(aFolder(), 'a folder')
    mkdirSync(folder)
    const path = join(folder, 'jobs.db')
    for (const file of [path, join(folder, name), `${path}.other`]) writeFileSync(file, '')
    try {
      execFileSync('mount', ['--bind', `${path}.other`, join(folder, name)], { stdio: 'ignore' })
    } catch {
      skip('nothing can be mounted here')
    }
    whenDone(() => execFileSync('umount', ['-l', join(folder, name)]))

    expect(() => locateDatabase(path)).toThrow(/is a separate mount.*mount its folder instead/)
  })
})

describe('a second server', () => {
  test('is refused through a link to the file as by its name', async () => {
    const { path } = await openSystem({ runs: { work: () => {} } })
    const link = join(aFolder(), 'link.db')
    symlinkSync(path, link)

    const refusal = await openSystem({ database: link, runs: { work: () => {} } }).catch((error: unknown) => error)

    expect(refusal).toBeInstanceOf(DatabaseLockedError)
    expect(refusal).toMatchObject({
      message: expect.stringMatching(/already open in this process \(\d+\), since .*, created at .*globalThis\.jobs/),
    })
  })

  test('with another copy of the package in this process is refused, like a producer, until the first is closed', async () => {
    const { system, path } = await openSystem({ runs: { work: () => {} } })
    // As another copy sees it: what the copies share is on `process`.
    const files = (process as never)[Symbol.for('jobmachine.open@1')] as Map<string, readonly object[]>
    const [[name, own]] = [...files].slice(-1) as [[string, readonly object[]]]
    files.set(name, [{ ...own[0], copy: {} }])

    const refused = [{ work: () => {} }, null].map((runs) =>
      openSystem({ database: path, runs }).catch((error: unknown) => error),
    )
    for (const refusal of await Promise.all(refused)) {
      expect(refusal).toBeInstanceOf(DatabaseLockedError)
      expect(refusal).toMatchObject({
        pid: process.pid,
        message: expect.stringMatching(/by another copy or bundle of jobmachine/),
      })
    }
    files.set(name, own)
    await system.stop()

    expect(files.has(name)).toBe(false)
    noteOpen(path, { pid: process.pid, startedAt: null, where: null, isServer: true })()
  })
})
