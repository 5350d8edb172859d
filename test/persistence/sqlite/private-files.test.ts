import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { describe, expect, test } from 'vitest'
import { lockForServer } from '../../../src/persistence/sqlite/file/lock.ts'
import { makePrivate, readableByOthers } from '../../../src/persistence/sqlite/file/private-files.ts'
import { briefly, built } from '../../support/built.ts'
import { shareOf } from '../../support/share.ts'
import { openStore } from '../../support/store.ts'
import { openSystem } from '../../support/system.ts'
import { tempFolder, whenDone } from '../../support/temp.ts'

/** The user and group `nobody`, on nearly every system. */
const nobody = 65_534
/** What begins a command as that user; for root. */
const asNobody = ['setpriv', `--reuid=${nobody}`, `--regid=${nobody}`, '--clear-groups', '--']
const main = built('main.js')
const modeOf = (path: string) => (statSync(path).mode & 0o777).toString(8)
/** SQLite keeps a journal of `-lock` while it is locked. */
const modes = (folder: string) =>
  Object.fromEntries(
    readdirSync(folder)
      .filter((name) => name !== 'jobs.db-lock-journal')
      .map((name) => [name, modeOf(join(folder, name))]),
  )
const files = ['jobs.db', 'jobs.db-lock', 'jobs.db-mark', 'jobs.db-shm', 'jobs.db-wal']

interface Serving {
  readonly process: ChildProcess
  /** Each line of its log, with the last of those that a start writes. */
  readonly lines: readonly { readonly msg: string; readonly files?: readonly string[] }[]
}

/** Resolves with a real server once it listens; rejects with its exit code and its standard error. */
async function serve(database: string, before: readonly string[], umask = '022'): Promise<Serving> {
  const [name, ...args] = [...before, 'sh', '-c', `umask ${umask}; exec "$0" "$@"`, process.execPath, ...briefly, main]
  const child = spawn(name!, args, {
    cwd: tmpdir(),
    env: { PATH: process.env.PATH, PORT: '0', DATABASE_PATH: database },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  whenDone(() => child.kill('SIGKILL'))
  let stderr = ''
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk
  })
  const lines: Serving['lines'][number][] = []
  for await (const line of createInterface({ input: child.stdout })) {
    lines.push(JSON.parse(line))
    if (lines.at(-1)!.msg !== 'listening') continue
    child.stdout.resume()
    return { process: child, lines }
  }
  if (child.exitCode === null) await once(child, 'exit')
  throw new Error(`ended with ${child.exitCode}: ${stderr}`)
}

async function stop({ process: child }: Serving, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  child.kill(signal)
  await once(child, 'exit')
}

/** A process that reads a file by SQLite, and so has a read lock on it, until it is killed. */
async function readLock(path: string, before: readonly string[] = []): Promise<ChildProcess> {
  const sqlite = createRequire(import.meta.url).resolve('better-sqlite3')
  const script = `
    const db = new (require(${JSON.stringify(sqlite)}))(${JSON.stringify(path)}, { readonly: true })
    db.exec('BEGIN')
    db.prepare('SELECT count(*) FROM sqlite_schema').get()
    console.log('locked')
    setInterval(() => {}, 1000)`
  const [name, ...args] = [...before, process.execPath, '-e', script]
  const child = spawn(name!, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  whenDone(() => child.kill('SIGKILL'))
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (said += chunk))
  const locked = once(child.stdout, 'data')
  await Promise.race([locked, once(child, 'exit')])
  if (!said.startsWith('locked')) throw new Error(said)
  return child
}

/** The error codes that another user gets when opening files. */
function openAsNobody(paths: readonly string[]): string[] {
  const script = `for (const path of process.argv.slice(1))
    try { fs.openSync(path, 'r'); console.log('opened') } catch (error) { console.log(error.code) }`
  const said = execFileSync(asNobody[0]!, [...asNobody.slice(1), process.execPath, '-e', script, ...paths], {
    encoding: 'utf8',
  })
  return said.trim().split('\n')
}

/** Why nothing can be run here as that user; null if it can. */
const whyNotAsNobody = (() => {
  if (process.getuid?.() !== 0) return 'only root can be another user'
  try {
    const reading = ['--eval', `fs.readFileSync(${JSON.stringify(main)})`]
    execFileSync(asNobody[0]!, [...asNobody.slice(1), process.execPath, ...reading], { stdio: 'ignore' })
    return null
  } catch {
    return 'another user cannot run this build'
  }
})()

/** Skips unless this is root, and that user may read this project. */
function needNobody(skip: (why: string) => void): void {
  if (whyNotAsNobody !== null) skip(whyNotAsNobody)
}

describe('only their owner can open the files that a server makes, and enter the folder:', () => {
  test.for(
    shareOf<(readonly [umask: string, user: string])[]>({
      share: [['022', 'its user']],
      whole: [
        ['022', 'its user'],
        ['077', 'nobody'],
      ],
    }),
  )('under umask %s, as %s', async ([umask, user], { skip }) => {
    if (user === 'nobody') needNobody(skip)
    const before = user === 'nobody' ? asNobody : []
    const outer = tempFolder()
    if (user === 'nobody') chownSync(outer, nobody, nobody)
    const folder = join(outer, 'data', 'deep')
    const database = join(folder, 'jobs.db')

    const server = await serve(database, before, umask)
    const [name, ...args] = [
      ...before,
      'sh',
      '-c',
      `umask ${umask}; exec "$0" "$@"`,
      process.execPath,
      ...briefly,
      main,
      'backup',
    ]
    execFileSync(name!, [...args, database, join(outer, 'copy.db')])

    expect(modes(folder)).toEqual(Object.fromEntries(files.map((file) => [file, '600'])))
    expect([modeOf(folder), modeOf(dirname(folder)), modeOf(join(outer, 'copy.db'))]).toEqual(['700', '700', '600'])
    expect(server.lines.filter((line) => line.files)).toEqual([])
    await stop(server)
    expect(Object.values(modes(folder)).every((mode) => mode === '600')).toBe(true)
  })
})

test('a producer creates them like that too, and a removed mark', async () => {
  const umask = process.umask(0o000)
  whenDone(() => process.umask(umask))
  const { store, path } = await openStore({ owner: null })
  await store.close()

  expect(new Set(Object.values(modes(dirname(path))))).toEqual(new Set(['600']))
})

describe('existing files', () => {
  test('keep their mode, and one log line names those that others can read', async () => {
    const { path, system } = await openSystem()
    await system.stop()
    chmodSync(dirname(path), 0o755)
    for (const suffix of ['', '-lock', '-mark']) chmodSync(`${path}${suffix}`, 0o644)

    const { log } = await openSystem({ database: path })

    const readable = ['', '-wal', '-shm', '-lock', '-mark'].map((suffix) => `${path}${suffix}`)
    expect(modes(dirname(path))).toEqual(Object.fromEntries(files.map((file) => [file, '644'])))
    expect(log.filter(({ level }) => level === 'warn')).toMatchObject([
      { fields: { files: readable }, message: expect.stringContaining(`chmod go= ${readable.join(' ')}`) },
    ])
  })

  test('are not reported if a folder above keeps everybody else out', async () => {
    const path = join(tempFolder(), 'jobs.db')
    writeFileSync(path, '')
    chmodSync(path, 0o644)

    expect(readableByOthers(path)).toEqual([])
    chmodSync(dirname(path), 0o711)
    expect(readableByOthers(path)).toEqual([path])
    chmodSync(path, 0o600)
    expect(readableByOthers(path)).toEqual([])
  })

  test.each([
    [0o600, '600'],
    [0o644, '600'],
    [0o660, '660'],
    [0o664, '660'],
    [0o666, '666'],
  ])('of mode %o: new files beside them are for those who may write them (%s)', async (mode, expected) => {
    const { store, path } = await openStore()
    await store.close()
    chmodSync(path, mode)

    makePrivate(`${path}-new`, path)
    expect(modeOf(`${path}-new`)).toBe(expected)
    execFileSync('rm', [`${path}-mark`])
    lockForServer(path).release()
    await (await openStore({ path })).store.close()

    expect(modes(dirname(path))).toMatchObject({ 'jobs.db-lock': expected, 'jobs.db-mark': expected })
  })
})

test('a command of another user says whose they are', async ({ skip }) => {
  needNobody(skip)
  const { path } = await openSystem()
  chmodSync(dirname(path), 0o755)
  const run = (...args: string[]) => {
    const [name, ...more] = [...asNobody, process.execPath, ...briefly, main, ...args]
    const { status, stderr } = spawnSync(name!, more, { env: { DATABASE_PATH: path }, encoding: 'utf8', cwd: tmpdir() })
    return `${status}: ${stderr}`
  }

  const commands = [['serve'], ['verify', path], ['backup', path, join(tempFolder(), 'copy.db')]]
  for (const args of shareOf({ share: commands.slice(1, 2), whole: commands }))
    expect(run(...args)).toMatch(
      /^1: jobmachine: .*jobs\.db belongs to user 0, and user 65534 may not read it: run this/,
    )
})

test('a file that root creates beside another user’s database belongs to that user, as does the log', async ({
  skip,
}) => {
  if (process.getuid?.() !== 0) skip('only root can give files away')
  const { store, path } = await openStore()
  await store.close()
  chownSync(path, nobody, nobody)
  for (const suffix of ['-mark', '-lock']) rmSync(`${path}${suffix}`, { force: true })

  lockForServer(path).release()
  await openStore({ path })

  const owners = files.map((name) => [name, statSync(join(dirname(path), name)).uid])
  expect(owners).toEqual(files.map((name) => [name, nobody]))
})

test.for(shareOf({ share: ['jobs.db-lock'], whole: ['jobs.db-mark', 'jobs.db-lock'] }))(
  'a server that may not write %s says who owns it',
  async (name, { skip }) => {
    needNobody(skip)
    const { store, path } = await openStore()
    await store.close()
    lockForServer(path).release()
    for (const each of readdirSync(dirname(path))) chmodSync(join(dirname(path), each), 0o666)
    chmodSync(dirname(path), 0o777)
    chmodSync(join(dirname(path), name), 0o600)

    const refusal = await serve(path, asNobody).catch(({ message }: Error) => message)

    expect(refusal).toMatch(
      new RegExp(`ended with 1: .*/${name} belongs to user 0, and user 65534 may not read and write it: run this as`),
    )
  },
)

describe('a lock on jobs.db-lock', () => {
  test('cannot be taken by another user', async ({ skip }) => {
    needNobody(skip)
    const { path } = await openSystem()
    const folder = dirname(path)
    chmodSync(folder, 0o755)

    expect(openAsNobody(files.map((name) => join(folder, name)))).toEqual(files.map(() => 'EACCES'))
    await expect(readLock(`${path}-lock`, asNobody)).rejects.toThrow(/unable to open/)
  })

  test('of a process that is not a server is reported as such', async () => {
    const folder = join(tempFolder(), 'data')
    const database = join(folder, 'jobs.db')
    const before = await serve(database, [])
    await stop(before, 'SIGKILL')
    for (const path of [dirname(folder), folder]) chmodSync(path, 0o755)
    chmodSync(`${database}-lock`, 0o644)

    const locker = await readLock(`${database}-lock`)
    const refusal = await serve(database, []).catch(({ message }: Error) => message)

    // gVisor and systems other than Linux do not list the locks.
    const who = locksAreListed() ? `process ${locker.pid} has` : 'a process has'
    expect(refusal).toContain('ended with 75: ')
    expect(refusal).toContain(`jobs.db is locked: ${who} a lock on ${database}-lock`)
    expect(refusal).toContain(`(process ${before.process.pid}, which has ended)`)
    locker.kill('SIGKILL')
    await once(locker, 'exit')
    lockForServer(database).release()
  })
})

function locksAreListed(): boolean {
  try {
    return /POSIX/.test(readFileSync('/proc/locks', 'utf8'))
  } catch {
    return false
  }
}
