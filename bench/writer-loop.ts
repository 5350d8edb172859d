import { statSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { intoSets } from '../src/persistence/sql/ranges.ts'
import { type Batch, intoBatches } from '../src/persistence/sqlite/batches.ts'
import { openForWriting } from '../src/persistence/sqlite/file/connection.ts'
import { Writer } from '../src/persistence/sqlite/write/writer.ts'
import type { LeaseEvent, NewJobRow } from '../src/persistence/store.ts'
import { bulkBatch, jobsPerRun, noop } from './load.ts'
import { type MixedJob, MixedJobs, mixedTypes } from './mixed.ts'
import { Scratch } from './scratch.ts'

/**
 * The writer's loop: what the store's thread does for jobs, in one thread and without messages. Prints the CPU time of a job in µs, which
 * depends less on what else the machine does than a rate: to store it by calls of 1,000, to queue it once it is due, and to claim and end
 * it in commits of `--commit` jobs. With `--pages` nothing is moved from the log, and the pages that a drained job wrote are printed too.
 */
const { values: options } = parseArgs({
  options: {
    jobs: { type: 'string', default: 'mixed' },
    commit: { type: 'string', default: '550' },
    pages: { type: 'boolean', default: false },
  },
})

const limit = Number(options.commit)
const untilDueMs = 5_000
const msPerCommit = 7
const bytesPerFrame = 4_120
const error = { name: 'Error', message: 'the first attempt fails', stack: 'Error: the first attempt fails\n    at run' }

const path = join(new Scratch().folder(), 'jobs.db')
const db = openForWriting(path, () => 'writer-loop', 0)
const types = [noop.type, ...mixedTypes]
const writer = new Writer(db, { types, leaseMs: 30_000, maxQueueDepth: 2_000_000, retentionMs: 0 })
const failing = new Set<number>()
let now = Date.now()

const stored = cpuOf(callsOfAll(), (batches) => {
  commit(() => writer.enqueue({ firstCallId: 0, counts: [bulkBatch], batches }, now))
  now += msPerCommit
})
now += untilDueMs
const queued = cpuOf([0], () => {
  while (commit(() => writer.promoteDue(now)));
})
if (options.pages) db.pragma('wal_autocheckpoint = 0')
if (options.pages) db.pragma('wal_checkpoint(TRUNCATE)')
const drained = cpuOf([0], drain)
const pages = options.pages ? { pages: statSync(`${path}-wal`).size / bytesPerFrame / jobsPerRun } : {}
console.log({ jobs: options.jobs, commit: limit, stored, queued, drained, ...pages })
db.close()

function callsOfAll(): Batch[][] {
  const jobs = new MixedJobs()
  const queues = Number(options.jobs.match(/^queues:(\d+)$/)?.[1] ?? 0)
  const make = () => (queues > 0 ? jobs.inQueueOf(queues) : jobs.make({ alike: options.jobs === 'alike' }))
  let id = 0
  const makeRow = () => {
    const job = make() as MixedJob
    id++
    if (options.jobs === 'mixed' && job.payload.message[0] === 'F') failing.add(id)
    return toRow(job)
  }
  return Array.from({ length: jobsPerRun / bulkBatch }, () => intoBatches(Array.from({ length: bulkBatch }, makeRow)))
}

function toRow({ type, payload, queue, priority, delayMs, idempotencyKey: key }: MixedJob): NewJobRow {
  return {
    type,
    queue: queue ?? 'default',
    payload: JSON.stringify(payload),
    priority: priority ?? 0,
    maxAttempts: 4,
    timeoutMs: null,
    runAt: null,
    delayMs: delayMs ?? null,
    idempotency: key === undefined ? null : { key, content: 'x'.repeat(43) },
    unique: null,
    cause: null,
    trace: null,
  }
}

/** Ends what the commit before has claimed. */
function drain(): void {
  let events: LeaseEvent[] = []
  for (let left = jobsPerRun; left > 0; now += msPerCommit) {
    const sets = intoSets(events)
    left -= events.filter(({ event }) => event === 'succeed').length
    const { jobs } = commit(() => {
      writer.apply(sets, now)
      if (options.jobs === 'mixed') writer.promoteDue(now)
      return writer.lease([{ limit, start: true }], now)
    })
    events = jobs.map(([id, leaseToken]) =>
      failing.delete(id) ? { id, leaseToken, event: 'fail', delayMs: 10, error } : { id, leaseToken, event: 'succeed' },
    )
  }
}

function commit<T>(write: () => T): T {
  db.exec('BEGIN IMMEDIATE')
  writer.begin()
  const result = write()
  writer.finish()
  db.exec('COMMIT')
  return result
}

/** µs a job. */
function cpuOf<T>(items: readonly T[], work: (item: T) => void): number {
  const before = process.cpuUsage()
  for (const item of items) work(item)
  const { user, system } = process.cpuUsage(before)
  return (user + system) / jobsPerRun
}
