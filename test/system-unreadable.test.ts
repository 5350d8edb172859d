import { beforeAll, describe, expect, test } from 'vitest'
import { openKept } from '../src/persistence/sqlite/file/kept.ts'
import { ManualClock } from '../src/runtime/clock.ts'
import { startHttp, type TestServer, testHandlers } from './support/server.ts'
import { shareOf } from './support/share.ts'
import { openStore } from './support/store.ts'
import { aHandler, openSystem, until } from './support/system.ts'

const columns = {
  jobs: `type queue state seq priority attempt max_attempts run_at timeout_ms parked lease_token lease_expires_at created_at
    started_at finished_at idempotency_key content error last_event_id crashes`.split(/\s+/),
  job_payloads: ['payload'],
  job_traces: ['traceparent', 'tracestate', 'last_attempt'],
  job_progress: ['value', 'attempt', 'at'],
  job_logs: ['n', 'attempt', 'at', 'bytes', 'level', 'message', 'fields'],
  event_runs:
    'seq event from_state to_state attempt at error previous_id length cause job_offsets previous_offsets'.split(' '),
}
const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
const idOf = {
  jobs: 'id',
  job_payloads: 'job_id',
  job_traces: 'job_id',
  job_progress: 'job_id',
  job_logs: 'job_id',
  event_runs: 'first_job_id',
}
const rubbish = ['NULL', "'rubbish'", "'{'", "x'ff00'", '-1', '1.5', '1e300', "''"]

interface Harm {
  readonly what: string
  sql(id: number): string
}

/** A payload that is gone, a history that is gone, and in each column each value. */
const allHarms: readonly Harm[] = [
  { what: 'no payload', sql: (id) => `DELETE FROM job_payloads WHERE job_id = ${id}` },
  { what: 'no history', sql: (id) => `DELETE FROM event_runs WHERE first_job_id = ${id}` },
  ...Object.entries(columns).flatMap(([table, names]) =>
    names.flatMap((name) =>
      rubbish.map((value) => ({
        what: `${table}.${name} ${value}`,
        sql: (id: number) => `UPDATE ${table} SET ${name} = ${value} WHERE ${idOf[table as keyof typeof idOf]} = ${id}`,
      })),
    ),
  ),
]

const mustBeTold = [
  `job_payloads.payload '{'`,
  `jobs.state 'rubbish'`,
  `jobs.error '{'`,
  `jobs.run_at x'ff00'`,
  'jobs.created_at 1e300',
  `jobs.type x'ff00'`,
]

/** A share takes every eighth. */
const harms = shareOf({
  share: allHarms.filter(({ what }, index) => index < 2 || index % 8 === 0 || mustBeTold.includes(what)),
  whole: allHarms,
})

/** What was done to which job. */
interface Harmed {
  readonly id: number
  readonly what: string
}

/**
 * A file with three jobs for each harm, done by a hand with the law out of its way: one that is queued, one that is scheduled, one that a dead process
 * ran. Before and after them is one that is whole.
 */
async function harmedFile() {
  // What is scheduled is due when the server starts.
  const clock = new ManualClock(Date.now() - 3_600_000)
  const { system, path } = await openSystem({ runs: { echo() {} }, clock })
  await system.stop()
  const { store } = await openStore({ path, types: ['echo'], clock })
  const job = (what: string, delayMs: number | null) => ({
    ...{
      type: 'echo',
      queue: 'default',
      payload: JSON.stringify({ what }),
      priority: 0,
      maxAttempts: 4,
      timeoutMs: null,
    },
    ...{ runAt: null, delayMs, idempotency: null, unique: null, cause: null, trace: { traceparent, tracestate: null } },
  })
  // One by one, because otherwise their events would share rows.
  for (const { what } of harms) await store.enqueue([job(what, null)])
  await store.lease({ limit: harms.length, wait: false, start: true })
  for (const { what } of harms) await store.enqueue([job(what, 1_000)])
  for (const { what } of [{ what: 'whole' }, ...harms, { what: 'whole' }]) await store.enqueue([job(what, null)])
  await store.close()
  const db = openKept(path)
  db.pragma('ignore_check_constraints = ON')
  const triggers = db.prepare(`SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'`).all() as {
    name: string
    sql: string
  }[]
  for (const { name } of triggers) db.exec(`DROP TRIGGER ${name}`)
  db.exec(`INSERT INTO job_progress (job_id, value, attempt, at) SELECT id, '50', 1, created_at FROM jobs`)
  db.exec(
    `INSERT INTO job_logs (job_id, n, attempt, at, bytes, level, message) SELECT id, 1, 1, created_at, 9, 'info', 'said' FROM jobs`,
  )
  const harmed: Harmed[] = []
  for (const [index, { what, sql }] of harms.entries()) {
    const ids = [index + 1, harms.length + index + 1, 2 * harms.length + index + 2]
    try {
      for (const id of ids) db.exec(sql(id))
      harmed.push({ id: ids.at(-1)!, what })
    } catch (error) {
      if (!/NOT NULL|UNIQUE/.test(String(error))) throw error
    }
  }
  for (const { sql } of triggers) db.exec(sql)
  db.close()
  return { path, harmed, whole: [2 * harms.length + 1, 3 * harms.length + 2] }
}

describe('a file with rows that cannot be read', () => {
  let server: TestServer
  let harmed: readonly Harmed[]
  let whole: readonly number[]
  const ran: string[] = []
  beforeAll(async () => {
    const file = await harmedFile()
    harmed = file.harmed
    whole = file.whole
    const echo = aHandler('echo', (payload: { what: string }) => void ran.push(payload.what))
    const others = testHandlers.filter(({ type }) => type !== 'echo')
    server = await startHttp({ database: file.path, started: false, handlers: [echo, ...others], workers: 100 })
  }, 60_000)

  /** The requests of `ask` that got no answer, for each damaged job. */
  async function failures(ask: (id: number) => Promise<unknown>): Promise<string[]> {
    const failed: string[] = []
    for (const { id, what } of harmed) {
      try {
        await ask(id)
      } catch (error) {
        failed.push(`${what}: ${error}`)
      }
    }
    return failed
  }

  async function get(path: string, accept = 'application/json'): Promise<void> {
    const response = await fetch(`${server.url}${path}`, { headers: { accept } })
    const body = await response.text()
    if (response.status !== 200) throw new Error(`${path}: ${response.status} ${body.slice(0, 200)}`)
  }

  test('answers every question about each of them', async () => {
    const { system } = server

    expect(await failures((id) => system.find(id))).toEqual([])
    expect(await failures((id) => system.history(id))).toEqual([])
    expect(await failures((id) => system.explain(id))).toEqual([])
    expect(await failures((id) => system.log(id))).toEqual([])
    expect(await failures((id) => get(`/jobs/${id}/log`))).toEqual([])
    expect(await failures((id) => get(`/jobs/${id}`))).toEqual([])
    expect(await failures((id) => get(`/jobs/${id}/machine.svg`))).toEqual([])
    expect(await failures((id) => get(`/jobs/${id}`, 'text/html'))).toEqual([])
  }, 60_000)

  test('answers every question about all of them', async () => {
    const { system } = server
    const reported = await system.progressSince(0)
    expect(reported.length).toBeGreaterThan(0)
    const listed: number[] = []
    for (let cursor: string | null | undefined; cursor !== null; ) {
      const page = await system.list({ limit: 500, ...(cursor === undefined ? {} : { cursor }) })
      listed.push(...page.jobs.map(({ id }) => id))
      cursor = page.nextCursor
    }
    const told: number[] = []
    for (let after = 0, more = true; more; ) {
      const page = await system.transitions({ after })
      told.push(...page.transitions.map(({ jobId }) => jobId))
      more = page.transitions.length > 0
      after = page.last
    }
    for (const path of ['/jobs?limit=500', '/metrics', '/metrics/prometheus', '/machine', '/machine.svg'])
      await get(path)
    for (const path of ['/', '/jobs', '/jobs?state=queued']) await get(path, 'text/html')

    expect(listed).toHaveLength(whole[1]!)
    expect(told).toEqual(expect.arrayContaining([...whole]))
  }, 60_000)

  test('says of each of them what cannot be read, and verify names it', async () => {
    const named = new Set((await server.system.verify()).violations.map(({ jobId }) => jobId))
    const unreadable: string[] = []
    for (const { id, what } of harmed) {
      const { error } = (await server.system.find(id))!
      const { obstacles } = await server.system.explain(id)
      const isTold = obstacles.some(({ code }) => code === 'unreadable')
      if (error?.name === 'UnreadableJobError' || isTold) unreadable.push(what)
      if (isTold && !named.has(id)) throw new Error(`verify does not name ${what}`)
    }

    expect((await server.system.find(whole[0]! + 1))?.error).toEqual({
      name: 'UnreadableJobError',
      message: 'its payload cannot be read; jobmachine verify lists what is wrong with the file',
    })
    for (const what of ['no payload', 'no history', ...mustBeTold]) expect(unreadable).toContain(what)
  }, 60_000)

  test('is served all the same: what is whole runs, what cannot be read does not, and log and health say so', async () => {
    const { system, logLines } = server

    await system.start()
    await until(async () =>
      (await Promise.all(whole.map((id) => system.find(id)))).every((job) => job?.state === 'succeeded'),
    )

    expect(ran.filter((what) => what === 'whole')).toHaveLength(2)
    for (const what of [
      'no payload',
      `job_payloads.payload '{'`,
      `jobs.state 'rubbish'`,
      'jobs.attempt 1.5',
      `jobs.type x'ff00'`,
    ])
      expect(ran).not.toContain(what)
    expect((await system.find(whole[0]! + 1))!.state).toBe('dead')
    expect(logLines.join('\n')).toContain('jobs that cannot be read were set aside')
    expect(system.health()).toMatchObject({ ready: true, unreadableJobs: expect.any(Number) })
    const cancel = (id: number) =>
      system.cancel(id).catch((error: { code?: string }) => {
        if (error.code !== 'illegal_transition') throw error
      })
    expect(await failures(cancel)).toEqual([])
    expect((await server.get('/readyz')).body).toMatchObject({ status: 'ready', unreadable_jobs: expect.any(Number) })
  }, 60_000)
})
