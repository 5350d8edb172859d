import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openKept } from '../../src/persistence/sqlite/file/kept.ts'
import { runCommand } from '../support/cli.ts'
import { startHttp } from '../support/server.ts'
import { startServer } from '../support/server-process.ts'
import { tempFolder } from '../support/temp.ts'

const verify = (...operands: string[]) => runCommand(['verify', ...operands])

test('it ends with 0 for a valid live file', async () => {
  const { url, database } = await startServer()
  await fetch(`${url}/createJob`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ type: 'sleep', payload: { ms: 1 }, delay_ms: 1e9 }),
  })

  expect(await verify(database)).toEqual({
    code: 0,
    stdout: `${database}: 1 jobs, 1 events, 0 violations\n`,
    stderr: '',
  })
})

test('it ends with 1 for a file with a violation, and names the job and the fault', async () => {
  const { system, database } = await startHttp({ started: false })
  const job = { type: 'sleep', payload: { ms: 1 }, delayMs: 1e9 }
  await system.enqueue([job, job])
  const db = openKept(database)
  db.exec('DROP TRIGGER event_runs_are_final; UPDATE event_runs SET length = 1')
  db.close()

  const { code, stdout } = await verify(database)

  expect(code).toBe(1)
  expect(stdout).toMatch(/^I4 \(.*\), job 2: the row has state scheduled, its history leads to new at seq 0$/m)
})

const text = 'no database, but long enough to look like one '.repeat(50)

test.each<[string, string, (path: string) => void, RegExp]>([
  ['a folder', '', (path) => mkdirSync(path), /is a folder; use the path of a file in it, such as .*jobs\.db$/],
  ['a missing file', '', () => {}, /there is no file .*; give the path of a database/],
  ['a missing folder', '/jobs.db', () => {}, /there is no file .*; give the path of a database/],
  [
    'an empty file',
    '',
    (path) => writeFileSync(path, ''),
    /is empty: it is not yet a jobmachine database; check the path$/,
  ],
  [
    'text',
    '',
    (path) => writeFileSync(path, text),
    /is damaged or not a SQLite file \(.*\); restore it from a backup$/,
  ],
  ['a short text', '', (path) => writeFileSync(path, 'x'), /is damaged or not a SQLite file|is empty/],
  ["another program's", '', anotherPrograms, /is a SQLite file of another program/],
  [
    'a pipe',
    '',
    (path) => void execFileSync('mkfifo', [path]),
    /is a device, a pipe or a socket; use the path of a file$/,
  ],
])('%s cannot be checked: it ends with 1, says what to do, and creates nothing', async (_, below, make, word) => {
  const folder = tempFolder()
  const path = join(folder, 'given')
  make(path)
  const before = readdirSync(folder, { recursive: true })

  const { code, stdout, stderr } = await verify(`${path}${below}`)

  expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
  expect(stderr.trim()).toMatch(word)
  expect(readdirSync(folder, { recursive: true })).toEqual(before)
})

function anotherPrograms(path: string): void {
  const db = openKept(path)
  db.exec('CREATE TABLE t (a)')
  db.close()
}
