import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { edges, hasTag, jobStates } from '../../../src/machines/edges.ts'
import type { JobState } from '../../../src/machines/job.ts'
import { openKept } from '../../../src/persistence/sqlite/file/kept.ts'
import { aJob, openStore } from '../../support/store.ts'
import { whenDone } from '../../support/temp.ts'

const run = promisify(execFile)

/** A file with one job in `state`, written by hand while the triggers were removed. */
async function fileWithJobIn(state: JobState): Promise<string> {
  const { store, path } = await openStore()
  const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
  await store.enqueue([aJob({ trace: { traceparent, tracestate: null } })])
  await store.close()
  const db = openKept(path)
  const triggers = db.prepare(`SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'`).all() as {
    name: string
    sql: string
  }[]
  for (const { name } of triggers) db.exec(`DROP TRIGGER ${name}`)
  db.exec(`UPDATE jobs SET seq = 5, ${columnsOf(state)}`)
  for (const { sql } of triggers) db.exec(sql)
  db.close()
  return path
}

/** A state with the columns that the CHECKs ask for in it, so that only the trigger is left to refuse it. */
function columnsOf(state: JobState): string {
  const lease = hasTag(state, 'held')
    ? 'lease_token = 5, lease_expires_at = 9'
    : 'lease_token = NULL, lease_expires_at = NULL'
  return `state = '${state}', ${lease}, finished_at = ${hasTag(state, 'ended') ? 9 : 'NULL'}`
}

function refusal(path: string, sql: string): string | null {
  const db = openKept(path)
  try {
    db.exec(sql)
    return null
  } catch (error) {
    return (error as { code?: string }).code ?? String(error)
  } finally {
    db.close()
  }
}

describe.each(jobStates)('a manual UPDATE that moves a %s job', (from) => {
  test('is accepted exactly if the machine has the edge', async () => {
    const path = await fileWithJobIn(from)
    for (const to of jobStates) {
      const refused = refusal(path, `BEGIN; UPDATE jobs SET seq = seq + 1, ${columnsOf(to)}; ROLLBACK`)
      // Without its event a job that stays in its state has taken none.
      const isEdge = edges.some((edge) => edge.from === from && edge.to === to && to !== from)
      expect([to, refused]).toEqual([to, isEdge ? null : 'SQLITE_CONSTRAINT_TRIGGER'])
    }
  })
})

describe.each(jobStates)('a manual UPDATE that takes a %s job along two edges in one write', (from) => {
  test('is accepted exactly if they are those of a claim', async () => {
    const path = await fileWithJobIn(from)
    const allowed = jobStates.filter(
      (to) => refusal(path, `BEGIN; UPDATE jobs SET seq = seq + 2, ${columnsOf(to)}; ROLLBACK`) === null,
    )

    expect(allowed).toEqual(from === 'queued' ? ['running'] : [])
  })
})

test.each([
  ['a state without a new seq', `UPDATE jobs SET ${columnsOf('cancelled')}`],
  ['a claim that raises seq by one', `UPDATE jobs SET seq = seq + 1, ${columnsOf('running')}`],
  ['a claim that raises seq by three', `UPDATE jobs SET seq = seq + 3, ${columnsOf('running')}`],
  ['a seq that leaves one out', `UPDATE jobs SET seq = seq + 2, ${columnsOf('cancelled')}`],
  ['a seq without a new state', 'UPDATE jobs SET seq = seq + 1'],
  ['a seq back to an earlier one', `UPDATE jobs SET seq = seq - 1, ${columnsOf('cancelled')}`],
  ['another id', 'UPDATE jobs SET id = 77'],
  ['another id, called rowid', 'UPDATE jobs SET rowid = 77'],
  ['another id, called oid', 'UPDATE jobs SET oid = 77'],
  ['another id, called _rowid_', 'UPDATE jobs SET _rowid_ = 77'],
  ['another id with a legal step', `UPDATE jobs SET id = 77, seq = seq + 1, ${columnsOf('cancelled')}`],
  ['a payload', `UPDATE job_payloads SET payload = '2'`],
  [
    'a payload of which another was kept',
    `INSERT INTO job_versions (job_id, seq, payload) VALUES (1, 6, '3'); UPDATE job_payloads SET payload = '2'`,
  ],
  [
    'an earlier payload',
    `INSERT INTO job_versions (job_id, seq, payload) VALUES (1, 6, '3'); UPDATE job_versions SET payload = '2'`,
  ],
  [
    'an earlier payload that is to be kept, to none',
    `INSERT INTO job_versions (job_id, seq, payload) VALUES (1, 6, '3'), (1, 7, '4'); UPDATE job_versions SET payload = '' WHERE seq = 7`,
  ],
  [
    'the first payload, to none',
    `WITH RECURSIVE n (n) AS (SELECT 6 UNION ALL SELECT n + 1 FROM n WHERE n < 200)
    INSERT INTO job_versions (job_id, seq, payload) SELECT 1, n, '3' FROM n; UPDATE job_versions SET payload = '' WHERE seq = 6`,
  ],
  [
    'what else an event kept, with a payload that may go',
    `WITH RECURSIVE n (n) AS (SELECT 6 UNION ALL SELECT n + 1 FROM n WHERE n < 200)
    INSERT INTO job_versions (job_id, seq, payload) SELECT 1, n, '3' FROM n;
    UPDATE job_versions SET payload = '', priority = 3 WHERE seq = 7`,
  ],
  [
    'an earlier payload, to nowhere',
    `INSERT INTO job_versions (job_id, seq, payload) VALUES (1, 6, '3'); DELETE FROM job_versions`,
  ],
  ['a payload, to nowhere', 'DELETE FROM job_payloads'],
  ['the trace of a job', `UPDATE job_traces SET traceparent = NULL`],
  ['the trace of a job, to nowhere', 'DELETE FROM job_traces'],
  ['the job of a trace, called rowid', 'UPDATE job_traces SET rowid = 77'],
  ['a result of a job that has not succeeded', `INSERT INTO job_results VALUES (1, '1', 1)`],
  ['a result of no job', `INSERT INTO job_results VALUES (77, '1', 1)`],
  ['a step of a history', `UPDATE event_runs SET event = 'lease'`],
  ['a step of a history, to nowhere', 'DELETE FROM event_runs'],
])('no manual statement can change %s', async (_, sql) => {
  const path = await fileWithJobIn('queued')

  expect(refusal(path, sql)).toBe('SQLITE_CONSTRAINT_TRIGGER')
})

test.each(jobStates)(
  'a manual DELETE of a %s job is accepted exactly if it ended and is not a dead letter',
  async (state) => {
    const path = await fileWithJobIn(state)

    const refused = refusal(path, 'DELETE FROM jobs')

    expect(refused).toBe(hasTag(state, 'expendable') ? null : 'SQLITE_CONSTRAINT_TRIGGER')
  },
)

test.each([
  ['a result', `UPDATE job_results SET result = '2'`],
  ['a result of a job that has one', `INSERT OR REPLACE INTO job_results VALUES (1, '2', 1)`],
  ['results of a job that has one and of another', `INSERT INTO job_results VALUES (0, '[2,2]', 2)`],
  ['of how many jobs a result is', `UPDATE job_results SET result = '[1,2]', length = 2`],
  ['a result, to nowhere', 'DELETE FROM job_results'],
  ['the job of a result, called rowid', 'UPDATE job_results SET rowid = 77'],
])('no manual statement can change %s', async (_, sql) => {
  const path = await fileWithJobIn('succeeded')
  expect(refusal(path, `INSERT INTO job_results VALUES (1, '1', 1)`)).toBeNull()

  expect(refusal(path, sql)).toBe('SQLITE_CONSTRAINT_TRIGGER')
})

test('results of a job that has succeeded are refused together with one of a job that has not', async () => {
  const path = await fileWithJobIn('succeeded')

  expect(refusal(path, `INSERT INTO job_results VALUES (1, '[1,2]', 2)`)).toBe('SQLITE_CONSTRAINT_TRIGGER')
  expect(refusal(path, `INSERT INTO job_results VALUES (1, '[1]', 1)`)).toBeNull()
})

test('the history, the payload, the trace and the result of a removed job may be deleted', async () => {
  const path = await fileWithJobIn('succeeded')

  const refused = refusal(
    path,
    `INSERT INTO job_results VALUES (1, '1', 1); DELETE FROM jobs; DELETE FROM event_runs; DELETE FROM job_payloads;
    DELETE FROM job_traces; DELETE FROM job_results`,
  )

  expect(refused).toBeNull()
})

test.each([
  ['a lease without an expiry', 'UPDATE jobs SET lease_token = 1'],
  ['a lease on a job that nobody holds', 'UPDATE jobs SET lease_token = 1, lease_expires_at = 1'],
  ['an end of a job that goes on', 'UPDATE jobs SET finished_at = 1'],
  ['more attempts than it may have', 'UPDATE jobs SET attempt = max_attempts + 1'],
  ['an attempt below none', 'UPDATE jobs SET attempt = -1'],
  ['a key without the content that it stands for', `UPDATE jobs SET idempotency_key = 'k'`],
  ['a state that the machine does not know', `UPDATE jobs SET seq = seq + 1, state = 'asleep'`],
])('no manual statement can give a job %s', async (_, sql) => {
  const path = await fileWithJobIn('queued')

  expect(refusal(path, sql)).toMatch(/^SQLITE_CONSTRAINT_(CHECK|TRIGGER)$/)
})

test.each(['[0]', '[0,2,4]', '7', 'no list'])(
  'a manual INSERT of an event row cannot have the list %s for two jobs',
  async (list) => {
    const path = await fileWithJobIn('queued')
    const insert = (column: string, text: string) =>
      refusal(
        path,
        `INSERT INTO event_runs (first_job_id, length, seq, event, to_state, attempt, at, ${column}) VALUES (8, 2, 1, 'enqueue', 'queued', 0, 0, '${text}')`,
      )

    expect(['job_offsets', 'previous_offsets'].map((column) => insert(column, list))).not.toContain(null)
    expect(['job_offsets', 'previous_offsets'].map((column) => insert(column, '[0,2]'))).toEqual([null, null])
  },
)

test('a manual INSERT cannot create a job in the name of an event of others that share a row', async () => {
  const path = await fileWithJobIn('queued')
  const insert = (offsets: string) => `
    BEGIN;
    INSERT INTO event_runs (first_job_id, length, seq, event, to_state, attempt, at, job_offsets) VALUES (2, 2, 1, 'enqueue', 'queued', 0, 0, ${offsets});
    INSERT INTO jobs (id, type, queue, state, seq, priority, attempt, max_attempts, run_at, created_at, last_event_id)
    SELECT 3, type, queue, 'queued', 1, 0, 0, 1, 0, 0, (SELECT max(id) FROM event_runs) + 1 FROM jobs;
    ROLLBACK`

  expect(refusal(path, insert('NULL'))).toBeNull()
  expect(refusal(path, insert(`'[0,5]'`))).toBe('SQLITE_CONSTRAINT_TRIGGER')
})

test('a manual INSERT cannot create a job in a state that enqueue does not lead to', async () => {
  const path = await fileWithJobIn('queued')
  const insert = (state: JobState) => `
    INSERT INTO event_runs (first_job_id, seq, event, to_state, attempt, at) VALUES (2, 1, 'enqueue', '${state}', 0, 0);
    INSERT INTO jobs (type, queue, state, seq, priority, attempt, max_attempts, run_at, created_at, finished_at, lease_token, lease_expires_at, last_event_id)
    SELECT type, queue, '${state}', 1, 0, 0, 1, 0, 0, ${hasTag(state, 'ended') ? 1 : 'NULL'},
      ${hasTag(state, 'held') ? '1, 1' : 'NULL, NULL'}, (SELECT max(id) FROM event_runs) FROM jobs`

  const born = jobStates.filter((state) => refusal(path, `BEGIN; ${insert(state)}; ROLLBACK`) === null)

  expect(born).toEqual(['blocked', 'scheduled', 'queued'])
})

const columns = `type, queue, state, seq, priority, attempt, max_attempts, run_at, timeout_ms, parked, lease_token,
  lease_expires_at, created_at, started_at, finished_at, idempotency_key, content, error, crashes`

test.each([
  [
    'that is made up',
    `INSERT INTO jobs (type, queue, state, seq, priority, attempt, max_attempts, run_at, created_at)
      VALUES ('work', 'default', 'queued', 1, 0, 0, 4, 0, 0)`,
  ],
  [
    'that is a copy',
    `INSERT INTO jobs (${columns}, last_event_id) SELECT ${columns}, last_event_id FROM jobs WHERE id = 1`,
  ],
  [
    'that is a copy of the newest',
    `INSERT INTO jobs (${columns}, last_event_id) SELECT ${columns}, last_event_id FROM jobs WHERE id = 3`,
  ],
  ['that is an older copy in its own place', 'INSERT OR REPLACE INTO jobs SELECT * FROM jobs WHERE id = 1'],
  ['that was removed', 'DELETE FROM jobs WHERE id = 2; INSERT INTO jobs SELECT * FROM before WHERE id = 2'],
  [
    'without one, ignoring conflicts',
    `INSERT OR IGNORE INTO jobs (${columns}) SELECT ${columns} FROM jobs WHERE id = 1`,
  ],
])('a manual INSERT cannot create a job %s, and the message says how to enqueue one', async (_, sql) => {
  const { store, path } = await openStore()
  await store.enqueue([aJob()])
  await store.enqueue([aJob()])
  await store.send('cancel', 2)
  await store.enqueue([aJob()])
  await store.close()
  const db = openKept(path)
  whenDone(() => db.close())
  db.exec('CREATE TEMP TABLE before AS SELECT * FROM jobs')

  expect(() => db.exec(sql)).toThrow(/stored with its history; use INSERT INTO new_jobs \(type, payload\)/)
  expect(db.prepare('SELECT max(id) FROM jobs').pluck().get()).toBe(3)
})

test('the sqlite3 shell gets a message that says that a transition is not an edge', async ({ skip }) => {
  if (!(await run('sqlite3', ['--version']).catch(() => null))) skip('there is no sqlite3 shell on this machine')
  const path = await fileWithJobIn('queued')

  const update = run('sqlite3', [path, `UPDATE jobs SET seq = seq + 1, state = 'succeeded', finished_at = 1`])

  await expect(update).rejects.toMatchObject({
    code: expect.any(Number),
    stderr: expect.stringMatching(/no edge of the job machine/),
  })
})
