import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openForWriting } from '../src/persistence/sqlite/file/connection.ts'
import { briefly, built } from './support/built.ts'
import { cleanUp, tempFolder } from './support/temp.ts'

const main = built('main.js')
/** Permission bits do not bind root: then the server runs as nobody. */
const identity = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {}

let root: string
let canRun: boolean
beforeAll(() => {
  root = tempFolder()
  chmodSync(root, 0o755)
  canRun = spawnSync(process.execPath, ['--eval', `fs.readFileSync(${JSON.stringify(main)})`], identity).status === 0
})
afterAll(cleanUp)

/** Runs the server until it ends, or listens and is told to. */
async function serve(database: string): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [...briefly, main], {
    ...identity,
    cwd: '/',
    env: { PATH: process.env.PATH ?? '', PORT: '0', DATABASE_PATH: database },
  })
  let stdout = ''
  let stderr = ''
  child.stderr.on('data', (chunk) => (stderr += chunk))
  child.stdout.on('data', (chunk) => {
    stdout += chunk
    child.kill('SIGTERM')
  })
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  return { code, stdout, stderr }
}

/** A folder with a database that was closed in good order, unless told otherwise. */
function aFolder(name: string, { crashed = false } = {}) {
  const folder = join(root, name)
  mkdirSync(folder)
  const database = join(folder, 'jobs.db')
  // A connection that stays open, as of a process that was killed, leaves the WAL behind.
  const db = openForWriting(database, () => 'id', 0)
  if (!crashed) db.close()
  for (const file of readdirSync(folder)) chmodSync(join(folder, file), 0o666)
  return { folder, database }
}

/** What is stored, whatever SQLite keeps beside it for its readers. */
function contents(folder: string) {
  return readdirSync(folder)
    .filter((file) => !/-(lock|shm)$/.test(file))
    .map((file) => [file, readFileSync(join(folder, file))] as const)
    .filter(([file, bytes]) => !file.endsWith('-wal') || bytes.length > 0)
    .map(([file, bytes]) => [file, createHash('sha256').update(bytes).digest('hex')])
}

describe.concurrent('a start fails with one plain line, ends with 1 and changes nothing, if it may not write', () => {
  test.for<[string, (name: string) => { folder: string; database: string }]>([
    [
      'the folder',
      (name) => {
        const made = aFolder(name)
        chmodSync(made.folder, 0o555)
        return made
      },
    ],
    [
      'the folder, and there is no database yet',
      (name) => {
        const folder = join(root, name)
        mkdirSync(folder, 0o555)
        return { folder, database: join(folder, 'jobs.db') }
      },
    ],
    [
      'the folder that it would make one in',
      (name) => {
        const folder = join(root, name)
        mkdirSync(folder, 0o555)
        return { folder, database: join(folder, 'data', 'jobs.db') }
      },
    ],
    [
      'the database',
      (name) => {
        const made = aFolder(name)
        chmodSync(made.folder, 0o777)
        chmodSync(made.database, 0o444)
        return made
      },
    ],
    [
      'the WAL',
      (name) => {
        const made = aFolder(name, { crashed: true })
        chmodSync(made.folder, 0o777)
        chmodSync(`${made.database}-wal`, 0o444)
        return made
      },
    ],
    [
      // Two servers would take the same lock.
      'the file of the lock',
      (name) => {
        const made = aFolder(name)
        chmodSync(made.folder, 0o777)
        openForWriting(`${made.database}-lock`, () => 'id', 0).close()
        chmodSync(`${made.database}-lock`, 0o444)
        return made
      },
    ],
  ])('%s', async ([what, make], { skip }) => {
    if (!canRun) skip('a user to whom permissions apply cannot run the server here')
    const { folder, database } = make(what.replaceAll(' ', '-'))
    const before = contents(folder)

    const { code, stdout, stderr } = await serve(database)
    chmodSync(folder, 0o755)

    expect([code, stdout]).toEqual([1, ''])
    expect(stderr).toMatch(/^jobmachine: .*jobs\.db.*(permissions|mode 0660 for the files and 0770 for the folder)\n$/)
    expect(existsSync(join(folder, 'data'))).toBe(false)
    expect(contents(folder)).toEqual(before)
  })
})
