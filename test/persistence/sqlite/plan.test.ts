import { join } from 'node:path'
import { expect, test } from 'vitest'
import { reportsOf } from '../../../src/persistence/reports.ts'
import { intoSets } from '../../../src/persistence/sql/ranges.ts'
import { openForWriting } from '../../../src/persistence/sqlite/file/connection.ts'
import { progressOf } from '../../../src/persistence/sqlite/file/epochs.ts'
import { openKept } from '../../../src/persistence/sqlite/file/kept.ts'
import { Reader } from '../../../src/persistence/sqlite/read/reader.ts'
import { Writer } from '../../../src/persistence/sqlite/write/writer.ts'
import { aJob } from '../../support/store.ts'
import { tempFolder } from '../../support/temp.ts'
import { newCalls } from '../../support/writer.ts'

/** Every statement that the store prepares while it takes a job through its life, with SQLite's plan for it. */
function plans(path = join(tempFolder(), 'jobs.db')): { sql: string; steps: string[] }[] {
  const db = openForWriting(path, () => 'id', 0)
  const prepare = db.prepare
  const sources = new Set<string>()
  db.prepare = ((source: string) => {
    sources.add(source)
    return prepare(source)
  }) as typeof db.prepare
  const writer = new Writer(db, {
    types: ['work'],
    leaseMs: 1,
    maxQueueDepth: 9,
    retentionMs: 0,
  })
  writer.begin()
  writer.enqueue(newCalls([aJob(), aJob(), aJob({ delayMs: 1 })]), 0)
  const { jobs } = writer.lease([{ limit: 2, start: false }], 0)
  const leases = jobs.map(([id, leaseToken]) => ({ id, leaseToken }))
  const line = { at: 0, level: 'info' as const, message: '', fields: null, bytes: 1 }
  writer.report(reportsOf(leases.map((lease) => ({ ...lease, report: { progress: '1', lines: [line] } })))!, 0)
  for (const event of ['start', 'fail', 'release', 'succeed'] as const)
    writer.apply(intoSets(leases.map((lease) => ({ ...lease, event }))), 0)
  writer.promoteDue(9)
  writer.recoverOrphans(0, 9)
  writer.send('cancel', 1, 9)
  writer.send('requeue', 1, 9)
  // It examines the first stretch before it returns.
  void new Reader(db).list({ limit: 1 })
  writer.enqueue(newCalls([aJob()]), 9)
  new Reader(db).jobFacts(4)
  writer.command('cancel', [1, 2, 3], 'queued', 9)
  writer.finish()
  const reader = new Reader(db)
  reader.log(1, { after: 0, limit: 9 })
  reader.progressSince(0)
  void reader.list({ limit: 9 })
  void reader.list({
    limit: 9,
    state: 'cancelled',
    type: 'work',
    queue: 'default',
    text: 'x',
    createdFrom: 0,
    createdTo: 9,
  })
  for (const command of ['cancel', 'requeue'] as const) {
    reader.matching({ command, limit: 9 })
    reader.matching({ command, text: 'x', limit: 9 })
  }
  progressOf(db)
  db.prepare = prepare
  return [...sources].map((sql) => {
    const named = Object.fromEntries([...sql.matchAll(/:(\w+)/g)].map((match) => [match[1], null]))
    const positional = [...sql.matchAll(/\?/g)].map(() => null)
    const bound = Object.keys(named).length > 0 ? [named] : positional
    const rows = prepare(`EXPLAIN QUERY PLAN ${sql}`).all(...bound) as { detail: string }[]
    return { sql, steps: rows.map(({ detail }) => detail) }
  })
}

test('no statement of the store scans all jobs or all events', () => {
  const isOneRow = (sql: string, steps: string[]) =>
    /ORDER BY id DESC LIMIT 1\b/.test(sql) && !steps.includes('USE TEMP B-TREE FOR ORDER BY')
  const wholeTables = plans().filter(({ sql, steps }) => !isOneRow(sql, steps))
  const scans = wholeTables.filter(({ steps }) =>
    steps.some((step) =>
      /^SCAN (jobs|event_runs|job_payloads|job_traces|job_progress|job_logs|job_results)\b(?! USING (COVERING )?INDEX)/.test(
        step,
      ),
    ),
  )

  expect(scans).toEqual([])
})

test('no waiting job is sorted: only suspects, leased and requeued jobs, earlier payloads, ended schedules, a page of a history and the steps of a path are', () => {
  const sorting = plans().filter(({ steps }) => steps.some((step) => step.includes('TEMP B-TREE')))

  expect(sorting.map(({ sql }) => sql)).toEqual([
    // Those of one requeue that had a unique key.
    expect.stringMatching(/FROM json_each\(:list\) AS item CROSS JOIN unique_jobs AS own/),
    // The earlier payloads of one job: a hundred, and no more than a mebibyte.
    expect.stringMatching(/^UPDATE job_versions SET payload = '' WHERE job_id = :id/),
    // Suspects: no more than have run together.
    expect.stringMatching(/parked = 2 ORDER BY crashes DESC/),
    expect.stringMatching(/INDEXED BY jobs_held[\s\S]*AND id > :after ORDER BY id/),
    // Which schedule ended first: among those that have ended and are still kept.
    expect.stringMatching(/^SELECT id, updated_at AS endedAt FROM schedules/),
    expect.stringMatching(/FROM chain WHERE seq > :after ORDER BY seq LIMIT :limit$/),
    expect.stringMatching(/FROM chain WHERE seq <= :upTo GROUP BY/),
    expect.stringMatching(/INDEXED BY jobs_held.*ORDER BY last_event_id DESC LIMIT 1/s),
  ])
})

test('a walk down the ids reads jobs and payloads by id, and sorts nothing', () => {
  const walks = plans().filter(({ sql }) => sql.includes('id < :before'))

  expect(walks).toHaveLength(8)
  for (const { steps } of walks) {
    expect(steps).toContainEqual(
      expect.stringMatching(/^SEARCH jobs USING INTEGER PRIMARY KEY \(rowid(>\? AND rowid)?<\?\)$/),
    )
    expect(steps.filter((step) => /job_payloads/.test(step) && !/INTEGER PRIMARY KEY \(rowid=\?\)/.test(step))).toEqual(
      [],
    )
  }
})

test('a claim finds its queue and its jobs in the index of ready jobs', () => {
  const claims = plans().filter(({ sql }) => /parked = 0 AND queue (> :last|= (:queue|item\.value) ORDER BY)/.test(sql))

  expect(claims).toHaveLength(3)
  const onJobs = claims.flatMap(({ steps }) => steps.filter((step) => /\bjobs\b/.test(step)))
  expect(onJobs.filter((step) => !/USING (COVERING )?INDEX jobs_ready/.test(step))).toEqual([])
})

test('a walk through a history goes from event to event by their ids, from the newest or from a mark', () => {
  const walks = plans().filter(({ sql }) => sql.includes('WITH RECURSIVE chain'))

  // A page of a history, a path, the newest event, a failure, the last end, and snoozes.
  expect(walks).toHaveLength(6)
  for (const { steps } of walks) {
    expect(steps).toContainEqual(expect.stringMatching(/^SEARCH event_runs USING INTEGER PRIMARY KEY \(rowid/))
    const byId = /PRIMARY KEY \(rowid([=<]\?|>\? AND rowid<\?)\)/
    const others = steps.filter((step) => /\bevent_runs\b/.test(step) && !byId.test(step))
    for (const step of others) expect(step).toMatch(/INDEX job_events_marks \(first_job_id=\? AND seq>\?\)/)
  }
})

test('events are found only by their ids and the marks', () => {
  const steps = plans().flatMap(({ steps }) => steps.filter((step) => /\bevent_runs\b/.test(step)))

  expect(steps.filter((step) => !/PRIMARY KEY|job_events_marks|^SCAN event_runs$/.test(step))).toEqual([])
})

test('a place in line is counted in the index of ready jobs, and nowhere else', () => {
  const counts = plans().filter(({ sql }) => /count.*parked = 0.*priority [>=] :priority/s.test(sql))

  expect(counts.map(({ steps }) => steps.find((step) => step.includes('jobs')))).toEqual([
    'SEARCH jobs USING COVERING INDEX jobs_ready (queue=? AND priority>?)',
    'SEARCH jobs USING COVERING INDEX jobs_ready (queue=? AND priority=? AND run_at<?)',
    'SEARCH jobs USING COVERING INDEX jobs_ready (queue=? AND priority=? AND run_at=? AND id<?)',
  ])
})

test('what ANALYZE finds in a young file causes no scan when it is large', () => {
  const path = join(tempFolder(), 'jobs.db')
  // The jobs of the first time are in other states, so statements are prepared in another order.
  const sorted = () => plans(path).sort((one, other) => (one.sql < other.sql ? -1 : 1))
  const before = sorted()
  const shell = openKept(path)
  shell.exec('ANALYZE')
  shell.close()

  expect(sorted()).toEqual(before)
})

test('a query for events by their contents scans them once, not once for each job', () => {
  const db = openForWriting(join(tempFolder(), 'jobs.db'), () => 'id', 0)
  const planOf = (sql: string) => db.prepare(`EXPLAIN QUERY PLAN ${sql}`).all() as { detail: string }[]

  for (const condition of [`event = 'fail'`, `to_state = 'dead' AND at > 5`, 'job_id = 42', 'id = 77']) {
    expect(planOf(`SELECT count(*) FROM job_events WHERE ${condition}`).map(({ detail }) => detail)).toEqual([
      'SCAN event_runs',
      expect.stringMatching(/^SCAN item VIRTUAL TABLE/),
      expect.stringMatching(/^SEARCH jobs USING INTEGER PRIMARY KEY/),
    ])
  }
  db.close()
})
