import { createRequire } from 'node:module'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import {
  BackpressureError,
  createJobSystem,
  defineHandler,
  type EnqueuedJob,
  IdempotencyConflictError,
  InvalidInputError,
  type JobContext,
  PayloadError,
  UnavailableError,
} from '../../../src/index.ts'
import { tempFolder, whenDone } from '../../support/temp.ts'

interface Given {
  readonly maxQueueDepth?: number
  readonly maxPayloadBytes?: number
  run?(n: number, context: JobContext): unknown
}

async function aSystem({ run = () => {}, ...settings }: Given = {}) {
  const path = join(tempFolder(), 'jobs.db')
  const handlers = [defineHandler({ type: 'count', payload: z.number(), run: (n, context) => run(n, context) })]
  const system = await createJobSystem({ database: path, handlers, ...settings })
  whenDone(() => system.stop())
  return { system, path, db: aConnection(path) }
}

function aConnection(path: string): Database.Database {
  const db = new Database(path, { timeout: 5_000 })
  whenDone(() => void db.close())
  db.pragma('synchronous = FULL')
  db.exec('CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY)')
  return db
}

const aCount = { type: 'count' as const, payload: 1 }
const errorOf = (call: () => unknown) => {
  try {
    return call()
  } catch (error) {
    return error
  }
}

describe('a job that is enqueued in a transaction of better-sqlite3', () => {
  test('exists once that commits, with its history and counts, and runs', async () => {
    const ran: number[] = []
    const { system, db } = await aSystem({ run: (n) => void ran.push(n) })
    await system.start()

    const job = db
      .transaction((): EnqueuedJob => {
        db.exec('INSERT INTO orders DEFAULT VALUES')
        return system.enqueue({ ...aCount, priority: 7 }, { client: db })
      })
      .immediate()

    expect(job).toEqual({ id: job.id, state: 'queued', created: true, committed: false })
    await expect.poll(() => ran).toEqual([1])
    expect(await system.find(job.id)).toMatchObject({ priority: 7 })
    expect((await system.history(job.id))[0]).toMatchObject({ event: 'enqueue', cause: 'library', seq: 1 })
    expect((await system.verify()).violations).toEqual([])
  })

  test('never exists if that rolls back, and a refusal rolls it back', async () => {
    const { system, db } = await aSystem()
    const both = db.transaction((payload: unknown) => {
      db.exec('INSERT INTO orders DEFAULT VALUES')
      system.enqueue(aCount, { client: db })
      system.enqueue([{ type: 'count', payload: payload as number }], { client: db })
    })

    expect(errorOf(() => both('no number'))).toBeInstanceOf(PayloadError)

    expect(db.prepare('SELECT count(*) FROM orders').pluck().get()).toBe(0)
    expect(await system.verify()).toMatchObject({ jobs: 0, events: 0, violationCount: 0 })
    both(2)
    expect(await system.verify()).toMatchObject({ jobs: 2, events: 2, violationCount: 0 })
  })

  test('has the same key and limits as without a transaction', async () => {
    const { system, db } = await aSystem({ maxQueueDepth: 2 })
    const keyed = { ...aCount, idempotencyKey: 'order-1' }
    const inside = <T>(run: () => T) => db.transaction(run).immediate()

    const first = inside(() => system.enqueue(keyed, { client: db }))
    const again = inside(() => system.enqueue(keyed, { client: db }))
    const later = await system.enqueue(keyed)
    const conflict = errorOf(() => inside(() => system.enqueue({ ...keyed, payload: 2 }, { client: db })))
    inside(() => system.enqueue(aCount, { client: db }))
    const full = errorOf(() => inside(() => system.enqueue(aCount, { client: db })))

    expect([again, later]).toEqual([1, 2].map(() => ({ id: first.id, state: 'queued', created: false })))
    expect(conflict).toBeInstanceOf(IdempotencyConflictError)
    expect(full).toBeInstanceOf(BackpressureError)
    expect((await system.verify()).violations).toEqual([])
  })

  test('is stored with its numbers on a connection that reads them as BigInt', async () => {
    const { system, db } = await aSystem()
    db.defaultSafeIntegers()

    const { id } = db.transaction(() => system.enqueue(aCount, { client: db })).immediate()

    expect((await system.find(id))!.payload).toBe(1)
    expect((await system.verify()).violations).toEqual([])
  })

  test('is stored beside those that the system stores itself, and no id is used twice', async () => {
    const { system, db } = await aSystem()
    const ids: number[] = []

    for (let round = 0; round < 20; round++) {
      const stored = Promise.all([system.enqueue(aCount), system.enqueue(aCount)])
      ids.push(db.transaction(() => system.enqueue(aCount, { client: db })).immediate().id)
      ids.push(...(await stored).map(({ id }) => id))
    }

    expect(new Set(ids).size).toBe(60)
    expect(await system.verify()).toMatchObject({ jobs: 60, violationCount: 0 })
  })

  test('is refused if another connection has begun to write after the transaction began', async () => {
    const { system, db } = await aSystem()

    db.exec('BEGIN')
    db.prepare('SELECT * FROM orders').all()
    await system.enqueue(aCount)
    const error = errorOf(() => system.enqueue(aCount, { client: db }))
    db.exec('ROLLBACK')

    expect(error).toBeInstanceOf(UnavailableError)
    expect((error as Error).message).toContain('BEGIN IMMEDIATE')
    expect((await system.verify()).jobs).toBe(1)
  })
})

test.each<[string, (path: string) => unknown, string]>([
  ['without a transaction', (path) => aConnection(path), 'is not in a transaction'],
  ['on another file', (path) => begun(aConnection(join(path, '..', 'other.db'))), 'and the jobs are in'],
  ['in memory', () => begun(aConnection(':memory:')), 'is open on memory'],
  [
    'that may lose the last commits',
    (path) => {
      const db = aConnection(path)
      db.pragma('synchronous = NORMAL')
      return begun(db)
    },
    'has synchronous 1, with which a power cut may lose the last commits',
  ],
  ['of node:sqlite', (path) => aNodeConnection(path), 'node:sqlite is another SQLite'],
  ['of another copy', () => ({ prepare() {}, inTransaction: true }), 'of the copy that jobmachine uses'],
])('a connection %s is refused, and nothing is stored', async (_, given, message) => {
  const { system, path } = await aSystem()
  const client = given(path) as Database.Database

  const error = errorOf(() => system.enqueue(aCount, { client }))

  expect(error).toBeInstanceOf(InvalidInputError)
  expect((error as Error).message).toContain(message)
  expect((await system.verify()).jobs).toBe(0)
})

test('what is no connection is refused, and so is one that was forgotten', async () => {
  const { system } = await aSystem()

  for (const client of [undefined, null, 5, { query() {} }])
    await expect(system.enqueue(aCount, { client: client as never }) as unknown as Promise<unknown>).rejects.toThrow(
      'client: must be a connection of better-sqlite3',
    )
})

test('an attempt cannot be completed in a transaction on SQLite, and the error says what to do instead', async () => {
  const errors: Error[] = []
  const { system, db } = await aSystem({
    run: async (_, { complete }) => void errors.push(await complete(db as never).catch((error) => error)),
  })
  await system.start()

  const { id } = await system.enqueue(aCount)

  await expect.poll(async () => (await system.find(id))!.state).toBe('succeeded')
  expect(errors[0]).toBeInstanceOf(InvalidInputError)
  expect(errors[0]!.message).toContain('store idempotencyToken in a table of yours')
})

function begun(db: Database.Database): Database.Database {
  db.exec('BEGIN')
  return db
}

/** A substitute if this Node.js has none. */
function aNodeConnection(path: string): unknown {
  class DatabaseSync {
    prepare() {}
  }
  if (!process.versions.node.startsWith('2') || Number(process.versions.node.split('.')[0]) < 22)
    return new DatabaseSync()
  const sqlite = createRequire(import.meta.url)('node:sqlite')
  return new sqlite.DatabaseSync(join(path, '..', 'other.db'))
}
