import { execFile } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { readEnvironment } from '../../src/cli/environment.ts'
import { ConfigError, createJobSystem } from '../../src/index.ts'
import { briefly, built } from '../support/built.ts'
import { tempFolder } from '../support/temp.ts'

/** Paths that do not name a file, and the error for each. */
const bad: [path: string, fault: string][] = [
  [':memory:', 'is ":memory:", which is not a file'],
  [' :memory:', 'which is not a file'],
  [':MEMORY:', 'which is not a file'],
  ['file:jobs.db', 'is an address (file:…)'],
  ['file::memory:?cache=shared', 'is an address (file:…)'],
  ['file:///var/lib/jobs.db', 'is an address (file://…)'],
  ['FILE:jobs.db', 'is an address (FILE:…)'],
  ['sqlite:jobs.db', 'is an address (sqlite:…)'],
  ['sqlite3:///jobs.db', 'is an address (sqlite3://…)'],
  ['libsql://host/db', 'is an address (libsql://…)'],
  ['postgres://user:secret@host/db', 'is an address (postgres://…)'],
  ['postgresql:db', 'is an address (postgresql:…)'],
  ['jobs.db?mode=ro', 'with options of a SQLite address'],
  ['./data/', 'names a folder'],
  ['   ', 'is empty'],
]

describe.each(bad)('a database path %j', (path, fault) => {
  test('is refused by the library before anything is created', async () => {
    const before = readdirSync('.')

    const refused = await createJobSystem({ database: path }).catch((error) => error)

    expect(refused).toBeInstanceOf(ConfigError)
    expect(refused.message).toMatch(/^database .*; it must be the path of a file, such as/)
    expect(refused.message).toContain(fault)
    expect(refused.message).not.toContain('secret')
    expect(readdirSync('.')).toEqual(before)
  })

  test('is refused in the environment', () => {
    const reading = () => readEnvironment({ DATABASE_PATH: path }, '')

    expect(reading).toThrow(ConfigError)
    expect(reading).toThrow(/^DATABASE_PATH /)
    expect(reading).toThrow(fault)
  })
})

test.each([undefined, null, 7, '', 'a\0b', pathToFileURL('/tmp/jobs.db')])(
  '%s is not a valid database path',
  async (path) => {
    const refused = await createJobSystem({ database: path as never }).catch((error) => error)

    expect(refused).toBeInstanceOf(ConfigError)
    expect(refused.message).toContain('it must be the path of a file')
  },
)

test.each(['jobs.db', './a:b.db', 'C:\\data\\jobs.db', 'a b?.db', '/var/lib/jobs://x.db'])(
  '%j is a valid file path',
  (path) => {
    expect(readEnvironment({ DATABASE_PATH: path }, '').databasePath).toBe(path)
  },
)

test('verify refuses what is not a valid file path', async () => {
  const verifying = promisify(execFile)(process.execPath, [...briefly, built('main.js'), 'verify', ':memory:'], {
    cwd: tempFolder(),
  })

  await expect(verifying).rejects.toMatchObject({
    code: 78,
    stderr: expect.stringContaining('the file to verify is ":memory:", which is not a file'),
  })
})
