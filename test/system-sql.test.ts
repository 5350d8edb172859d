import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { promisify } from 'node:util'
import type Database from 'better-sqlite3'
import { beforeAll, describe, expect, test } from 'vitest'
import { openKept } from '../src/persistence/sqlite/file/kept.ts'
import { openSystem, startSystem, until, untilFinished, untilState } from './support/system.ts'
import { whenDone } from './support/temp.ts'

const run = promisify(execFile)

/** A script for Python's `sqlite3`, with a connection `db` to the file. */
async function python(path: string, script: string): Promise<string> {
  const begin = `import json, sqlite3, sys\ndb = sqlite3.connect(sys.argv[1])\n`
  const { stdout } = await run('python3', ['-c', `${begin}${script}`, path])
  return stdout
}

const has = async (command: string) => (await run(command, ['--version']).catch(() => null)) !== null

/** A file with the client's own connection to it, as another program would open it. */
async function withClient() {
  const { system, path, clock } = await openSystem({ runs: { work() {} } })
  const db = openKept(path)
  whenDone(() => db.close())
  return { system, db, path, clock }
}

function insert(db: Database.Database, values: Record<string, unknown>, verb = 'INSERT'): void {
  const names = Object.keys(values)
  db.prepare(`${verb} INTO new_jobs (${names}) VALUES (${names.map(() => '?')})`).run(...Object.values(values))
}

const count = (db: Database.Database) => db.prepare('SELECT count(*) FROM jobs').pluck().get()

const nested = (levels: number) => '['.repeat(levels) + ']'.repeat(levels)
const elements = (length: number) => JSON.stringify(Array.from({ length }, () => 1))

describe('an INSERT into new_jobs', () => {
  test('is a job like any other: with the same defaults, history, counts and cause', async () => {
    const { system, db } = await withClient()
    const direct = await system.enqueue({ type: 'work', payload: { n: 1 } })

    insert(db, { type: 'work', payload: '{ "n": 1 }' })

    const { id: _, createdAt, runAt, ...job } = (await system.find(2))!
    const { id: __, createdAt: ___, runAt: ____, ...other } = (await system.find(direct.id))!
    expect(job).toEqual(other)
    expect(runAt).toBe(createdAt)
    expect(await system.history(2)).toMatchObject([
      { seq: 1, event: 'enqueue', from: null, to: 'queued', attempt: 0, at: createdAt, cause: 'sql' },
    ])
    expect(await system.counts()).toMatchObject({ queued: 2 })
    expect((await system.explain(2)).summary).toContain('An SQL client enqueued it')
    expect((await system.verify()).violations).toEqual([])
  })

  test('keeps each value that it is given, also numbers that a driver binds as text or as a float', async () => {
    const { system, db } = await withClient()
    const given = {
      type: 'work',
      queue: 'mail',
      payload: '[1.5,"ä",null]',
      idempotency_key: 'ü',
      actor: 'ada',
      reason: '"so"',
    }

    insert(db, { ...given, priority: '-7', max_retries: 0, timeout_ms: 5_000.0, delay_ms: 1_000_000_000_000n })
    insert(db, { type: 'work', payload: '1', run_at: '2100-01-31T10:30:00.250+01:00' })
    insert(db, { type: 'work', payload: '1', run_at: Date.UTC(2100, 0, 31, 9, 30) })
    insert(db, { type: 'work', payload: 'null', run_at: 1 })

    const [now, last, text, first] = (await system.list()).jobs
    expect(first).toMatchObject({
      queue: 'mail',
      payload: [1.5, 'ä', null],
      priority: -7,
      maxRetries: 0,
      timeoutMs: 5_000,
    })
    expect(first).toMatchObject({
      idempotencyKey: 'ü',
      state: 'scheduled',
      runAt: first!.createdAt + 1_000_000_000_000,
    })
    expect((await system.history(first!.id))[0]).toMatchObject({ cause: 'sql', actor: 'ada', reason: '"so"' })
    expect([text!.runAt, last!.runAt]).toEqual([Date.UTC(2100, 0, 31, 9, 30, 0, 250), Date.UTC(2100, 0, 31, 9, 30)])
    expect(now).toMatchObject({ state: 'queued', payload: null, runAt: now!.createdAt })
    expect((await system.verify()).violations).toEqual([])
  })

  test.each([
    ['at its bounds', { priority: 100, max_retries: 1_000, timeout_ms: 86_400_000, delay_ms: 3_155_760_000_000 }],
    ['at its other bounds', { priority: -100, max_retries: 0, timeout_ms: 1, delay_ms: 0 }],
    [
      'with the longest names',
      { type: 'x'.repeat(64), queue: `9${'._:-'.repeat(15)}abc`, idempotency_key: 'ä'.repeat(255) },
    ],
    ['with 64 levels', { payload: nested(64) }],
    ['with 10,000 elements', { payload: elements(10_000) }],
    ['with 262,144 bytes', { payload: JSON.stringify('x'.repeat(262_142)) }],
    ['with the smallest of integers', { payload: '[-9223372036854775808, 1e308, -1e308]' }],
    ['in the last year', { run_at: '9999-12-31T23:59:59Z' }],
  ])('is accepted %s', async (_, values) => {
    const { system, db } = await withClient()

    insert(db, { type: 'work', payload: '{}', ...values })

    expect((await system.list()).jobs).toHaveLength(1)
    expect((await system.verify()).violations).toEqual([])
  })

  test('with a key that was used is ignored if it is the same, and refused if it is another', async () => {
    const { system, db } = await withClient()
    const job = { type: 'work', payload: '{"n": 1}', idempotency_key: 'k', run_at: '2100-01-01T00:00:00Z' }
    insert(db, job)
    await system.enqueue({ type: 'work', payload: 1, idempotencyKey: 'of the library' })

    insert(db, { ...job, payload: '{"n":1}', run_at: Date.UTC(2100, 0, 1) })

    expect(count(db)).toBe(2)
    for (const other of [
      { payload: '2' },
      { type: 'x' },
      { queue: 'x' },
      { priority: 1 },
      { max_retries: 1 },
      { timeout_ms: 1 },
      { run_at: 1 },
    ])
      expect(() => insert(db, { ...job, ...other })).toThrow(/idempotency_key was used before, with other content/)
    expect(() => insert(db, { type: 'work', payload: '1', idempotency_key: 'of the library' })).toThrow(
      /was used before/,
    )
    await expect(system.enqueue({ type: 'work', payload: 1, idempotencyKey: 'k' })).rejects.toMatchObject({
      code: 'idempotency_conflict',
    })
    expect((await system.verify()).violations).toEqual([])
  })

  test.each(['INSERT OR REPLACE', 'INSERT OR IGNORE', 'INSERT OR FAIL', 'REPLACE'])(
    'by %s neither replaces nor loses anything',
    async (verb) => {
      const { system, db } = await withClient()
      insert(db, { type: 'work', payload: '1', idempotency_key: 'k' })

      expect(() => insert(db, { type: 'work', payload: '2', idempotency_key: 'k' }, verb)).toThrow(/was used before/)
      insert(db, { type: 'work', payload: '3', idempotency_key: 'other' }, verb)
      insert(db, { type: 'work', payload: '4' }, verb)

      expect((await system.list()).jobs.map(({ payload }) => payload)).toEqual([4, 3, 1])
      expect(await system.counts()).toMatchObject({ queued: 3 })
      expect((await system.verify()).violations).toEqual([])
    },
  )

  test('of a thousand rows in one statement is all of them or none, less those that are there', async () => {
    const { system, db } = await withClient()
    db.exec(`CREATE TABLE orders (n INTEGER); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
      INSERT INTO orders SELECT i FROM n`)
    const all = `INSERT INTO new_jobs (type, payload, idempotency_key) SELECT 'work', json_object('n', n), 'order-' || n FROM orders ORDER BY n`
    insert(db, { type: 'work', payload: '{"n":500}', idempotency_key: 'order-500' })

    db.exec(all)
    expect(() =>
      db.exec(`${all.replace("'order-' || n", 'NULL').replace("'work'", "iif(n = 999, '', 'work')")}`),
    ).toThrow(/type must be/)

    expect(count(db)).toBe(1_000)
    expect((await system.find(2))?.payload).toEqual({ n: 1 })
    expect((await system.find(1_000))?.payload).toEqual({ n: 1_000 })
    expect(await system.counts()).toMatchObject({ queued: 1_000 })
    expect((await system.verify()).violations).toEqual([])
  })

  test('is there exactly if the transaction of its client commits', async () => {
    const { system, db, path } = await withClient()
    db.exec('CREATE TABLE orders (n INTEGER)')
    db.exec('BEGIN; INSERT INTO orders VALUES (1)')
    insert(db, { type: 'work', payload: '1' })
    db.exec('ROLLBACK')
    db.exec('BEGIN; INSERT INTO orders VALUES (2)')
    insert(db, { type: 'work', payload: '2' })
    db.exec('SAVEPOINT s')
    insert(db, { type: 'work', payload: '3' })
    db.exec('ROLLBACK TO s; COMMIT')
    const killed = spawn('python3', [
      '-c',
      `
import sqlite3, sys, time
db = sqlite3.connect(sys.argv[1])
db.execute("INSERT INTO orders VALUES (4)")
db.execute("INSERT INTO new_jobs (type, payload) VALUES ('work', '4')")
print('inserted', flush=True)
time.sleep(60)`,
      path,
    ])
    if (await has('python3')) {
      await once(killed.stdout, 'data')
      killed.kill('SIGKILL')
      await once(killed, 'close')
    }

    const job = await system.enqueue({ type: 'work', payload: 5 })

    expect((await system.list()).jobs.map(({ payload }) => payload)).toEqual([5, 2])
    expect(db.prepare('SELECT n FROM orders').pluck().all()).toEqual([2])
    expect(job.id).toBe(2)
    expect((await system.verify()).violations).toEqual([])
  })

  test('by Python is run by the server that serves the file, soon', async ({ skip }) => {
    if (!(await has('python3'))) skip('there is no python3 on this machine')
    const ran: unknown[] = []
    const { system, path } = await startSystem({ runs: { work: (payload) => void ran.push(payload) } })

    const told = await python(
      path,
      `
with db:
    db.execute("INSERT INTO new_jobs (type, payload, priority) VALUES (?, ?, ?)", ("work", json.dumps({"ä": [1, 2.5, None]}), 5))
    print(db.execute("SELECT max(id) FROM jobs").fetchone()[0])
try:
    db.execute("INSERT INTO new_jobs (type, payload) VALUES ('', '1')")
except sqlite3.IntegrityError as error:
    print(error)
try:
    db.execute("INSERT INTO jobs (type, queue, state, seq, priority, attempt, max_attempts, run_at, created_at) VALUES ('work', 'default', 'queued', 1, 0, 0, 1, 0, 0)")
except sqlite3.IntegrityError as error:
    print(error)`,
    )

    await untilState(system, 1, 'succeeded')
    expect(ran).toEqual([{ ä: [1, 2.5, null] }])
    expect(told.split('\n')).toEqual([
      '1',
      expect.stringMatching(/^jobmachine: type must be 1 to 64 letters/),
      expect.stringMatching(/^jobmachine: a job is stored with its history; use INSERT INTO new_jobs/),
      '',
    ])
    expect((await system.verify()).violations).toEqual([])
  })

  test('by the sqlite3 shell, while the server works and others insert, is run once each', async ({ skip }) => {
    if (!(await has('sqlite3'))) skip('there is no sqlite3 shell on this machine')
    const ran: number[] = []
    const { system, path } = await startSystem({ runs: { work: (payload: number) => void ran.push(payload) } })
    const statements = (from: number) =>
      [
        '.timeout 10000',
        ...Array.from({ length: 50 }, (_, n) => `INSERT INTO new_jobs (type, payload) VALUES ('work', '${from + n}');`),
      ].join('\n')
    const shells = [0, 50].map((from) => {
      const shell = run('sqlite3', [path])
      shell.child.stdin!.end(statements(from))
      return shell
    })
    const own = Array.from({ length: 50 }, (_, n) => system.enqueue({ type: 'work', payload: 100 + n }))

    await Promise.all([...shells, ...own])
    await untilFinished(system, 150)

    expect(ran.sort((a, b) => a - b)).toEqual(Array.from({ length: 150 }, (_, n) => n))
    await until(async () => (await system.verify()).violations.length === 0)
  })

  test('goes on after the ids of a new epoch', async () => {
    const { system, db } = await withClient()
    await system.enqueue({ type: 'work', payload: 1 })
    const epochs = [{ id: 'later', firstJob: 2_000_001, firstTransition: 3_000_001 }]
    db.prepare(`INSERT INTO meta (name, value) VALUES ('epochs', ?)`).run(JSON.stringify(epochs))
    db.exec(`UPDATE sqlite_sequence SET seq = 2000000 WHERE name = 'jobs'`)

    insert(db, { type: 'work', payload: '2' })

    expect(db.prepare('SELECT id, last_event_id FROM jobs ORDER BY id DESC LIMIT 1').raw().get()).toEqual([
      2_000_001, 3_000_001,
    ])
    expect((await system.verify()).violations).toEqual([])
  })
})

describe('an INSERT into new_jobs', () => {
  let db: Database.Database
  beforeAll(async () => {
    db = (await withClient()).db
  })

  test.each([
    ['type is required', { type: null }],
    [/type must be 1 to 64 letters/, { type: '' }],
    [/type must be/, { type: 'a b' }],
    [/type must be/, { type: 'x'.repeat(65) }],
    [/type must be/, { type: 'work\0' }],
    [/type must be/, { type: 5 }],
    [/queue must be 1 to 64 letters/, { queue: '' }],
    [/payload is required; JSON null is the text 'null'/, { payload: null }],
    [/payload must be JSON as text/, { payload: '{' }],
    [/payload must be JSON as text/, { payload: "{'n': 1}" }],
    [/payload must be JSON as text/, { payload: '{"n": NaN}' }],
    [/payload must be JSON as text/, { payload: '1\0' }],
    [/payload must be JSON as text/, { payload: 5 }],
    [/payload must be JSON as text/, { payload: Buffer.from('{}') }],
    [/payload must have at most 262144 bytes/, { payload: JSON.stringify('x'.repeat(262_143)) }],
    [/payload must have at most 10000 members and elements/, { payload: elements(10_001) }],
    [/payload must be at most 64 levels deep/, { payload: nested(65) }],
    [/payload has a number that a double cannot hold/, { payload: '{"n": 1e999}' }],
    [/priority must be a whole number from -100 to 100/, { priority: 101 }],
    [/priority must be/, { priority: 'high' }],
    [/priority must be/, { priority: 0.5 }],
    [/max_retries must be a whole number from 0 to 1000/, { max_retries: -1 }],
    [/idempotency_key must be 1 to 255 printable characters/, { idempotency_key: '' }],
    [/idempotency_key must be/, { idempotency_key: 'x'.repeat(256) }],
    [/idempotency_key must be/, { idempotency_key: 'a\nb' }],
    [/delay_ms must be a whole number from 0/, { delay_ms: -1 }],
    [/set either run_at or delay_ms, not both/, { delay_ms: 1, run_at: 1 }],
    [/timeout_ms must be a whole number from 1 to 86400000/, { timeout_ms: 0 }],
    [/run_at must be epoch ms, or RFC 3339 text with an offset/, { run_at: '2030-01-31 09:30:00' }],
    [/run_at must be/, { run_at: 'tomorrow' }],
    [/run_at must be/, { run_at: '2030-02-30T09:30:00Z' }],
    [/run_at must be/, { run_at: '2030-01-31T25:30:00Z' }],
    [/run_at must be/, { run_at: 1e16 }],
    [/actor must be 1 to 255 printable characters/, { actor: '' }],
    [/reason must be 1 to 1000 characters/, { reason: 'x'.repeat(1_001) }],
  ])('is refused, and stores nothing: %s', (sentence, values) => {
    db.exec('BEGIN')
    insert(db, { type: 'work', payload: '{}' })

    expect(() => insert(db, { type: 'work', payload: '{}', ...values })).toThrow(sentence)

    expect(count(db)).toBe(1)
    db.exec('ROLLBACK')
  })
})
