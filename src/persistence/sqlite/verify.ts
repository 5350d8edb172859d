import type Database from 'better-sqlite3'
import { countStates, jobStates } from '../../machines/edges.ts'
import type { JobNode, JobState } from '../../machines/job.ts'
import { type Replayed, type ReplayedEvent, replay } from '../../machines/replay.ts'
import { type EdgeCount, retention } from '../store.ts'
import { assertOurs, openForReading } from './connection.ts'
import { Reader } from './reader.ts'
import { assertWalWhole } from './wal.ts'

/** Jobs that one read transaction looks at: some milliseconds, so that a live server can reset its WAL in between. */
const chunkJobs = 1_000
/** Violations told; more are counted. */
const toldMax = 1_000

/** What must always hold, as far as a file can show it. */
export const invariants = {
  I1: 'every acknowledged job is there, whole',
  I2: 'there is no job that nobody enqueued',
  I3: 'the history of each job is gap-free, and each step an edge of the machine',
  I4: 'replaying the history through the machine gives the row',
  I7: 'no job has more attempts than it may',
  I8: 'what was enqueued is there or was removed by retention',
  I14: "SQLite's own checks find nothing",
} as const

/** Something that must not be. */
export interface Violation {
  readonly invariant: keyof typeof invariants
  /** Null where it is about the whole file. */
  readonly jobId: number | null
  readonly message: string
}

export interface VerifyReport {
  readonly jobs: number
  readonly events: number
  /** The first 1,000. */
  readonly violations: readonly Violation[]
  /** How many there are. */
  readonly violationCount: number
}

interface Row {
  readonly id: number
  readonly state: JobState
  readonly seq: number
  readonly attempt: number
  readonly maxAttempts: number
  readonly leaseToken: number | null
  readonly startedAt: number | null
  readonly finishedAt: number | null
  readonly hasPayload: number
}

/**
 * Checks a whole database, read-only, also while a server runs on it: replays every job's history through the machine and compares it with
 * its row, recounts what is kept counted, and lets SQLite check the file. Throws `DatabaseUnusableError` where it is no database of ours.
 */
export function verifyFile(path: string, onProgress: (id: number, lastId: number) => void = () => {}): VerifyReport {
  assertWalWhole(path)
  assertOurs(path)
  const db = openForReading(path)
  try {
    return new Verifier(db).run(onProgress)
  } finally {
    db.close()
  }
}

/** What a history says of its row. */
const replayedFields = [
  'state',
  'seq',
  'attempt',
  'leaseToken',
  'startedAt',
  'finishedAt',
] as const satisfies (keyof Row & keyof Replayed)[]

class Verifier {
  readonly #db: Database.Database
  readonly #violations: Violation[] = []
  #violationCount = 0
  #jobs = 0
  #events = 0

  constructor(db: Database.Database) {
    this.#db = db
  }

  run(onProgress: (id: number, lastId: number) => void): VerifyReport {
    const lastId = (this.#db.prepare('SELECT max(id) FROM jobs').pluck().get() as number | null) ?? 0
    const checkNext = this.#prepareChunk()
    for (let after = 0; after < lastId; onProgress(after, lastId)) after = checkNext(after)
    this.#checkLeftovers()
    // In one snapshot: the counts move while a server runs.
    this.#db.transaction(() => this.#checkCounts())()
    this.#checkFile()
    return {
      jobs: this.#jobs,
      events: this.#events,
      violations: this.#violations,
      violationCount: this.#violationCount,
    }
  }

  /** Checks the next jobs above an id, in one snapshot, and gives the last id it saw. */
  #prepareChunk(): (after: number) => number {
    const rows = this.#db.prepare(`
      SELECT id, state, seq, attempt, max_attempts AS maxAttempts, lease_token AS leaseToken, started_at AS startedAt,
        finished_at AS finishedAt, EXISTS (SELECT 1 FROM job_payloads WHERE job_id = jobs.id) AS hasPayload
      FROM jobs WHERE id > ? ORDER BY id LIMIT ${chunkJobs}`)
    const events = this.#db.prepare(`
      SELECT job_id AS jobId, seq, event, from_state AS "from", to_state AS "to", attempt, at
      FROM job_events WHERE job_id > ? AND job_id <= ? ORDER BY job_id, seq`)
    return this.#db.transaction((after: number): number => {
      const chunk = rows.all(after) as Row[]
      const last = chunk.at(-1)?.id ?? Number.MAX_SAFE_INTEGER
      const histories = new Map<number, ReplayedEvent[]>(chunk.map(({ id }) => [id, []]))
      for (const event of events.all(after, last) as (ReplayedEvent & { jobId: number })[]) {
        this.#events++
        const history = histories.get(event.jobId)
        if (history) history.push(event)
        else this.#tell('I3', event.jobId, `seq ${event.seq} is the history of no job`)
      }
      for (const row of chunk) this.#checkJob(row, histories.get(row.id)!)
      return last
    })
  }

  #checkJob(row: Row, history: readonly ReplayedEvent[]): void {
    this.#jobs++
    const { end, faults } = replay(history, row.maxAttempts)
    for (const fault of faults) this.#tell('I3', row.id, fault)
    for (const field of replayedFields) {
      if (row[field] === end[field]) continue
      this.#tell('I4', row.id, `the row has ${field} ${row[field]}, its history leads to ${end[field]}`)
    }
    if (row.attempt > row.maxAttempts) this.#tell('I7', row.id, `attempt ${row.attempt} of ${row.maxAttempts}`)
    if (!row.hasPayload) this.#tell('I1', row.id, 'its payload is missing')
  }

  /** What retention should have taken along. */
  #checkLeftovers(): void {
    const events = 'SELECT DISTINCT job_id FROM job_events WHERE NOT EXISTS (SELECT 1 FROM jobs WHERE id = job_id)'
    const payloads = 'SELECT job_id FROM job_payloads WHERE NOT EXISTS (SELECT 1 FROM jobs WHERE id = job_id)'
    for (const [what, sql] of [['history', events] as const, ['payload', payloads] as const]) {
      const jobIds = this.#db.prepare(`${sql} LIMIT ${toldMax}`).pluck().all() as number[]
      for (const jobId of jobIds) this.#tell('I2', jobId, `there is a ${what} of this job, but no job`)
    }
  }

  /** I8, conservation: what went into a state less what went out of it is what is there; each edge was taken as often as is kept. */
  #checkCounts(): void {
    const kept = new Reader(this.#db).counts()
    const found = new Map(
      this.#db.prepare('SELECT state, count(*) FROM jobs GROUP BY state').raw().all() as [JobState, number][],
    )
    const counted = countStates(kept)
    for (const state of jobStates) {
      const [there, should] = [found.get(state) ?? 0, counted[state]]
      if (there !== should) this.#tell('I8', null, `${there} jobs are ${state}, the kept counts say ${should}`)
    }
    // The history of removed jobs is gone with them.
    if (!kept.some(({ event }) => event === retention)) this.#checkEdgeCounts(kept)
  }

  #checkEdgeCounts(kept: readonly EdgeCount[]): void {
    const key = (from: JobNode | null, event: string, to: string | null) => `${from ?? 'new'} ${event} ${to}`
    const taken = new Map(
      (
        this.#db
          .prepare('SELECT from_state, event, to_state, count(*) FROM job_events GROUP BY 1, 2, 3')
          .raw()
          .all() as [JobState | null, string, JobState, number][]
      ).map(([from, event, to, count]) => [key(from, event, to), count]),
    )
    const counts = new Map(kept.map(({ from, event, to, count }) => [key(from, event, to), count]))
    for (const edge of new Set([...taken.keys(), ...counts.keys()])) {
      const [times, should] = [taken.get(edge) ?? 0, counts.get(edge) ?? 0]
      if (times !== should)
        this.#tell('I8', null, `the edge "${edge}" stands ${times} times in the history, ${should} in the kept counts`)
    }
  }

  #checkFile(): void {
    for (const pragma of ['integrity_check', 'foreign_key_check']) {
      const rows = this.#db.prepare(`PRAGMA ${pragma}`).raw().all() as unknown[][]
      for (const row of rows) if (row[0] !== 'ok') this.#tell('I14', null, `${pragma}: ${row.join(' ')}`)
    }
  }

  #tell(invariant: Violation['invariant'], jobId: number | null, message: string): void {
    this.#violationCount++
    if (this.#violations.length < toldMax) this.#violations.push({ invariant, jobId, message })
  }
}
