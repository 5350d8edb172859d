import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test, vi } from 'vitest'
import { builtinHandlers } from '../src/handlers/builtin.ts'
import { toMermaid } from '../src/machines/chart.ts'
import { lifecyclePage } from '../src/machines/lifecycle.ts'
import { openKept } from '../src/persistence/sqlite/file/kept.ts'
import { briefly, built } from './support/built.ts'
import { aDatabase } from './support/postgres.ts'
import { postgresMissing } from './support/postgres-server.ts'
import { startHttp } from './support/server.ts'
import { isWhole } from './support/share.ts'
import { aJob } from './support/store.ts'
import { tempFolder } from './support/temp.ts'
import { leasesOf, newCalls, openWriter, setsOf } from './support/writer.ts'

const run = promisify(execFile)
const root = resolve(import.meta.dirname, '..')
const read = (path: string) => readFileSync(join(root, path), 'utf8')
const blocks = (text: string, language: string) =>
  [...text.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, 'gms'))].map((match) => match[1]!)

/** A folder that stands for a user's project: `jobmachine` and its dependencies can be imported from it. */
function userProject(): string {
  const folder = tempFolder()
  mkdirSync(join(folder, 'node_modules'))
  for (const name of readdirSync(join(root, 'node_modules'))) {
    symlinkSync(join(root, 'node_modules', name), join(folder, 'node_modules', name))
  }
  symlinkSync(root, join(folder, 'node_modules', 'jobmachine'))
  return folder
}

/** The output of a program that is run in this process, in its own folder: its imports are loaded already. */
async function printed(folder: string, program: string, args: readonly string[] = []): Promise<string> {
  const { argv } = process
  const back = process.cwd()
  const log = vi.spyOn(console, 'log').mockImplementation(() => undefined)
  try {
    process.argv = [process.execPath, program, ...args]
    process.chdir(folder)
    await import(/* @vite-ignore */ join(folder, program))
    return log.mock.calls.map((words) => `${words.join(' ')}\n`).join('')
  } finally {
    log.mockRestore()
    process.chdir(back)
    process.argv = argv
  }
}

describe('the README', () => {
  const readme = read('README.md')

  test('shows the machine’s lifecycle', () => {
    expect(blocks(readme, 'mermaid')).toEqual([`${toMermaid()}\n`])
  })

  test('has a library example that runs', async () => {
    const folder = userProject()
    const [example] = blocks(readme, 'js')
    const end = `while ((await system.counts()).succeeded === 0) await new Promise((resolve) => setTimeout(resolve, 5))
      await system.stop()`
    writeFileSync(join(folder, 'example.mjs'), `${example}\n${end}\n`)

    expect(await printed(folder, 'example.mjs')).toBe('resizing cat.png to 300, attempt 1\n')
  })

  test('has an example of a transaction, which stores both or neither', async () => {
    const folder = userProject()
    const [example, , ofTransaction] = blocks(readme, 'js')
    const before = `import Database from 'better-sqlite3'
      const db = new Database('data/app.db')
      db.pragma('synchronous = FULL')
      db.exec('CREATE TABLE orders (image TEXT NOT NULL)')`
    const after = `const { committed } = buy('dog.png')
      try { buy(null) } catch ({ code }) { console.log(code, committed) }
      while ((await system.counts()).succeeded < 2) await new Promise((resolve) => setTimeout(resolve, 5))
      await system.stop()`
    writeFileSync(join(folder, 'example.mjs'), [example, before, ofTransaction, after].join('\n'))

    const { stdout } = await run(process.execPath, [...briefly, 'example.mjs'], { cwd: folder })

    expect(stdout.split('\n').sort()).toEqual([
      '',
      'SQLITE_CONSTRAINT_NOTNULL false',
      'resizing cat.png to 300, attempt 1',
      'resizing dog.png to 100, attempt 1',
    ])
  })

  test('stays short: at most 160 lines', () => {
    expect(readme.trimEnd().split('\n').length).toBeLessThanOrEqual(160)
  })
})

test('the example of docs/schedules.md makes its job', async () => {
  const folder = userProject()
  const [example] = blocks(read('docs/schedules.md'), 'js')
  const end = `while ((await system.counts()).succeeded === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    await system.stop()`
  writeFileSync(join(folder, 'example.mjs'), `${example}\n${end}\n`)

  const { stdout } = await run(process.execPath, [...briefly, 'example.mjs'], { cwd: folder })

  expect(stdout.split('\n').sort()).toEqual(['', '1', 'a report for Ada'])
})

test('docs/schedules.md has a report for the days of its ticks, however late its job runs', async () => {
  const folder = userProject()
  const [, example] = blocks(read('docs/schedules.md'), 'js')
  const program = `import { defineHandler } from 'jobmachine'
    import { createTestSystem, runHandler } from 'jobmachine/testing'
    import { z } from 'zod'
    ${example}
    const job = { type: 'daily-report', payload: { customer: 'Ada' } }
    const schedule = { name: 'daily', cron: '0 0 * * *', zone: 'Europe/Berlin', job }
    const jobs = await createTestSystem({ handlers: [daily], startAt: Date.UTC(2030, 0, 1, 12) })
    await jobs.system.schedules.put(schedule)
    await jobs.advance('11h')
    await jobs.enqueue(job)
    await jobs.drain()
    await jobs.stop()
    const made = { name: 'daily', tick: Date.UTC(2030, 0, 3, 23), missed: 2, firstMissed: Date.UTC(2030, 0, 2, 23) }
    await runHandler(daily, job.payload, { schedule: async () => made })`
  writeFileSync(join(folder, 'example.mjs'), program)

  const { stdout } = await run(process.execPath, [...briefly, 'example.mjs'], { cwd: folder })

  expect(stdout.split('\n')).toEqual([
    'a report for Ada, from 2030-01-02 to 2030-01-02',
    'a report for Ada, beside the ticks',
    'a report for Ada, from 2030-01-03 to 2030-01-04',
    '',
  ])
})

test('the example of docs/tracing.md makes its spans', async () => {
  const folder = userProject()
  const [example] = blocks(read('docs/tracing.md'), 'js')
  const end = `while ((await system.counts()).succeeded === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    await system.stop()
    console.log(exporter.getFinishedSpans().map(({ name }) => name).join())`
  writeFileSync(join(folder, 'example.mjs'), `${example}\n${end}\n`)

  const { stdout } = await run(process.execPath, ['example.mjs'], { cwd: folder })

  expect(stdout.split('\n')[0]).toBe('true')
  expect(stdout.trim().split('\n')[1]?.split(',').sort()).toEqual([
    'POST /images',
    'enqueue default',
    'process default',
    'resize cat.png',
  ])
})

test('the example of results in docs/embedding.md gives the result of its handler', async () => {
  const folder = userProject()
  const example = blocks(read('docs/embedding.md'), 'js').find((block) => block.includes('enqueueAndWait'))!
  const [handler, use] = example.split('\n\n') as [string, string]
  const before = `import { createJobSystem, defineHandler } from 'jobmachine'
    import { z } from 'zod'
    const sizeOf = async (image) => ({ width: image.length, height: 5, bytes: 9 })
    const id = 1`
  const between = `const system = await createJobSystem({ database: 'data/app.db', handlers: [measure] })
    await system.start()`
  const after = `console.log(width, JSON.stringify(again))
    await system.stop()`
  writeFileSync(join(folder, 'results.mjs'), [before, handler, between, use, after].join('\n'))

  expect(await printed(folder, 'results.mjs')).toBe('7 {"width":7,"height":5}\n')
})

test('the example of SQLite in docs/transactions.md stores the job with its order', async () => {
  const folder = userProject()
  const example = blocks(read('docs/transactions.md'), 'js').find((block) => block.includes('new Database'))
  const before = `import { createJobSystem, defineHandler } from 'jobmachine'
    import Database from 'better-sqlite3'
    import { z } from 'zod'
    const confirmOrder = defineHandler({ type: 'confirm', payload: z.strictObject({ order: z.int() }), run({ order }) { console.log('order', order) } })
    const system = await createJobSystem({ database: 'data/app.db', handlers: [confirmOrder] })
    await system.start()
    new Database('data/app.db').exec('CREATE TABLE orders (id INTEGER PRIMARY KEY, email TEXT)')`
  const after = `while ((await system.counts()).succeeded < 1) await new Promise((resolve) => setTimeout(resolve, 5))
    await system.stop()
    console.log(job.committed)`
  writeFileSync(join(folder, 'example.mjs'), [before, example, after].join('\n'))

  const { stdout } = await run(process.execPath, [...briefly, 'example.mjs'], { cwd: folder })

  expect(stdout).toBe('order 1\nfalse\n')
})

test.skipIf(postgresMissing)(
  'the examples of PostgreSQL in docs/transactions.md store and complete a job with its rows',
  async () => {
    const folder = userProject()
    const [enqueue, , complete] = blocks(read('docs/transactions.md'), 'js')
    const before = `import { createJobSystem, defineHandler } from 'jobmachine'
    import pg from 'pg'
    import { z } from 'zod'
    const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL })
    await pool.query('CREATE TABLE orders (id int GENERATED ALWAYS AS IDENTITY, email text); CREATE TABLE accounts (order_id int, balance int); INSERT INTO accounts VALUES (1, 20)')`
    const between = `const confirmOrder = defineHandler({ type: 'confirm', payload: z.strictObject({ order: z.int() }), run: ({ order }) => system.enqueue(settle, { order }) })
    const system = await createJobSystem({ postgres: process.env.DATABASE_URL, handlers: [confirmOrder, settle] })
    await system.start()`
    const after = `while ((await system.counts()).succeeded < 2) await new Promise((resolve) => setTimeout(resolve, 5))
    await system.stop()
    console.log(job.committed, (await pool.query('SELECT email, balance FROM orders JOIN accounts ON order_id = id')).rows)
    await pool.end()`
    writeFileSync(join(folder, 'example.mjs'), [before, complete, between, enqueue, after].join('\n'))

    const env = { ...process.env, DATABASE_URL: await aDatabase() }
    const { stdout } = await run(process.execPath, [...briefly, 'example.mjs'], { cwd: folder, env })

    expect(stdout).toBe("false [ { email: 'ada@example.org', balance: 15 } ]\n")
  },
)

const pages = ['README.md', 'CHANGELOG.md', 'bench/README.md', 'test/servers/README.md'].concat(
  readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.md'))
    .map((path) => `docs/${path}`),
)

test.each(pages)('%s has lines of at most 120 characters, except for tables and code', (path) => {
  const prose = read(path).replace(/^```.*?^```$/gms, '')
  const long = prose.split('\n').filter((line) => line.length > 120 && !line.startsWith('|'))

  expect(long).toEqual([])
})

test('the lifecycle page is what the machines produce: npm run docs:lifecycle writes it', () => {
  expect(read('docs/lifecycle.md')).toBe(lifecyclePage())
})

/** With the handlers that a server comes with. */
const startBuiltin = () => {
  const handlers = builtinHandlers({ smtp: {}, webhook: { allowPrivate: false }, retryMaxMs: 1, now: () => 0 })
  return startHttp({ handlers })
}

test('the server accepts every curl of the docs', async () => {
  const server = await startBuiltin()
  const commands = ['README.md', 'docs/http.md']
    .flatMap((path) => blocks(read(path), 'sh'))
    .flatMap((block) => block.replaceAll('\\\n', ' ').split(/\n(?=curl)/))
    .filter((command) => command.startsWith('curl'))
    .map((command) => command.replaceAll('http://localhost:8080', server.url))

  for (const command of commands) {
    const { stdout } = await run('sh', ['-c', `${command.replace(/^curl/, 'curl -s -w "\\n%{http_code}"')}`])
    expect([command, stdout.trim().split('\n').at(-1)]).toEqual([command, expect.stringMatching(/^20[01]$/)])
  }

  expect(commands.length).toBeGreaterThanOrEqual(4)
})

test('the backup of the operations page has everything that was acknowledged', async () => {
  const server = await startBuiltin()
  const folder = dirname(server.database)
  await server.post('/createJob', { type: 'sleep', payload: { ms: 1 }, delay_ms: 1e9 })
  const [backup] = blocks(read('docs/operations.md'), 'sh').filter((block) => block.includes('backup'))
  const command = backup!.replaceAll('data/jobs.db', server.database).replace('dist/main.js', built('main.js'))

  const { stdout } = await run('sh', ['-c', command], { cwd: folder })

  expect(stdout).toMatch(/^backup\.db: [\d,]+ bytes, up to transition 1 and job 1, checked and flushed\n$/)
  const db = openKept(join(folder, 'backup.db'), { readonly: true })
  expect(db.prepare('SELECT state FROM jobs').pluck().all()).toEqual(['scheduled'])
  db.close()
})

test('the queries of the operations page find all of a job’s history and its end, among other jobs', () => {
  const [whole, newest] = blocks(read('docs/operations.md'), 'sql')
  const { db, commit } = openWriter()
  commit((writer) => writer.enqueue(newCalls(Array.from({ length: 45 }, () => aJob())), 0))
  for (let round = 0; round < 8; round++) {
    const { jobs } = commit((writer) => writer.lease([{ limit: 45, start: true }], 0))
    commit((writer) => writer.apply(setsOf('release', leasesOf(jobs)), 0))
  }

  const seqs = (sql: string) => (db.prepare(sql).all() as { seq: number }[]).map(({ seq }) => seq)

  expect(seqs(whole!)).toEqual(Array.from({ length: 25 }, (_, index) => index + 1))
  expect(seqs(newest!)).toEqual(Array.from({ length: 20 }, (_, index) => 25 - index))
})

test.each(readdirSync(join(root, 'examples')).filter((name) => name.endsWith('.js')))(
  'the example %s runs',
  async (name) => {
    const folder = userProject()
    cpSync(join(root, 'examples', name), join(folder, 'example.mjs'))

    expect(await printed(folder, 'example.mjs', [join(folder, 'example.db')])).toMatch(/succeed → succeeded/)
  },
)

test.runIf(isWhole)(
  'the example of the testing page runs',
  async () => {
    const folder = userProject()
    const [example] = blocks(read('docs/testing.md'), 'js')
    writeFileSync(join(folder, 'example.test.mjs'), example!)

    // Not with --test, which starts another process for each file.
    const args = [...briefly, '--test-reporter=tap', 'example.test.mjs']
    const { stdout } = await run(process.execPath, args, { cwd: folder })

    expect(stdout).toMatch(/^# pass 4$/m)
  },
  180_000,
)

describe('the page of bounds', () => {
  const rows = read('docs/bounds.md')
    .split('\n')
    .filter((line) => /^\| (?!bound |---)/.test(line))

  test('has rows', () => {
    expect(rows.length).toBeGreaterThan(40)
  })

  test.each(rows)('has the number that the code has, and an existing test: %.60s', (row) => {
    const [, number = '', setIn = '', , tested = ''] = row.split(' | ')
    const [, file = '', name = ''] = /^`(src\/[^`]+)`: `(\w+)`$/.exec(setIn) ?? []
    const [, testFile = '', title = ''] = /`(test\/[^`]+)`: "([^"]+)"/.exec(tested) ?? []
    const inCode = number.trim().replaceAll(',', '_')

    const setting = readFileSync(join(root, file), 'utf8')
      .split('\n')
      .filter((line) => new RegExp(`^\\s*(export )?(static )?(readonly )?(const )?${name}\\b`).test(line))
    expect(setting.join('\n')).toMatch(new RegExp(`\\b${inCode}\\b`))
    expect(readFileSync(join(root, testFile), 'utf8')).toContain(title)
  })
})

describe.each(['guarantees', 'security'])('the page of %s', (page) => {
  const named = [...read(`docs/${page}.md`).matchAll(/`(test\/[^`]+)`: "([^"]*)"/g)]

  test.each(named.map(([, file, title]) => [title!, file!]))('names an existing test: %s', (title, file) => {
    expect(title).not.toBe('')
    expect(readFileSync(join(root, file), 'utf8')).toContain(title)
  })

  test('names a test for each promise', () => {
    const promises = read(`docs/${page}.md`)
      .split('\n\n')
      .flatMap((part) => (/^(## .*\n)?\| promise/.test(part) ? part.split('\n') : []))
      .filter((line) => /^\| (?!promise|---)/.test(line))

    expect(promises.length).toBeGreaterThan(10)
    expect(promises.filter((row) => !/`test\//.test(row))).toEqual([])
  })
})
