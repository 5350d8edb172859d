import pg from 'pg'
import { beforeAll, describe, expect, test } from 'vitest'
import type { LeasedJob } from '../../../src/persistence/store.ts'
import { aDatabase, type OpenedPostgres, openPostgres, passLease } from '../../support/postgres.ts'
import { postgresMissing } from '../../support/postgres-server.ts'
import { shareOf } from '../../support/share.ts'
import { aJob, leaseMs } from '../../support/store.ts'
import { cleanUp } from '../../support/temp.ts'
import { ids } from '../conformance/helpers.ts'

const columns = {
  jobs: `state seq type queue priority attempt max_attempts crashes run_at timeout_ms parked node_id lease_token lease_expires_at created_at
    started_at finished_at idempotency_key content error`.split(/\s+/),
  job_payloads: ['payload'],
  job_traces: ['traceparent', 'tracestate', 'last_attempt'],
  job_progress: ['value', 'attempt', 'at'],
  job_logs: ['n', 'attempt', 'at', 'bytes', 'level', 'message', 'fields'],
  job_results: ['result'],
  single_events: 'seq event from_state to_state attempt at error cause'.split(' '),
}
const rubbish = ['NULL', "'rubbish'", "'{'", "'{}'", "'[]'", "''", '-1', '0', '2147483647', '9223372036854775807']

interface Harm {
  readonly what: string
  sql(id: number): string
}

const of = (table: string, id: number) => `${table === 'jobs' ? 'id' : 'job_id'} = ${id}`

/** A payload that is gone, a history that is gone, and in each column each value that its type allows. */
const allHarms: readonly Harm[] = [
  { what: 'no payload', sql: (id) => `DELETE FROM job_payloads WHERE ${of('job_payloads', id)}` },
  { what: 'no history', sql: (id) => `DELETE FROM single_events WHERE ${of('single_events', id)}` },
  ...Object.entries(columns).flatMap(([table, names]) =>
    names.flatMap((name) =>
      rubbish.map((value) => ({
        what: `${table}.${name} ${value}`,
        sql: (id: number) => `UPDATE ${table} SET ${name} = ${value} WHERE ${of(table, id)}`,
      })),
    ),
  ),
]

/** What `verify` must name. */
const mustBeNamed = [
  'no payload',
  'no history',
  "job_payloads.payload '{'",
  "jobs.state 'rubbish'",
  'jobs.attempt 2147483647',
  'jobs.run_at 9223372036854775807',
  ...["'{'", "'rubbish'", "'{}'", "'[]'", "''"].map((value) => `single_events.cause ${value}`),
]

/** A share takes every eighth. */
const harms = shareOf({
  share: allHarms.filter(({ what }, index) => index % 8 === 0 || mustBeNamed.includes(what)),
  whole: allHarms,
})

interface Harmed {
  readonly id: number
  readonly what: string
}

/** Runs each statement with the triggers disabled, as a superuser can; returns those that the types and CHECKs of the columns allow. */
async function harm(schema: string, kinds: readonly (readonly number[])[]): Promise<Harmed[]> {
  const client = new pg.Client(await aDatabase())
  await client.connect()
  await client.query(`SET search_path TO ${schema}; SET session_replication_role TO replica`)
  await client.query(`INSERT INTO job_progress (job_id, value, attempt, at) SELECT id, '50', 1, created_at FROM jobs`)
  await client.query(
    `INSERT INTO job_logs (job_id, n, attempt, at, bytes, level, message) SELECT id, 1, 1, created_at, 9, 'info', 'said' FROM jobs`,
  )
  // A row for each transition, so that each is harmed alone.
  await client.query(
    'INSERT INTO single_events SELECT * FROM (SELECT id, job_id, at, seq, attempt, event, from_state, to_state, error, cause FROM job_events) AS each ON CONFLICT DO NOTHING',
  )
  await client.query('DELETE FROM event_runs')
  const harmed: Harmed[] = []
  for (const [index, { what, sql }] of harms.entries()) {
    try {
      await client.query(kinds.map((jobs) => sql(jobs[index]!)).join('; '))
      harmed.push(...kinds.map((jobs) => ({ id: jobs[index]!, what })))
    } catch (error) {
      // No such value in this column, or not for two jobs.
      if (!/^(22|23|42804)/.test((error as { code: string }).code)) throw error
    }
  }
  await client.end()
  return harmed
}

describe.skipIf(postgresMissing)('a database with rows that cannot be read', () => {
  let opened: OpenedPostgres
  let harmed: readonly Harmed[]
  let whole: { queued: number; due: number; held: LeasedJob }
  beforeAll(async () => {
    const trace = { traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', tracestate: null }
    const first = await openPostgres()
    const { store, clock, path } = first
    const many = async (more: Parameters<typeof aJob>[0]) =>
      ids(await store.enqueue(Array.from({ length: harms.length + 1 }, () => aJob({ trace, maxAttempts: 4, ...more }))))
    const held = await many({})
    const leased = await store.lease({ limit: held.length, wait: false, start: true })
    const queued = await many({})
    const due = await many({ runAt: clock.now() + leaseMs + 1 })
    first.line.cut()
    const witness = await openPostgres({ path, clock })
    await passLease(clock, witness.store)
    clock.advance(1)
    harmed = await harm(path, [held, queued, due])
    opened = await openPostgres({ path, clock })
    whole = { queued: queued.at(-1)!, due: due.at(-1)!, held: leased.at(-1)! }
    return cleanUp
  }, 120_000)

  /** The requests of `ask` that got no answer, for each damaged job. */
  async function failures(ask: (id: number) => Promise<unknown>): Promise<string[]> {
    const failed: string[] = []
    for (const { id, what } of harmed) await ask(id).catch((error) => failed.push(`${what}: ${error}`))
    return failed
  }

  test('answers every question about each of them, and about all', async () => {
    const { store } = opened

    expect(await failures((id) => store.find(id))).toEqual([])
    expect(await failures((id) => store.history(id, { after: 0, limit: 9 }))).toEqual([])
    expect(await failures((id) => store.pathOf(id, 9))).toEqual([])
    expect(await failures((id) => store.jobFacts(id))).toEqual([])
    expect(await failures((id) => store.log(id, { after: 0, limit: 9 }))).toEqual([])
    expect((await store.progressSince(0)).length).toBeGreaterThan(0)
    const listed = await store.list({ limit: 10_000 })
    expect(listed.jobs.map(({ id }) => id)).toEqual(expect.arrayContaining(harmed.map(({ id }) => id)))
    await store.transitions({ after: 0, limit: 10_000 })
    await store.matching({ command: 'cancel', limit: 500, text: 'x' })
    await store.counts()
    await store.census()
  })

  test('says in verify what is wrong with each, also with a cause that is no JSON', async () => {
    const { violations } = await opened.store.verify()

    const named = new Set(violations.map(({ jobId }) => jobId))
    const unnamed = new Set(harmed.flatMap(({ id, what }) => (named.has(id) ? [] : [what])))
    for (const what of mustBeNamed) expect([...unnamed]).not.toContain(what)
  })

  test('goes on with all that is whole, and harms no other job', async () => {
    const { store, clock, notices } = opened

    await store.recoverOrphans()
    await store.sweep()
    const leased: LeasedJob[] = []
    for (;;) {
      const jobs = await store.lease({ limit: 100, wait: false, start: true })
      if (jobs.length === 0) break
      leased.push(...jobs)
    }
    const refused = await store.apply(
      leased.map(({ id, leaseToken }) => ({ id, leaseToken, event: 'succeed' as const })),
    )
    clock.advance(leaseMs)
    await store.sweep()

    expect(notices.filter(({ type }) => type === 'fatal' || type === 'health')).toEqual([])
    expect(refused).toEqual([])
    for (const id of [whole.queued, whole.due, whole.held.id])
      expect(await store.find(id)).toMatchObject({ state: 'succeeded' })
    expect(await failures((id) => store.send('cancel', id))).toEqual([])
    expect(await store.enqueue([aJob()])).toMatchObject({ outcome: 'stored' })
    expect(await store.lease({ limit: 1, wait: false })).toHaveLength(1)
  })
})
