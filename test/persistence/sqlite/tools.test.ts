import { execFileSync } from 'node:child_process'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { openForReading } from '../../../src/persistence/sqlite/file/connection.ts'
import { verifyFile } from '../../../src/persistence/sqlite/verify/verify.ts'
import { aJob, openStore } from '../../support/store.ts'
import { until } from '../../support/system.ts'
import { tempFolder } from '../../support/temp.ts'

describe('a log that a long reader has kept from starting over', () => {
  test('is reported once, and is cut when the reader has ended', async () => {
    const { store, path, notices } = await openStore()
    await store.enqueue([aJob()])
    const reader = openForReading(path)
    reader.exec('BEGIN')
    reader.prepare('SELECT count(*) FROM jobs').get()
    const large = () =>
      store.enqueue(Array.from({ length: 40 }, () => aJob({ payload: JSON.stringify('x'.repeat(250_000)) })))
    for (let i = 0; i < 8; i++) await large()
    const grown = statSync(`${path}-wal`).size
    await until(() => notices.length > 0)

    reader.exec('COMMIT')
    reader.close()
    for (let i = 0; i < 3; i++) await store.enqueue([aJob()])

    expect(grown).toBeGreaterThan(67_108_864)
    expect(statSync(`${path}-wal`).size).toBeLessThanOrEqual(16_777_216)
    expect(notices).toEqual([{ type: 'file', message: expect.stringMatching(/has grown to \d+ MB/) }])
  })
})

test('output of the sqlite3 shell’s .dump is refused with what to set, and complete after that', async ({ skip }) => {
  const { store, path } = await openStore()
  await store.enqueue([aJob(), aJob()])
  const restored = join(tempFolder(), 'jobs.db')
  const shell = (file: string, ...args: string[]) => execFileSync('sqlite3', [file, ...args], { encoding: 'utf8' })
  try {
    shell(':memory:', 'SELECT 1')
  } catch {
    skip('there is no sqlite3 shell on this machine')
  }
  execFileSync('sqlite3', [restored], { input: shell(path, '.dump') })

  const refusal = await openStore({ path: restored }).catch((error: Error) => error.message)
  const [, pragmas] = /run: sqlite3 '.*' '(PRAGMA .*)', then/.exec(String(refusal)) ?? []
  shell(restored, pragmas!)

  expect(verifyFile(restored)).toMatchObject({ jobs: 2, violations: [] })
  const again = await openStore({ path: restored, newDatabaseId: 'later' })
  expect(await again.store.enqueue([aJob()])).toMatchObject({ outcome: 'stored' })
})
