import { spawnSync } from 'node:child_process'
import { describe, expect, test } from 'vitest'
import { built } from '../support/built.ts'
import { aDatabase, openPostgres } from '../support/postgres.ts'
import { postgresMissing } from '../support/postgres-server.ts'
import { aJob } from '../support/store.ts'
import { tempFolder } from '../support/temp.ts'

async function run(schema: string, ...args: string[]) {
  const env = { PATH: process.env.PATH ?? '', DATABASE_URL: await aDatabase(), DATABASE_SCHEMA: schema }
  return spawnSync(process.execPath, [built('main.js'), ...args], { env, encoding: 'utf8', cwd: tempFolder() })
}

describe.skipIf(postgresMissing)('the commands with DATABASE_URL', () => {
  test('migrate makes the schema, and does nothing the second time', async () => {
    const runs = [await run('of_migrate', 'migrate'), await run('of_migrate', 'migrate')]

    expect(runs.map(({ status, stderr }) => [status, stderr])).toEqual([
      [0, ''],
      [0, ''],
    ])
    expect(runs[0]!.stdout).toMatch(/, schema of_migrate: the schema has version 3\n$/)
  })

  test('verify checks the database', async () => {
    const { store, path } = await openPostgres()
    await store.enqueue([aJob(), aJob()])

    const { status, stdout } = await run(path, 'verify')

    expect(status).toBe(0)
    expect(stdout).toMatch(/: 2 jobs, 2 events, 0 violations\n$/)
  })

  test('backup names the tool of PostgreSQL', async () => {
    const { status, stderr } = await run('unused', 'backup', 'copy.db')

    expect(status).toBe(78)
    expect(stderr).toContain('pg_dump')
  })
})
