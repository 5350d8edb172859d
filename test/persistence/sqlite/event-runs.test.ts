import { expect, test } from 'vitest'
import { Reader } from '../../../src/persistence/sqlite/read/reader.ts'
import { toTransitions } from '../../../src/persistence/sqlite/read/rows.ts'
import { WholeJobs } from '../../../src/persistence/sqlite/read/whole-jobs.ts'
import { markEvery } from '../../../src/persistence/sqlite/schema.ts'
import { verifyFile } from '../../../src/persistence/sqlite/verify/verify.ts'
import type { Lease, LeaseEvent } from '../../../src/persistence/store.ts'
import { aJob } from '../../support/store.ts'
import { leasesOf, newCalls, openWriter, setsOf } from '../../support/writer.ts'

const keepMs = 1_000

/** A file, and writes that are each a commit. */
function aFile() {
  const { path, db, commit } = openWriter({ retentionMs: keepMs })
  return {
    path,
    db,
    reader: new Reader(db),
    commit,
    enqueue: (count: number) =>
      commit((writer) => writer.enqueue(newCalls(Array.from({ length: count }, () => aJob())), 0)),
    claim: (limit: number): Lease[] => leasesOf(commit((writer) => writer.lease([{ limit, start: true }], 0)).jobs),
    apply: (event: LeaseEvent['event'], leases: readonly Lease[]) =>
      commit((writer) => writer.apply(setsOf(event, leases), 0)),
    /** First job, length and event of each row. */
    rows: () => db.prepare('SELECT first_job_id, length, event FROM event_runs ORDER BY id').raw().all(),
    eventsOf: (id: number) =>
      db
        .prepare('SELECT seq, event, from_state, to_state, attempt FROM job_events WHERE job_id = ? ORDER BY seq')
        .raw()
        .all(id),
  }
}

test('jobs that are enqueued, claimed and ended together have one row for each event', () => {
  const file = aFile()

  file.enqueue(100)
  file.apply('succeed', file.claim(100))

  expect(file.rows()).toEqual([
    [1, 100, 'enqueue'],
    [1, 100, 'lease'],
    [1, 100, 'start'],
    [1, 100, 'succeed'],
  ])
  expect(verifyFile(file.path)).toEqual({ jobs: 100, events: 400, violations: [], violationCount: 0 })
})

test('each of them has its own history and its own event ids', () => {
  const file = aFile()
  file.enqueue(3)
  file.apply('succeed', file.claim(3))

  const history = file.reader.history(2, { after: 0, limit: 9 })!

  expect(history.map(({ seq, event, from, to, attempt }) => [seq, event, from, to, attempt])).toEqual([
    [1, 'enqueue', null, 'queued', 0],
    [2, 'lease', 'queued', 'leased', 0],
    [3, 'start', 'leased', 'running', 1],
    [4, 'succeed', 'running', 'succeeded', 1],
  ])
  expect(file.eventsOf(2)).toEqual(history.map(({ seq, event, from, to, attempt }) => [seq, event, from, to, attempt]))
  expect(file.db.prepare('SELECT id, previous_id FROM job_events WHERE job_id = 2').raw().all()).toEqual([
    [2, null],
    [5, 2],
    [8, 5],
    [11, 8],
  ])
  expect(file.db.prepare('SELECT last_event_id FROM jobs').pluck().all()).toEqual([10, 11, 12])
})

/** Six ranges with gaps between them. */
const withGaps = [1, 2, 3, 5, 6, 8, 9, 10, 12, 13, 15, 16, 18, 19]

/** The lists of each row from the given one on. */
function listsOf(db: ReturnType<typeof aFile>['db'], from: number) {
  return db
    .prepare(
      'SELECT first_job_id, length, event, job_offsets, previous_id, previous_offsets FROM event_runs ORDER BY id',
    )
    .raw()
    .all()
    .slice(from)
}

test('jobs with gaps between their ids share a row, with how far each is from the first', () => {
  const file = aFile()
  file.enqueue(20)
  const leases = file.claim(20)
  const ended = leases.filter(({ id }) => withGaps.includes(id))

  expect(file.apply('succeed', ended)).toEqual([])

  const offsets = JSON.stringify(withGaps.map((id) => id - 1))
  expect(listsOf(file.db, 3)).toEqual([[1, 14, 'succeed', offsets, 41, offsets]])
  expect(verifyFile(file.path)).toMatchObject({ jobs: 20, events: 74, violations: [] })
  expect(file.eventsOf(19).at(-1)).toEqual([4, 'succeed', 'running', 'succeeded', 1])
  expect(file.eventsOf(17).at(-1)).toEqual([3, 'start', 'leased', 'running', 1])
  const ids = file.db.prepare('SELECT id, previous_id FROM job_events WHERE job_id = 19').raw()
  expect(ids.all().slice(2)).toEqual([
    [59, 39],
    [74, 59],
  ])
})

test('of jobs with gaps between their ids, those with another past have a row of their own, and lost leases are refused', () => {
  const file = aFile()
  file.enqueue(20)
  const leases = file.claim(20)
  file.apply(
    'release',
    leases.filter(({ id }) => id === 9 || id === 15),
  )
  file.claim(1)
  const ended = leases
    .filter(({ id }) => withGaps.includes(id))
    .map((lease) => (lease.id === 9 ? { ...lease, leaseToken: 5 } : lease))

  expect(file.apply('succeed', ended).map(({ id }) => id)).toEqual([15])

  expect(file.rows().slice(3)).toEqual([
    [9, 2, 'release'],
    [9, 1, 'lease'],
    [9, 1, 'start'],
    [1, 12, 'succeed'],
    [9, 1, 'succeed'],
  ])
  expect(verifyFile(file.path).violations).toEqual([])
})

test('jobs that differ in seq or attempt share no row, whatever their order', () => {
  const file = aFile()
  file.enqueue(6)
  const leases = file.claim(6)
  file.apply(
    'release',
    leases.filter(({ id }) => id % 2 === 0),
  )
  file.commit((writer) => writer.command('cancel', [1, 3, 5], undefined, 0))
  file.enqueue(2)

  file.claim(5)

  expect(listsOf(file.db, 6)).toEqual([
    [2, 3, 'lease', '[0,2,4]', 19, null],
    [7, 2, 'lease', null, 25, null],
    [2, 3, 'start', '[0,2,4]', 27, null],
    [7, 2, 'start', null, 30, null],
  ])
  expect(verifyFile(file.path).violations).toEqual([])
})

test('a row with lists is of no more jobs than a history should read', () => {
  const file = aFile()
  file.enqueue(400)
  const leases = file.claim(400).filter(({ id }) => id % 3 !== 0)

  file.apply('succeed', leases)

  expect(file.rows().slice(3)).toEqual([
    [1, 128, 'succeed'],
    [193, 128, 'succeed'],
    [385, 11, 'succeed'],
  ])
  expect(verifyFile(file.path).violations).toEqual([])
})

test('long ranges have rows without lists, however many there are', () => {
  const file = aFile()
  file.enqueue(100)
  const leases = file.claim(100).filter(({ id }) => id % 10 !== 0)

  file.apply('succeed', leases)

  expect(listsOf(file.db, 3).map((row) => (row as unknown[]).slice(0, 4))).toEqual(
    Array.from({ length: 10 }, (_, index) => [10 * index + 1, 9, 'succeed', null]),
  )
  expect(verifyFile(file.path).violations).toEqual([])
})

test('a row of jobs with gaps between their ids is read page by page, in the order of its events', () => {
  const file = aFile()
  file.enqueue(20)
  file.apply(
    'succeed',
    file.claim(20).filter(({ id }) => withGaps.includes(id)),
  )
  const all = toTransitions(file.reader.transitions({ after: 0, limit: 99 }).json).transitions

  expect(all.map(({ id }) => id)).toEqual(Array.from({ length: 74 }, (_, index) => index + 1))
  expect(all.slice(60).map(({ jobId }) => jobId)).toEqual(withGaps)
  for (let after = 58; after <= 74; after++)
    for (const limit of [1, 2, 5])
      expect(toTransitions(file.reader.transitions({ after, limit }).json).transitions).toEqual(
        all.slice(after, after + limit),
      )
})

test('whoever copies a file is told the jobs of a row with gaps between their ids', () => {
  const file = aFile()
  file.enqueue(20)
  file.apply(
    'succeed',
    file.claim(20).filter(({ id }) => withGaps.includes(id)),
  )

  expect(new WholeJobs(file.db).changedAfter(60)).toEqual({ ids: withGaps, last: 74 })
})

test('ids far apart, and many of them, are moved together', () => {
  const file = aFile()
  file.enqueue(14)
  file.db.prepare("UPDATE sqlite_sequence SET seq = 20000000000 WHERE name = 'jobs'").run()
  file.enqueue(1_400)
  const leases = file.claim(1_414).filter(({ id }) => id % 3 !== 0)

  expect(file.apply('succeed', leases)).toEqual([])

  expect(leases.length).toBeGreaterThan(900)
  expect(file.db.prepare("SELECT count(*) FROM jobs WHERE state = 'succeeded'").pluck().get()).toBe(leases.length)
  expect(verifyFile(file.path).violations).toEqual([])
})

test('transitions are read one by one in the order of their ids, from any position', () => {
  const file = aFile()
  file.enqueue(4)
  const [first, ...others] = file.claim(4)
  file.apply('succeed', others)
  file.apply('fail', [first!])
  file.enqueue(2)
  const all = toTransitions(file.reader.transitions({ after: 0, limit: 99 }).json).transitions

  expect(all.map(({ id }) => id)).toEqual(Array.from({ length: 18 }, (_, index) => index + 1))
  expect(all.slice(12, 16).map(({ jobId, seq, event }) => [jobId, seq, event])).toEqual([
    [2, 4, 'succeed'],
    [3, 4, 'succeed'],
    [4, 4, 'succeed'],
    [1, 4, 'fail'],
  ])
  for (let after = 0; after <= all.length; after++) {
    for (const limit of [1, 2, 5]) {
      const page = file.reader.transitions({ after, limit })
      expect(toTransitions(page.json).transitions).toEqual(all.slice(after, after + limit))
      expect(page.newest).toBe(18)
    }
  }
})

test('jobs that follow each other have rows by their pasts', () => {
  const file = aFile()
  file.enqueue(4)
  file.apply('release', file.claim(2))
  file.enqueue(2)

  file.claim(6)

  expect(listsOf(file.db, 5)).toEqual([
    [1, 2, 'lease', null, 9, null],
    [3, 4, 'lease', null, 3, '[0,1,8,9]'],
    [1, 2, 'start', null, 13, null],
    [3, 4, 'start', null, 15, null],
  ])
  expect(verifyFile(file.path).violations).toEqual([])
})

test('jobs that were stored alone share their next events', () => {
  const file = aFile()
  for (let job = 0; job < 12; job++) {
    file.enqueue(1)
    file.apply('release', file.claim(1))
  }

  file.claim(12)

  expect(file.rows().slice(-4)).toEqual([
    [1, 1, 'lease'],
    [2, 11, 'lease'],
    [1, 1, 'start'],
    [2, 11, 'start'],
  ])
  expect(verifyFile(file.path).violations).toEqual([])
})

test('only those jobs of a run that take an event have it in their history', () => {
  const file = aFile()
  file.enqueue(9)
  const leases = file.claim(9)
  file.commit((writer) => writer.send('cancel', 5, 0))

  const refused = file.apply('succeed', leases)

  expect(refused).toEqual([{ event: 'succeed', id: 5, leaseToken: leases[4]!.leaseToken }])
  expect(file.eventsOf(5).map((row) => (row as unknown[])[1])).toEqual(['enqueue', 'lease', 'start', 'cancel'])
  expect(file.db.prepare(`SELECT group_concat(job_id) FROM job_events WHERE event = 'succeed'`).pluck().get()).toBe(
    '1,2,3,4,6,7,8,9',
  )
  expect(verifyFile(file.path).violations).toEqual([])
})

test('a run whose jobs take different edges on one event has a row for each', () => {
  const file = aFile()
  file.commit((writer) => writer.enqueue(newCalls([aJob({ maxAttempts: 1 }), aJob({ maxAttempts: 2 })]), 0))
  const leases = file.claim(2)

  file.apply('fail', leases)

  expect(file.rows().slice(-2)).toEqual([
    [1, 1, 'fail'],
    [2, 1, 'fail'],
  ])
  expect(file.eventsOf(1).at(-1)).toEqual([4, 'fail', 'running', 'dead', 1])
  expect(file.eventsOf(2).at(-1)).toEqual([4, 'fail', 'running', 'retrying', 1])
  expect(verifyFile(file.path).violations).toEqual([])
})

test('the changes of a commit are reported job by job', () => {
  const file = aFile()
  file.enqueue(4)

  const cancelled = file.commit((writer) => writer.command('cancel', [1, 2, 3, 4], undefined, 0))

  expect(cancelled).toEqual([1, 2, 3, 4])
})

test('long histories are stored separately, so that each has its marks', () => {
  const file = aFile()
  file.enqueue(2)
  for (let seq = 1; seq < 2 * markEvery; seq += 3) file.apply('release', file.claim(2))

  const marks = file.db
    .prepare(`SELECT first_job_id, length, seq FROM event_runs WHERE seq % ${markEvery} = 0 ORDER BY seq, id`)
    .raw()

  expect(marks.all()).toEqual([
    [1, 1, markEvery],
    [2, 1, markEvery],
    [1, 1, 2 * markEvery],
    [2, 1, 2 * markEvery],
  ])
  expect(verifyFile(file.path).violations).toEqual([])
})

test('retention keeps rows that belong to other jobs, and removes them with the last of these', () => {
  const file = aFile()
  file.enqueue(5)
  const leases = file.claim(5)
  file.apply('succeed', leases.slice(0, 3))
  file.enqueue(1)
  const retain = () => file.commit((writer) => writer.retain(keepMs))

  retain()

  expect(file.rows()).toEqual([
    [1, 5, 'enqueue'],
    [1, 5, 'lease'],
    [1, 5, 'start'],
    [6, 1, 'enqueue'],
  ])
  expect(file.db.prepare('SELECT DISTINCT job_id FROM job_events ORDER BY 1').pluck().all()).toEqual([4, 5, 6])
  expect(verifyFile(file.path)).toMatchObject({ jobs: 3, events: 7, violations: [] })

  file.apply('succeed', leases.slice(3))
  file.enqueue(1)
  retain()

  expect(file.rows()).toEqual([
    [6, 1, 'enqueue'],
    [7, 1, 'enqueue'],
  ])
  expect(verifyFile(file.path)).toMatchObject({ jobs: 2, events: 2, violations: [] })
})

test('retention follows histories whose rows were split and joined, job by job', () => {
  const file = aFile()
  file.enqueue(2)
  file.enqueue(7)
  const leases = file.claim(9)
  file.apply('release', leases.slice(4, 6))
  const again = file.claim(2)
  file.apply('succeed', [leases[7]!, leases[0]!, again[1]!, leases[2]!])
  file.enqueue(1)
  file.commit((writer) => writer.retain(keepMs))

  expect(file.db.prepare('SELECT id FROM jobs').pluck().all()).toEqual([2, 4, 5, 7, 9, 10])
  expect(verifyFile(file.path)).toMatchObject({ jobs: 6, events: 3 + 3 + 6 + 3 + 3 + 1, violations: [] })

  file.apply('succeed', [again[0]!, leases[8]!, leases[6]!, leases[3]!, leases[1]!])
  file.enqueue(1)
  file.commit((writer) => writer.retain(keepMs))

  expect(file.rows()).toEqual([
    [10, 1, 'enqueue'],
    [11, 1, 'enqueue'],
  ])
  expect(verifyFile(file.path)).toMatchObject({ jobs: 2, events: 2, violations: [] })
})

test('retention keeps a row with gaps between the ids of its jobs until the last of them is removed', () => {
  const file = aFile()
  file.enqueue(9)
  const leases = file.claim(9)
  file.apply(
    'release',
    leases.filter(({ id }) => id % 2 === 1),
  )
  const again = file.claim(9)
  file.apply(
    'succeed',
    again.filter(({ id }) => id === 1 || id === 9),
  )
  file.enqueue(1)
  const retain = () => file.commit((writer) => writer.retain(keepMs))

  retain()

  expect(file.rows().slice(3, 6)).toEqual([
    [1, 5, 'release'],
    [1, 5, 'lease'],
    [1, 5, 'start'],
  ])
  expect(file.db.prepare(`SELECT job_id FROM job_events WHERE event = 'release'`).pluck().all()).toEqual([3, 5, 7])
  expect(() => file.db.exec('DELETE FROM event_runs WHERE first_job_id = 1')).toThrow(/goes only after its job/)
  expect(verifyFile(file.path).violations).toEqual([])

  file.apply('succeed', [...again.filter(({ id }) => id > 1 && id < 9), ...leases.filter(({ id }) => id % 2 === 0)])
  file.enqueue(1)
  retain()

  expect(file.rows()).toEqual([
    [10, 1, 'enqueue'],
    [11, 1, 'enqueue'],
  ])
})

test('retention follows a row to all rows that were before it', () => {
  const file = aFile()
  for (const count of [2, 3, 1]) file.enqueue(count)
  file.apply('succeed', file.claim(6))
  file.enqueue(1)

  file.commit((writer) => writer.retain(keepMs))

  expect(file.rows()).toEqual([[7, 1, 'enqueue']])
})

test('the ids of a run are not reused, even if only its last job is left', () => {
  const file = aFile()
  file.enqueue(3)
  file.apply('succeed', file.claim(3))
  file.commit((writer) => writer.retain(keepMs))

  file.enqueue(1)

  expect(file.db.prepare('SELECT id FROM jobs').pluck().all()).toEqual([3, 4])
  expect(file.db.prepare('SELECT last_event_id FROM jobs').pluck().all()).toEqual([12, 13])
})

test('a history can be written only through the rows of its runs', () => {
  const file = aFile()
  file.enqueue(2)

  for (const sql of [`UPDATE job_events SET event = 'lease'`, 'DELETE FROM job_events'])
    expect(() => file.db.exec(sql)).toThrow(/view/)
})
