import fc from 'fast-check'
import { expect, test } from 'vitest'
import { verifyFile } from '../../../src/persistence/sqlite/verify/verify.ts'
import type { NewJobRow } from '../../../src/persistence/store.ts'
import { aJob } from '../../support/store.ts'
import { leasesOf, newCalls, openWriter, setsOf } from '../../support/writer.ts'

/** A file, and writes that are each a commit. */
function aFile() {
  const { path, db, commit } = openWriter()
  return {
    path,
    enqueue: (jobs: readonly NewJobRow[]) => commit((writer) => writer.enqueue(newCalls(jobs), 0)),
    claim: (limit: number) => commit((writer) => writer.lease([{ limit, start: true }], 0)).jobs,
    succeed: (jobs: ReturnType<typeof leasesOf>) => commit((writer) => writer.apply(setsOf('succeed', jobs), 0)),
    queueDue: (now: number) => commit((writer) => writer.promoteDue(now)),
    waiting: () => db.prepare(`SELECT id FROM jobs WHERE state = 'queued' ORDER BY id`).pluck().all(),
    eventRows: () => db.prepare('SELECT count(*) FROM event_runs').pluck().get() as number,
  }
}

const inQueues = (count: number, queues: number) =>
  Array.from({ length: count }, (_, n) => aJob({ queue: `queue-${(n * 37) % queues}` }))

test('a queue gets a part of each large claim, however many older jobs wait in another', () => {
  const file = aFile()
  file.enqueue(Array.from({ length: 2_000 }, () => aJob({ queue: 'old' })))
  file.enqueue(Array.from({ length: 200 }, () => aJob({ queue: 'new' })))

  for (let claims = 0; claims < 4; claims++) {
    const queues = file.claim(80).map(([, , , queue]) => queue)

    expect(queues).toHaveLength(80)
    expect(queues.filter((queue) => queue === 'new').length).toBeGreaterThanOrEqual(20)
  }
})

test('each of many queues gets its turn within eight times as many jobs as there are queues', () => {
  const file = aFile()
  file.enqueue(inQueues(4_000, 100).filter(({ queue }) => queue !== 'queue-7'))
  file.enqueue([aJob({ queue: 'queue-7' })])

  const served = new Set<string>()
  for (let claims = 0; claims < 10; claims++) for (const [, , , queue] of file.claim(80)) served.add(queue)

  expect(served.size).toBe(100)
})

test('jobs of many queues are claimed nearly in the order in which they came, and share the rows of their events', () => {
  const file = aFile()
  file.enqueue(inQueues(3_000, 100))
  const before = file.eventRows()

  for (let claims = 0; claims < 10; claims++) file.succeed(leasesOf(file.claim(200)))

  expect(file.waiting().filter((id) => (id as number) <= 1_800)).toEqual([])
  expect(file.eventRows() - before).toBeLessThan(2_000 / 4)
  expect(verifyFile(file.path).violations).toEqual([])
})

test('a large claim takes as many jobs as there are, also if all were delayed and the queues whose turn it is have too few', () => {
  const file = aFile()
  file.enqueue(inQueues(40, 8).map((job) => ({ ...job, delayMs: 1 })))
  file.queueDue(1)

  expect(file.claim(40)).toHaveLength(40)
})

test('a claim of any size takes the next jobs of each queue, none twice, and as many as there are', () => {
  const job = fc.record({
    queue: fc.integer({ min: 0, max: 12 }).map((n) => `queue-${n}`),
    priority: fc.constantFrom(0, 0, 0, 5),
  })
  fc.assert(
    fc.property(
      fc.array(job, { minLength: 30, maxLength: 200 }),
      fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 12 }),
      (jobs, limits) => {
        const file = aFile()
        file.enqueue(jobs.map(aJob))
        const line = new Map<string, number[]>()
        for (const [index, { queue, priority }] of jobs.entries())
          line.set(queue, [...(line.get(queue) ?? []), priority === 0 ? index + 1 : index + 1 - 1_000])
        for (const ids of line.values()) ids.sort((a, b) => a - b)

        let left = jobs.length
        for (const limit of limits) {
          const claimed = file.claim(limit)
          expect(claimed).toHaveLength(Math.min(limit, left))
          left -= claimed.length
          for (const [id, , , queue] of claimed) expect([id, id - 1_000]).toContain(line.get(queue)!.shift())
          file.succeed(leasesOf(claimed))
        }
        expect(file.waiting()).toHaveLength(left)
        expect(verifyFile(file.path).violations).toEqual([])
      },
    ),
    { numRuns: 20 },
  )
})
