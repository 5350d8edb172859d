import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { describe, expect, test } from 'vitest'
import { migrations } from '../../src/persistence/postgres/migrate.ts'
import { briefly, built } from '../support/built.ts'
import { type CommandResult, runCommand } from '../support/cli.ts'
import { aDatabase, openPostgres } from '../support/postgres.ts'
import { postgresMissing } from '../support/postgres-server.ts'
import { aJob, openStore } from '../support/store.ts'
import { tempFolder, whenDone } from '../support/temp.ts'

async function run(schema: string, ...args: string[]): Promise<CommandResult> {
  const env = { DATABASE_URL: await aDatabase(), DATABASE_SCHEMA: schema }
  return runCommand(args, { env, folder: tempFolder() })
}

describe.skipIf(postgresMissing)('the commands with DATABASE_URL', () => {
  test('migrate makes the schema, and does nothing the second time', async () => {
    const runs = [await run('of_migrate', 'migrate'), await run('of_migrate', 'migrate')]

    expect(runs.map(({ code, stderr }) => [code, stderr])).toEqual([
      [0, ''],
      [0, ''],
    ])
    expect(runs[0]!.stdout).toContain(`, schema of_migrate: the schema has version ${migrations.length}\n`)
  })

  test('verify checks the database', async () => {
    const { store, path } = await openPostgres()
    await store.enqueue([aJob(), aJob()])

    const { code, stdout } = await run(path, 'verify')

    expect(code).toBe(0)
    expect(stdout).toMatch(/: 2 jobs, 2 events, 0 violations\n$/)
  })

  test('verify makes no schema: it says that there is none', async () => {
    const runs = [await run('misspelt', 'verify'), await run('misspelt', 'verify')]

    expect(runs.map(({ code }) => code)).toEqual([1, 1])
    for (const { stderr } of runs) expect(stderr).toContain('there is no schema misspelt with jobs in the database')
  })

  test.each([
    { command: ['backup', 'copy.db'], instead: 'use pg_dump' },
    { command: ['compact'], instead: 'use VACUUM' },
    { command: ['migrate', '--to', 'postgres://db/app'], instead: 'use jobmachine migrate FILE --to' },
  ])('$command.0 is for a file, and says what to use: $instead', async ({ command, instead }) => {
    const { code, stderr } = await run('unused', ...command)

    expect(code).toBe(78)
    expect(stderr).toContain(`this command is for a file; for PostgreSQL ${instead}`)
  })

  test('serve runs on it, and says so', async () => {
    const env = {
      PATH: process.env.PATH ?? '',
      DATABASE_URL: await aDatabase(),
      DATABASE_SCHEMA: 'of_serve',
      PORT: '0',
    }
    const server = spawn(process.execPath, [...briefly, built('main.js'), 'serve'], { env, cwd: tempFolder() })
    whenDone(() => void server.kill('SIGKILL'))
    const lines = createInterface({ input: server.stdout })

    for await (const line of lines) if (JSON.parse(line).msg === 'listening') break
    server.kill('SIGTERM')

    expect(await once(server, 'exit')).toEqual([0, null])
  })
})

describe.skipIf(postgresMissing)('migrate --to', () => {
  async function move(...args: string[]) {
    const cwd = tempFolder()
    const words = ['migrate', ...args, '--to', await aDatabase()]
    return { cwd, ...(await runCommand(words, { folder: cwd })) }
  }

  test('moves the jobs of a file, says what it did, and says the same the next time', async () => {
    const { store, path } = await openStore()
    await store.enqueue([aJob(), aJob()])
    await store.close()

    const { code, stdout, stderr } = await move(path, '--schema', 'moved')
    const again = await move(path, '--schema', 'moved')

    expect(code).toBe(0)
    expect(stderr).toContain('both sides are the same: closing the file')
    expect(stdout).toMatch(
      /: its 2 jobs are now in postgres:\/\/\/\w+, schema moved\n2 transitions were copied, read back and/,
    )
    expect(stdout).toMatch(
      /writes were refused for \d+\.\d s, .*\nThe file is closed for good\. Start with DATABASE_URL/,
    )
    expect(again).toMatchObject({ code: 0, stderr: '' })
    expect(again.stdout).toContain('its 2 jobs are now in')
    const serve = await runCommand([], { env: { DATABASE_PATH: path } })
    expect(serve.code).toBe(1)
    expect(serve.stderr).toMatch(/moved to postgres:\/\/\/\w+, schema moved on .*: start with DATABASE_URL/)
  })

  test('moves them to the schema of DATABASE_SCHEMA if no other is named', async () => {
    const { store, path } = await openStore()
    await store.enqueue([aJob()])
    await store.close()
    const words = ['migrate', path, '--to', await aDatabase()]

    const { code, stdout } = await runCommand(words, { env: { DATABASE_SCHEMA: 'of_environment' } })

    expect(code).toBe(0)
    expect(stdout).toContain(', schema of_environment\n')
    expect(stdout).toContain('DATABASE_SCHEMA=of_environment')
  })

  test.each([
    { args: ['missing.db'], code: 78, says: 'missing.db, does not exist' },
    { args: ['a.db', 'b.db'], code: 64, says: 'migrate does not accept these arguments: ' },
    { args: ['--now'], code: 64, says: 'migrate does not accept these arguments: ' },
    { args: ['a.db', '--schema', 'Not this'], code: 64, says: 'has a schema that is not' },
  ])('with $args ends with $code, and creates nothing', async ({ args, code, says }) => {
    const ended = await move(...args)

    expect(ended).toMatchObject({ code, stdout: '' })
    expect(ended.stderr).toContain(says)
    expect(existsSync(join(ended.cwd, 'missing.db'))).toBe(false)
  })

  test('names the variable whose schema is none', async () => {
    const { code, stderr } = await runCommand(['migrate', 'a.db', '--to', 'postgres://db/app'], {
      env: { DATABASE_SCHEMA: 'Not this' },
    })

    expect(code).toBe(64)
    expect(stderr).toContain('DATABASE_SCHEMA is "Not this"; it must be ')
  })

  test('does not repeat the password', async () => {
    const { store, path } = await openStore()
    await store.close()
    const to = 'postgres://jobs:s3cret@127.0.0.1:1/app'

    const { code, stderr } = await runCommand(['migrate', path, '--to', to])

    expect(code).toBe(1)
    expect(stderr).toContain('the database cannot be reached')
    expect(stderr).not.toContain('s3cret')
  })
})

test('serve without the package pg says how to install it', () => {
  const folder = tempFolder()
  cpSync(dirname(built('main.js')), join(folder, 'dist'), { recursive: true })
  cpSync('package.json', join(folder, 'package.json'))
  mkdirSync(join(folder, 'node_modules'))
  for (const name of readdirSync('node_modules').filter((each) => each !== 'pg' && !each.startsWith('.')))
    symlinkSync(resolve('node_modules', name), join(folder, 'node_modules', name))

  const env = { PATH: process.env.PATH ?? '', DATABASE_URL: 'postgres://localhost/app' }
  const { status, stderr } = spawnSync(process.execPath, [join(folder, 'dist/main.js')], {
    env,
    encoding: 'utf8',
    cwd: folder,
  })

  expect([status, stderr]).toEqual([
    1,
    'jobmachine: postgres needs the package pg, which is not installed: npm install pg\n',
  ])
})
