import { closeSync, existsSync, openSync, writeSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { openKept } from '../../../src/persistence/sqlite/file/kept.ts'
import { Reader } from '../../../src/persistence/sqlite/read/reader.ts'
import { toTransitions } from '../../../src/persistence/sqlite/read/rows.ts'
import { migrations } from '../../../src/persistence/sqlite/schema.ts'
import { verifyFile } from '../../../src/persistence/sqlite/verify/verify.ts'
import type { LeaseEvent } from '../../../src/persistence/store.ts'
import { aJob, openStore } from '../../support/store.ts'
import { whenDone } from '../../support/temp.ts'

/** A closed file with a job in every state in which a running server may leave one. */
async function aFile(): Promise<string> {
  const { store, path } = await openStore()
  await store.enqueue(Array.from({ length: 6 }, () => aJob({ maxAttempts: 2 })))
  await store.enqueue([aJob({ delayMs: 60_000 })])
  const leased = await store.lease({ limit: 5, wait: false })
  const at = (index: number, event: LeaseEvent['event']): LeaseEvent => ({
    id: leased[index]!.id,
    leaseToken: leased[index]!.leaseToken,
    event,
    delayMs: 1_000,
  })
  await store.apply([at(0, 'start'), at(1, 'start'), at(2, 'start'), at(3, 'start')])
  await store.apply([at(0, 'succeed'), at(1, 'fail'), at(2, 'reject')])
  await store.close()
  return path
}

/** Changes that were made by hand while the triggers were removed. */
function tamper(path: string, sql: string): void {
  const db = openKept(path)
  const triggers = db.prepare(`SELECT name FROM sqlite_schema WHERE type = 'trigger'`).pluck().all() as string[]
  for (const name of triggers) db.exec(`DROP TRIGGER ${name}`)
  db.pragma('ignore_check_constraints = 1')
  db.exec(sql)
  db.close()
}

/** SQL that leases and releases job 6, which is queued, until its history has this length. */
function goingRound(length: number): string {
  return `
    WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < ${length})
    INSERT INTO event_runs (id, first_job_id, seq, event, from_state, to_state, attempt, at, previous_id)
      SELECT 1000 + i, 6, i, iif(i % 2, 'release', 'lease'), iif(i % 2, 'leased', 'queued'), iif(i % 2, 'queued', 'leased'), 0, 0,
        iif(i = 2, (SELECT last_event_id FROM jobs WHERE id = 6), 999 + i) FROM n;
    UPDATE jobs SET seq = ${length}, last_event_id = 1000 + ${length},
      state = iif(${length} % 2, 'queued', 'leased'), lease_token = iif(${length} % 2, NULL, ${length}),
      lease_expires_at = iif(${length} % 2, NULL, 9) WHERE id = 6`
}

describe('verify', () => {
  test('finds no fault in what the store wrote', async () => {
    const report = verifyFile(await aFile())

    expect(report).toEqual({ jobs: 7, events: 19, violations: [], violationCount: 0 })
  })

  test('finds no fault in a job that crashed, and reports a crash count that its history does not explain', async () => {
    const { store, path } = await openStore()
    await store.enqueue([aJob()])
    for (let crashes = 0; crashes < 3; crashes++) {
      await store.lease({ limit: 1, wait: false, start: true })
      await store.recoverOrphans()
    }
    await store.close()
    const before = verifyFile(path).violations

    tamper(path, 'UPDATE jobs SET crashes = 1')

    expect(before).toEqual([])
    expect(verifyFile(path).violations).toContainEqual({
      invariant: 'I4',
      jobId: 1,
      message: expect.stringMatching(/crashes 1, its history leads to 3/),
    })
  })

  describe('of a job that was amended', () => {
    async function amended(): Promise<string> {
      const { store, path } = await openStore()
      await store.enqueue([aJob({ payload: '1', priority: 1, maxAttempts: 2 })])
      await store.amend(1, '{"payload":"2","priority":5,"maxAttempts":9}')
      await store.amend(1, '{"payload":"3","delayMs":60000}')
      await store.close()
      return path
    }

    test('finds no fault', async () => {
      expect(verifyFile(await amended()).violations).toEqual([])
    })

    test.each([
      [
        'an earlier payload that is gone',
        'DELETE FROM job_versions WHERE seq = 3',
        'payloads 1, its history leads to 2',
      ],
      ['a priority that no event set', 'UPDATE jobs SET priority = 7', 'priority 7, its history leads to 5'],
      ['a run_at that no event set', 'UPDATE jobs SET run_at = 7', 'runAt 7, its history leads to'],
      ['attempts that no event set', 'UPDATE jobs SET max_attempts = 7', 'maxAttempts 7, its history leads to 9'],
      [
        'changes that do not follow each other',
        `UPDATE event_runs SET cause = json_set(cause, '$.changes.priority', json('{"from":7,"to":8}')) WHERE seq = 3`,
        'seq 3 changed priority from 7, and it was 5',
      ],
      [
        'an amend that does not say what it changed',
        `UPDATE event_runs SET cause = NULL WHERE seq = 2`,
        'seq 2 changed something, and does not say what',
      ],
      ['an earlier payload of no job', 'UPDATE job_versions SET job_id = 9 WHERE seq = 3', 'of this job, but no job'],
    ])('reports %s', async (_, sql, message) => {
      const path = await amended()

      tamper(path, sql)

      expect(verifyFile(path).violations.map((found) => found.message)).toContainEqual(expect.stringContaining(message))
    })
  })

  test.each([`'{"cause":"nobody"}'`, `'{}'`, `'http'`, `'{"cause":7}'`, `''`])(
    'reports an event whose cause does not exist: %s',
    async (cause) => {
      const path = await aFile()

      tamper(path, `UPDATE event_runs SET cause = ${cause} WHERE event = 'reject'`)

      expect(verifyFile(path).violations).toContainEqual({
        invariant: 'I3',
        jobId: 3,
        message: expect.stringMatching(/^seq 4 has the cause .*, which nothing is$/),
      })
    },
  )

  test('runs on a live file', async () => {
    const { store, path } = await openStore()
    await store.enqueue([aJob()])

    expect(verifyFile(path).violationCount).toBe(0)
  })

  test.each([
    ['a state that its history does not lead to', `UPDATE jobs SET state = 'queued' WHERE id = 7`, 'I4', 7],
    ['an attempt that its history does not lead to', 'UPDATE jobs SET attempt = 0 WHERE id = 1', 'I4', 1],
    ['a lease that its history does not have', 'UPDATE jobs SET lease_token = 9 WHERE id = 4', 'I4', 4],
    ['a gap in a history', 'DELETE FROM event_runs WHERE first_job_id = 1 AND seq = 2', 'I3', 1],
    [
      'an edge that the machine does not have',
      `UPDATE event_runs SET event = 'reject' WHERE first_job_id = 1 AND seq = 4`,
      'I3',
      1,
    ],
    ['a history without its beginning', 'UPDATE event_runs SET length = 5 WHERE id = 1', 'I4', 6],
    ['a run that tells of fewer jobs than took it', 'UPDATE event_runs SET length = 5 WHERE id = 1', 'I3', 6],
    ['a run that tells of none', 'UPDATE event_runs SET length = 0 WHERE id = 1', 'I3', null],
    ['a run that tells of jobs that never were', 'UPDATE event_runs SET length = 5000000000 WHERE id = 1', 'I3', null],
    [
      'a history that begins later',
      'UPDATE event_runs SET previous_id = NULL WHERE first_job_id = 1 AND seq = 3',
      'I3',
      1,
    ],
    ['a newest event that is not there', 'UPDATE jobs SET last_event_id = 999 WHERE id = 5', 'I3', 5],
    ['no newest event', 'UPDATE jobs SET last_event_id = NULL WHERE id = 5', 'I3', 5],
    ["another job's event as the newest", 'UPDATE jobs SET last_event_id = 1 WHERE id = 5', 'I3', 5],
    [
      'a newest event that is not the last',
      'UPDATE jobs SET last_event_id = (SELECT id FROM job_events WHERE job_id = 1 AND seq = 3) WHERE id = 1',
      'I3',
      1,
    ],
    ['an event before the others that is not there', 'UPDATE event_runs SET previous_id = 999 WHERE id = 1', 'I3', 1],
    [
      "another job's event in a history",
      `UPDATE event_runs SET previous_id = (SELECT id FROM job_events WHERE job_id = 2 AND seq = 2) WHERE first_job_id = 1 AND seq = 3`,
      'I3',
      1,
    ],
    [
      'a history that leads round',
      'UPDATE event_runs SET previous_id = id WHERE first_job_id = 1 AND seq = 2',
      'I3',
      1,
    ],
    [
      'a history that leads forth and back',
      'UPDATE event_runs SET previous_id = (SELECT last_event_id FROM jobs WHERE id = 1) WHERE first_job_id = 1 AND seq = 1',
      'I3',
      1,
    ],
    [
      'an event beside a history',
      `INSERT INTO event_runs (first_job_id, seq, event, to_state, attempt, at) VALUES (6, 2, 'lease', 'leased', 0, 0)`,
      'I3',
      6,
    ],
    [
      'an event that stands there twice',
      `INSERT INTO event_runs (first_job_id, seq, event, from_state, to_state, attempt, at, previous_id)
        SELECT job_id, seq, event, from_state, to_state, attempt, at, previous_id FROM job_events WHERE job_id = 1 AND seq = 2`,
      'I3',
      1,
    ],
    [
      'an event of no job',
      `INSERT INTO event_runs (first_job_id, seq, event, to_state, attempt, at) VALUES (99, 1, 'enqueue', 'queued', 0, 0)`,
      'I2',
      99,
    ],
    ['a job that was removed by hand', 'DELETE FROM jobs WHERE id = 3', 'I3', 3],
    ['a payload that is missing', 'DELETE FROM job_payloads WHERE job_id = 2', 'I1', 2],
    ['a payload without a job', `INSERT INTO job_payloads VALUES (99, '{}')`, 'I2', 99],
    ['a key that was used again of no job', 'INSERT INTO key_replays VALUES (99, 1, 1)', 'I9', 99],
    ['a trace without a job', 'INSERT INTO job_traces (job_id) VALUES (99)', 'I2', 99],
    ['progress without a job', `INSERT INTO job_progress VALUES (99, '1', 1, 1)`, 'I2', 99],
    [
      'a log without a job',
      `INSERT INTO job_logs VALUES (99, 1, 1, 1, 1, 'info', '', NULL), (99, 2, 1, 1, 1, 'info', '', NULL)`,
      'I2',
      99,
    ],
    ['a result without a job', `INSERT INTO job_results VALUES (99, '1', 1)`, 'I2', 99],
    ['a result of a job that has not succeeded', `INSERT INTO job_results VALUES (2, '1', 1)`, 'I4', 2],
    ['results of which one is without a job', `INSERT INTO job_results VALUES (7, '[1,2]', 2)`, 'I2', 8],
    [
      'results of which one is of a job that has not succeeded',
      `INSERT INTO job_results VALUES (1, '[1,2]', 2)`,
      'I4',
      2,
    ],
    ['results of fewer jobs than they are for', `INSERT INTO job_results VALUES (1, '[1]', 2)`, 'I1', 1],
    ['results that are no list', `INSERT INTO job_results VALUES (1, '{"0":1}', 2)`, 'I1', 1],
    ['results that are no JSON', `INSERT INTO job_results VALUES (1, '[1,', 2)`, 'I1', 1],
    ['two results of a job', `INSERT INTO job_results VALUES (1, '[1,2]', 2), (2, '1', 1)`, 'I1', 1],
    ['a payload that is no JSON', `UPDATE job_payloads SET payload = '{' WHERE job_id = 2`, 'I1', 2],
    ['ids that would be used again', `UPDATE sqlite_sequence SET seq = 3 WHERE name = 'jobs'`, 'I2', 7],
    [
      'a state that there is not',
      `UPDATE event_runs SET to_state = 'lost' WHERE first_job_id = 1 AND seq = 4`,
      'I3',
      1,
    ],
    ['a lease without an end', 'UPDATE jobs SET lease_expires_at = NULL WHERE id = 4', 'I5', 4],
    ['more attempts than there may be', 'UPDATE jobs SET max_attempts = 0 WHERE id = 1', 'I7', 1],
    [
      'two jobs of one key',
      `DROP INDEX jobs_key; UPDATE jobs SET idempotency_key = 'k', content = 'c' WHERE id IN (5, 6)`,
      'I9',
      6,
    ],
    ['a trigger that is missing', 'SELECT 1', 'I14', null],
    ['an index that is another', 'DROP INDEX jobs_held; CREATE INDEX jobs_held ON jobs (id)', 'I14', null],
    ['counts that do not add up', `UPDATE edge_counts SET n = n + 1 WHERE event = 'succeed'`, 'I8', null],
  ])('reports %s', async (_, sql, invariant, jobId) => {
    const path = await aFile()
    tamper(path, sql)

    const { violations } = verifyFile(path)

    expect(violations).toContainEqual({ invariant, jobId, message: expect.any(String) })
  })

  test('reports what a damaged page hides, and checks the rest', async () => {
    const path = await aFile()
    const db = openKept(path)
    const page = db.prepare(`SELECT rootpage FROM sqlite_schema WHERE name = 'job_payloads'`).pluck().get() as number
    const pageSize = db.pragma('page_size', { simple: true }) as number
    db.close()
    const file = openSync(path, 'r+')
    writeSync(file, Buffer.alloc(pageSize, 0xff), 0, pageSize, (page - 1) * pageSize)
    closeSync(file)

    const { violations } = verifyFile(path)

    expect(violations.map(({ message }) => message)).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/^the jobs and their histories cannot be read to the end: /),
        expect.stringMatching(/^what no job owns cannot be read to the end: /),
        expect.stringMatching(/^the file cannot be read to the end: |^integrity_check: /),
      ]),
    )
  })

  test.each([
    ['within a page', 9_999],
    ['as long as a page', 10_000],
    ['one longer than a page', 10_001],
    ['of several pages', 30_001],
  ])('reads a history %s', async (_, length) => {
    const path = await aFile()
    tamper(path, goingRound(length))

    const { events, violations } = verifyFile(path)

    expect(events).toBe(18 + length)
    expect(violations.filter(({ jobId }) => jobId !== null)).toEqual([])
  })

  test.each([
    ['an event', 'DELETE FROM event_runs WHERE first_job_id = 6 AND seq = 20002', 20_003],
    ['a page', 'DELETE FROM event_runs WHERE first_job_id = 6 AND seq BETWEEN 10002 AND 20001', 20_002],
    ['its beginning', 'UPDATE event_runs SET length = 5 WHERE id = 1', 2],
  ])('reports a long history in which %s is missing, and where', async (_, sql, seq) => {
    const path = await aFile()
    tamper(path, `${goingRound(30_001)}; ${sql}`)

    const { violations } = verifyFile(path)

    expect(violations).toContainEqual({
      invariant: 'I3',
      jobId: 6,
      message: expect.stringMatching(`^seq ${seq} comes after event `),
    })
  })

  describe('of jobs with gaps between their ids, which share rows', () => {
    /** Jobs 1, 3 and 5 have succeeded together. */
    async function withGaps(): Promise<string> {
      const { store, path } = await openStore()
      await store.enqueue(Array.from({ length: 5 }, () => aJob()))
      const leased = await store.lease({ limit: 5, wait: false, start: true })
      await store.apply(
        leased.filter(({ id }) => id % 2 === 1).map(({ id, leaseToken }) => ({ id, leaseToken, event: 'succeed' })),
      )
      await store.close()
      return path
    }

    test('finds no fault', async () => {
      expect(verifyFile(await withGaps())).toMatchObject({ jobs: 5, events: 18, violations: [] })
    })

    test.each([
      ['of another job', `job_offsets = '[0,1,4]'`, 'I3', 3],
      ['of no job', `job_offsets = '[0,2,7]'`, 'I3', 5],
      ['of a job twice', `job_offsets = '[0,2,2]'`, 'I3', 5],
      ['that does not begin with the first job', `job_offsets = '[1,2,4]'`, 'I3', 1],
      ['with fewer jobs', `job_offsets = '[0,2]'`, 'I3', 5],
      ['that is not of numbers', `job_offsets = '[0,"2",4]'`, 'I3', 1],
      ['that is not JSON', `job_offsets = '[0,2,4'`, 'I3', 1],
      ['of jobs that follow each other', 'job_offsets = NULL', 'I3', 3],
      ['of other previous events', `previous_offsets = '[0,1,4]'`, 'I3', 3],
      ['of too few previous events', `previous_offsets = '[0,2]'`, 'I3', 5],
      ['of previous events that is not JSON', `previous_offsets = '[0,2,4'`, 'I3', 1],
      ['of previous events that is not of numbers', `previous_offsets = '["0","2","4"]'`, 'I3', 1],
      ['of previous events that is not of whole numbers', `previous_offsets = '[0.5,2.5,4.5]'`, 'I3', 1],
      ['of too many previous events', `previous_offsets = '[0,2,4,5]'`, 'I3', 1],
    ] as const)('reports a list %s', async (_, change, invariant, jobId) => {
      const path = await withGaps()

      tamper(path, `UPDATE event_runs SET ${change} WHERE event = 'succeed'`)

      expect(verifyFile(path).violations).toContainEqual({ invariant, jobId, message: expect.any(String) })
    })

    test('reads on beside a list that is not JSON, without the events of its row', async () => {
      const path = await withGaps()
      tamper(path, `UPDATE event_runs SET job_offsets = '[0,2,4' WHERE event = 'succeed'`)
      const db = openKept(path)
      whenDone(() => db.close())
      const reader = new Reader(db)

      const tail = toTransitions(reader.transitions({ after: 0, limit: 99 }).json).transitions
      const view = db.prepare('SELECT count(*) FROM job_events').pluck().get()

      expect([tail.length, view]).toEqual([15, 15])
      expect(reader.history(2, { after: 0, limit: 9 })).toHaveLength(3)
    })

    test.each(['0', '{"a":0}', '"text"'])('follows transitions past %s in the place of a list', async (list) => {
      const path = await withGaps()
      tamper(path, `UPDATE event_runs SET job_offsets = '${list}' WHERE event = 'succeed'`)
      const db = openKept(path)
      whenDone(() => db.close())

      const { transitions } = toTransitions(new Reader(db).transitions({ after: 0, limit: 99 }).json)

      expect(transitions).toHaveLength(15)
    })
  })

  test('finds the one event among many that is in no history', async () => {
    const path = await aFile()
    tamper(
      path,
      `${goingRound(30_001)};
        INSERT INTO event_runs (id, first_job_id, seq, event, to_state, attempt, at) VALUES (70000, 6, 7, 'lease', 'leased', 0, 0)`,
    )

    const { violations } = verifyFile(path)

    expect(violations.filter(({ jobId }) => jobId !== null)).toEqual([
      { invariant: 'I3', jobId: 6, message: 'event 70000, its seq 7, is not in its history' },
    ])
  })

  test('says what to do with a file of an earlier version', async () => {
    const path = await aFile()
    const db = openKept(path)
    db.pragma('user_version = 1')
    db.close()

    expect(() => verifyFile(path)).toThrow(
      `has schema version 1; a server or producer of this version brings it to ${migrations.length}`,
    )
  })

  test('reports its progress', async () => {
    const path = await aFile()
    const told: [number, number][] = []

    verifyFile(path, (id, lastId) => told.push([id, lastId]))

    expect(told.at(-1)).toEqual([7, 7])
  })
})

test('a file that was closed cleanly is complete by itself, without a WAL', async () => {
  const path = await aFile()

  expect(existsSync(`${path}-wal`)).toBe(false)
})
