import { renameSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { describe, expect, test } from 'vitest'
import { CommitMeter } from '../../../src/persistence/commit-meter.ts'
import type { LeasedFacts } from '../../../src/persistence/leased-facts.ts'
import { intoSets } from '../../../src/persistence/sql/ranges.ts'
import { openForReading, openForWriting } from '../../../src/persistence/sqlite/file/connection.ts'
import type { Answers, Reply, Request, Requests } from '../../../src/persistence/sqlite/thread/protocol.ts'
import { StoreThread } from '../../../src/persistence/sqlite/thread/store-thread.ts'
import { verifyFile } from '../../../src/persistence/sqlite/verify/verify.ts'
import type { NewJobRow } from '../../../src/persistence/store.ts'
import { ManualClock } from '../../../src/runtime/clock.ts'
import { aJob, leaseMs, passLook, startAt } from '../../support/store.ts'
import { tempFolder, whenDone } from '../../support/temp.ts'
import { newCalls } from '../../support/writer.ts'

/** The code of the store's thread without a thread: its requests arrive exactly when a test says. */
function aThread() {
  const path = join(tempFolder(), 'jobs.db')
  const clock = new ManualClock(startAt)
  const db = openForWriting(path, () => 'id', startAt)
  const other = openForReading(path)
  whenDone(() => {
    other.close()
    if (db.open) db.close()
  })
  /** Jobs that were on disk after each commit. */
  const commits: number[] = []
  const during: (() => Requests | undefined)[] = []
  const replies: Reply[] = []
  const watched = { onRollback: () => {}, onReply: (_: Reply) => {} }
  const countJobs = other.prepare('SELECT count(*) FROM jobs').pluck()
  const exec = db.exec.bind(db)
  db.exec = (sql) => {
    exec(sql)
    if (sql === 'COMMIT') commits.push(countJobs.get() as number)
    if (sql === 'ROLLBACK') watched.onRollback()
    return db
  }
  let heed = (_: Requests) => {}
  let isEmpty = false
  const requestPort = {
    onMessage: (heeded: typeof heed) => {
      heed = heeded
    },
    /** Requests that arrive during a transaction arrive one at a time: each look finds the next. */
    takeNext(): Requests | undefined {
      if (!db.inTransaction || during.length === 0) return
      isEmpty = !isEmpty
      return isEmpty ? during.shift()!() : undefined
    },
    sleep: null,
    reply(reply: Reply) {
      replies.push(reply)
      watched.onReply(reply)
    },
    close() {},
  }
  const limits = { leaseMs, maxQueueDepth: 100_000, retentionMs: 0 }
  const server = { owner: { pid: 1, host: 'test', startedAt: '' }, lock: null }
  const writer = { types: ['work'], ...limits }
  const cell = clock.cell
  const options = {
    path,
    server,
    writer,
    newDatabaseId: 'id',
    acceptLoss: undefined,
    clock: cell,
    heartbeat: null,
    commits: new CommitMeter().memory,
    bell: new Int32Array(1),
  }
  new StoreThread(requestPort, db, clock, options, () => {})
  // What it does by itself when it begins.
  commits.length = 0
  replies.length = 0
  const answers = () => new Map(replies.flatMap(({ settled }) => settled))
  return {
    db,
    path,
    clock,
    commits,
    replies,
    watched,
    answers,
    refused: () => replies.flatMap(({ refused }) => refused.map(([id, { kind }]) => [id, kind])),
    /** The jobs that a lease was answered with. */
    leased: (callId: number) => JSON.parse((answers().get(callId) as Answers['lease']).facts) as LeasedFacts[],
    queues: () => db.prepare('SELECT queue FROM jobs ORDER BY id').pluck().all(),
    ask: (...calls: Requests) => heed(calls),
    /** Asked while a transaction runs: the first when the parts that it began with have run, each other when those before it have. */
    askDuring: (...asks: (Requests | (() => Requests))[]) =>
      void during.push(...asks.map((ask) => (typeof ask === 'function' ? ask : () => ask))),
    left: () => during.length,
  }
}

/** Calls of one job each, or of those given, gathered. */
function calls(ids: readonly number[], ...jobs: NewJobRow[][]): Request {
  return { op: 'enqueue', ...newCalls(...jobs), firstCallId: ids[0]! }
}
const keyed = (queue: string) => aJob({ queue, idempotency: { key: queue, content: 'c' } })
const lease = (limit: number, start = false): Request => ({ op: 'lease', limit, wait: true, start })

describe('a call that arrives while a transaction runs', () => {
  test('shares its commit', () => {
    const { ask, askDuring, commits, answers } = aThread()
    askDuring([[2, calls([20], [aJob()])]], [[3, calls([30], [keyed('k')])]])

    ask([1, calls([10], [aJob()])])

    expect(commits).toEqual([3])
    expect([...answers().keys()]).toEqual([1, 2, 3])
  })

  test('is answered after its commit', () => {
    const { ask, askDuring, commits, watched } = aThread()
    const seen: number[] = []
    watched.onReply = () => seen.push(commits.length)
    askDuring([[2, calls([20], [aJob()])]])

    ask([1, calls([10], [aJob()])])

    expect(seen).toEqual([1])
  })

  test('waits for the next transaction if there are already a thousand events', () => {
    const { ask, askDuring, commits, answers } = aThread()
    const many = Array.from({ length: 400 }, () => aJob())
    askDuring([[2, calls([20], many)]], [[3, calls([30], many)]], [[4, calls([40], many)]])

    ask([1, calls([10], many)])

    expect(commits).toEqual([1_200, 1_600])
    expect([...answers().keys()]).toEqual([1, 2, 3, 4])
  })

  test('waits for the next transaction if there are already four million characters of payloads', () => {
    const { ask, askDuring, commits, answers } = aThread()
    const long = [aJob({ payload: JSON.stringify('x'.repeat(1_500_000)) })]
    const all = [10, 20, 30, 40, 50].map((id) => [id / 10, calls([id], long)] as const)
    askDuring([all[3]!], [all[4]!])

    ask(...all.slice(0, 3))

    expect(commits).toEqual([3, 5])
    expect([...answers().keys()]).toEqual([1, 2, 3, 4, 5])
  })

  test('waits for the next transaction if there are already a thousand commands', () => {
    const { ask, askDuring, commits, left } = aThread()
    const cancels = (first: number): Requests =>
      Array.from({ length: 400 }, (_, i) => [first + i, { op: 'send', command: 'cancel', id: 1, cause: null }])
    askDuring(cancels(1_000), cancels(2_000), cancels(3_000), cancels(4_000))

    ask([1, calls([10], [aJob()])])

    expect(commits).toHaveLength(2)
    expect(left()).toBe(0)
  })

  test('fails alone: everything that shared its transaction is stored, including earlier calls', () => {
    const { ask, askDuring, refused, queues, path } = aThread()
    const bad = aJob({ queue: 'bad', maxAttempts: 0 })
    askDuring(
      [[2, calls([20], [aJob({ queue: 'c' })])]],
      [[3, calls([30, 31, 32], [aJob({ queue: 'd' })], [aJob({ queue: 'bad' }), bad], [aJob({ queue: 'e' })])]],
    )

    ask([1, calls([10, 11], [aJob({ queue: 'a' })], [aJob({ queue: 'b' })])])

    expect(queues()).toEqual(['a', 'b', 'c', 'd', 'e'])
    expect(refused()).toEqual([[31, 'broken invariant']])
    expect(verifyFile(path).violations).toEqual([])
  })

  test('is answered exactly once if its transaction fails', () => {
    const { ask, replies } = aThread()

    ask([1, calls([10, 11, 12], [aJob()], [aJob({ maxAttempts: 0 })], [aJob()])])

    expect(replies.flatMap(({ settled }) => settled)).toMatchObject([
      [1, null],
      [10, { firstId: 1 }],
      [12, { firstId: 2 }],
    ])
    expect(replies.flatMap(({ refused }) => refused.map(([id]) => id))).toEqual([11])
  })

  test('is answered, like each other call, if the file is found damaged while each runs alone', () => {
    const { ask, db, watched, refused } = aThread()
    watched.onRollback = () => {
      db.exec = () => {
        throw new Database.SqliteError('database disk image is malformed', 'SQLITE_CORRUPT')
      }
    }

    ask([1, calls([10, 11, 12], [aJob()], [aJob({ maxAttempts: 0 })], [aJob()])])

    expect(refused()).toEqual([
      [10, 'unavailable'],
      [11, 'unavailable'],
      [12, 'unavailable'],
    ])
  })

  test('cannot request maintenance that was already chosen: a sweep is answered when it is done', () => {
    const { ask, askDuring, clock, db, watched } = aThread()
    ask([1, calls([10], [aJob({ delayMs: 1_000 })])])
    const states: unknown[] = []
    watched.onReply = ({ settled }) => {
      if (settled.some(([id]) => id === 3)) states.push(db.prepare('SELECT state FROM jobs WHERE id = 1').pluck().get())
    }
    askDuring(() => {
      clock.advance(1_000)
      return [[3, { op: 'sweep' }]]
    })

    ask([2, calls([20], [aJob()])])

    expect(states).toEqual(['queued'])
  })

  test('is followed by the close: earlier calls are stored', () => {
    const { ask, askDuring, answers, commits, db } = aThread()
    askDuring([
      [2, calls([20], [aJob()])],
      [3, { op: 'close' }],
    ])

    ask([1, calls([10], [aJob()])])

    expect([...answers().keys()]).toEqual([1, 2, 3])
    expect(commits).toEqual([2])
    expect(db.open).toBe(false)
  })
})

describe('a call that arrives while time passes in a transaction', () => {
  const instants = (db: Database.Database) =>
    db.prepare('SELECT created_at - ?, run_at - ? FROM jobs ORDER BY id').raw().all(startAt, startAt)
  const eventsAt = (db: Database.Database) =>
    db.prepare('SELECT event, at - ? FROM job_events ORDER BY id').raw().all(startAt)

  test('is stored with the instant at which it ran, from which its delay counts', () => {
    const { ask, askDuring, clock, db, commits } = aThread()
    const later = (ms: number, ...asked: Requests) => {
      return () => {
        clock.advance(ms)
        return asked
      }
    }
    const delayed = aJob({ delayMs: 1_000 })
    askDuring(
      later(150, [2, calls([20], [delayed])]),
      later(20, [3, calls([30], [{ ...delayed, ...keyed('k'), delayMs: 1_000 }])]),
    )

    ask([1, calls([10], [delayed])])

    expect(commits).toEqual([3])
    expect(instants(db)).toEqual([
      [0, 1_000],
      [150, 1_150],
      [170, 1_170],
    ])
  })

  test('delays an outcome’s next attempt from that instant', () => {
    const { ask, askDuring, leased, clock, db } = aThread()
    ask([1, calls([10], [aJob()])], [2, lease(1, true)])
    const [[id, leaseToken]] = leased(2) as [LeasedFacts]
    askDuring(() => {
      clock.advance(150)
      return [[4, { op: 'apply', sets: intoSets([{ id, leaseToken, event: 'fail', delayMs: 1_000 }]) }]]
    })

    ask([3, calls([30], [aJob({ runAt: startAt + 9_000 })])])

    expect(instants(db)[0]).toEqual([0, 1_150])
  })

  test('has a history in order, even if the clock is set back meanwhile', () => {
    const { ask, askDuring, clock, db, path } = aThread()
    ask([1, lease(9, true)])
    askDuring(
      () => {
        clock.advance(30)
        return [[3, calls([30], [aJob()])]]
      },
      () => {
        clock.set(startAt - 60_000)
        return [[4, calls([40], [aJob()])]]
      },
    )

    ask([2, calls([20], [aJob()])])

    expect(eventsAt(db)).toEqual([
      ['enqueue', 0],
      ['enqueue', 30],
      ['enqueue', 30],
      ...Array.from({ length: 3 }, () => ['lease', 30]),
      ...Array.from({ length: 3 }, () => ['start', 30]),
    ])
    expect(verifyFile(path).violations).toEqual([])
  })
})

describe('a lease', () => {
  test('is taken last, so that it includes jobs that joined', () => {
    const { ask, askDuring, leased, commits } = aThread()
    ask([1, lease(9)])
    commits.length = 0
    askDuring([[3, calls([30], [aJob()])]], [[4, calls([40], [keyed('k')])]])

    ask([2, calls([20], [aJob()])])

    expect(leased(1).map(([id]) => id)).toEqual([1, 3, 2])
    expect(commits).toEqual([3])
  })

  test('that arrives while a transaction runs gets the jobs that it stored', () => {
    const { ask, askDuring, leased, commits } = aThread()
    askDuring([[2, lease(9)]])

    ask([1, calls([10], [aJob(), aJob()])])

    expect(leased(2).map(([id]) => id)).toEqual([1, 2])
    expect(commits).toEqual([2])
  })

  test('is taken once in a transaction; later jobs are leased by the next one, without a tick', () => {
    const { ask, askDuring, leased, commits } = aThread()
    ask([1, lease(1)], [2, lease(9)])
    commits.length = 0
    const nothing: Requests = []
    askDuring(nothing, [[4, calls([40], [aJob(), aJob()])]])

    ask([3, calls([30], [aJob()])])

    expect(commits).toEqual([1, 3])
    expect([leased(1), leased(2)].map((jobs) => jobs.map(([id]) => id))).toEqual([[1], [2, 3]])
  })

  test('is taken without a tick if the transaction that it would have ended fails', () => {
    const { ask, leased } = aThread()
    ask([1, lease(9)])

    ask([2, calls([20, 21], [aJob({ maxAttempts: 0 })], [aJob()])])

    expect(leased(1).map(([id]) => id)).toEqual([1])
  })

  test('is taken without a tick if jobs whose transaction failed are stored alone', () => {
    const { ask, askDuring, leased } = aThread()
    ask([1, lease(9)])
    askDuring(() => {
      throw new Error('once')
    })

    ask([2, calls([20], [aJob()])], [3, calls([30], [keyed('k')])])

    expect(leased(1).map(([id]) => id)).toEqual([1, 2])
  })

  test('of several waiting calls gives each its own jobs, in the order of the calls, and starts them if requested', () => {
    const { ask, leased, db } = aThread()
    ask([1, lease(2)], [2, lease(1, true)], [3, lease(5)])

    ask([4, calls([40], [aJob(), aJob(), aJob(), aJob()])])

    expect([1, 2, 3].map((call) => leased(call).map(([id]) => id))).toEqual([[1, 2], [3], [4]])
    expect(db.prepare('SELECT state FROM jobs ORDER BY id').pluck().all()).toEqual([
      'leased',
      'leased',
      'running',
      'leased',
    ])
  })

  test('gets a job that a joined outcome made ready', () => {
    const { ask, askDuring, leased } = aThread()
    ask([1, calls([10], [aJob()])], [2, lease(1, true)])
    const [[id, leaseToken]] = leased(2) as [LeasedFacts]
    ask([3, lease(1)])
    askDuring([[5, { op: 'apply', sets: intoSets([{ id, leaseToken, event: 'release' }]) }]])

    ask([4, calls([40], [aJob({ priority: -1 })])])

    expect(leased(3).map(([id]) => id)).toEqual([1])
  })
})

test('ids follow the order of the calls, whether or not they have keys', () => {
  const { ask, queues } = aThread()

  ask(
    [1, calls([10], [aJob({ queue: 'a' })])],
    [2, calls([20], [keyed('b')])],
    [3, calls([30], [keyed('c'), aJob({ queue: 'd' })])],
    [4, calls([40, 41], [aJob({ queue: 'e' })], [aJob({ queue: 'f' })])],
    [5, calls([50], [keyed('g')])],
  )

  expect(queues()).toEqual(['a', 'b', 'c', 'd', 'e', 'f', 'g'])
})

test('once the thread has reported that it cannot continue it stores nothing more, whatever arrives', () => {
  const { path, commits, replies, ask } = aThread()
  const enqueue = calls([10], [aJob()])
  passLook()

  renameSync(path, `${path}.away`)
  ask([1, enqueue])
  const stored = commits.length
  renameSync(`${path}.away`, path)
  ask([2, enqueue])

  expect(replies).toEqual([
    expect.objectContaining({ settled: [], fatal: { message: expect.any(String), lost: true } }),
  ])
  expect(commits).toHaveLength(stored)
})

test('an answer is sent once the files were checked after its commit, and otherwise never', () => {
  const { path, replies, ask, askDuring } = aThread()
  const enqueue = calls([10], [aJob()])
  ask([1, enqueue])
  askDuring(() => {
    renameSync(path, `${path}.away`)
    passLook()
    return [[3, enqueue]]
  })

  ask([2, enqueue])

  expect(replies.map(({ settled, fatal }) => [settled.map(([id]) => id), fatal?.lost])).toEqual([
    [[1], undefined],
    [[], true],
  ])
})
