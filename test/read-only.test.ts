import { createHash } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openForWriting } from '../src/persistence/sqlite/file/connection.ts'
import { type CommandResult, runCommand } from './support/cli.ts'
import { cleanUp, tempFolder } from './support/temp.ts'

/** Permission bits do not restrict root: if the tests run as root, the server runs with the rights of `nobody`. */
const nobody = 65_534

let root: string
beforeAll(() => {
  root = tempFolder()
  chmodSync(root, 0o755)
})
afterAll(cleanUp)

/** Runs the server in this process, with those rights, until it ends. */
async function serve(database: string): Promise<CommandResult> {
  const isRoot = process.geteuid?.() === 0
  if (isRoot) process.seteuid?.(nobody)
  try {
    return await runCommand([], { folder: '/', env: { PORT: '0', DATABASE_PATH: database } })
  } finally {
    if (isRoot) process.seteuid?.(0)
  }
}

/** A folder with a database that was closed cleanly by default. */
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

/** What is stored, without what SQLite keeps for its readers. */
function contents(folder: string) {
  return readdirSync(folder)
    .filter((file) => !/-(lock|shm)$/.test(file))
    .map((file) => [file, readFileSync(join(folder, file))] as const)
    .filter(([file, bytes]) => !file.endsWith('-wal') || bytes.length > 0)
    .map(([file, bytes]) => [file, createHash('sha256').update(bytes).digest('hex')])
}

describe('a start fails with one plain line, ends with 1 and changes nothing, if it may not write', () => {
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
  ])('%s', async ([what, make]) => {
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
