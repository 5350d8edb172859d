import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { openKept } from '../src/persistence/sqlite/kept.ts'
import { briefly, built } from './support/built.ts'
import { startServer } from './support/server-process.ts'
import { tempFolder } from './support/temp.ts'

const main = built('main.js')
const verify = (...operands: string[]) =>
  promisify(execFile)(process.execPath, [...briefly, main, 'verify', ...operands]).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    ({ code, stdout, stderr }) => ({ code, stdout, stderr }),
  )

test('a live file that is whole ends with 0', async () => {
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

test('a file that breaks the law ends with 1, and names the job and what is wrong', async () => {
  const { url, database } = await startServer()
  const job = { type: 'sleep', payload: { ms: 1 }, delay_ms: 1e9 }
  await fetch(`${url}/jobs`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify([job, job]),
  })
  const db = openKept(database)
  db.exec('DROP TRIGGER event_runs_are_final; UPDATE event_runs SET length = 1')
  db.close()

  const { code, stdout } = await verify(database)

  expect(code).toBe(1)
  expect(stdout).toMatch(/^I4 \(.*\), job 2: the row has state scheduled, its history leads to new at seq 0$/m)
})

test('what is no database of ours ends with 1 and a word about it', async () => {
  const path = join(tempFolder(), 'text')
  writeFileSync(path, 'no database, but long enough to look like one '.repeat(50))

  expect(await verify(path)).toMatchObject({ code: 1, stderr: expect.stringMatching(/cannot be checked/) })
  expect(await verify(`${path}.missing`)).toMatchObject({ code: 1, stderr: expect.stringMatching(/there is no file/) })
})
