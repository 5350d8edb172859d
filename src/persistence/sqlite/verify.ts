import type Database from 'better-sqlite3'
import { countStates, jobStates } from '../../machines/edges.ts'
import type { JobNode, JobState } from '../../machines/job.ts'
import { type Replayed, type ReplayedEvent, replay, unborn } from '../../machines/replay.ts'
import { type EdgeCount, retention, type VerifyReport, type Violation } from '../store.ts'
import { assertOurs, isDamage, openForReading } from './connection.ts'
import { openKept } from './kept.ts'
import { Reader } from './reader.ts'
import { migrations } from './schema.ts'
import { assertWalWhole } from './wal.ts'

/** Jobs that one read transaction looks at: some milliseconds, so that a live server can reset its WAL in between. */
const chunkJobs = 1_000
/** Events read at once: a job may have any number of them. */
const pageEvents = 10_000
/** Violations told; more are counted. */
const toldMax = 1_000

interface Row {
  readonly id: number
  readonly state: JobState
  readonly seq: number
  readonly attempt: number
  readonly maxAttempts: number
  readonly leaseToken: number | null
  readonly leaseExpiresAt: number | null
  readonly startedAt: number | null
  readonly finishedAt: number | null
  /** Whether it is JSON; null where there is none. */
  readonly payloadIsValid: number | null
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
    this.#unlessDamaged('the jobs and their histories', () => this.#checkJobs(onProgress))
    this.#unlessDamaged('what no job owns', () => this.#checkLeftovers())
    this.#unlessDamaged('ids and keys', () => this.#checkIdentity())
    // In one snapshot: the counts move while a server runs.
    this.#unlessDamaged('the kept counts', () => this.#db.transaction(() => this.#checkCounts())())
    this.#unlessDamaged('the schema', () => this.#checkSchema())
    this.#unlessDamaged('the file', () => this.#checkFile())
    return {
      jobs: this.#jobs,
      events: this.#events,
      violations: this.#violations,
      violationCount: this.#violationCount,
    }
  }

  /** A damaged page ends one check; the others go on, for they may read other pages. */
  #unlessDamaged(what: string, check: () => void): void {
    try {
      check()
    } catch (error) {
      if (!isDamage(error)) throw error
      this.#tell('I14', null, `${what} cannot be read to the end: ${(error as Error).message}`)
    }
  }

  #checkJobs(onProgress: (id: number, lastId: number) => void): void {
    const lastId = (this.#db.prepare('SELECT max(id) FROM jobs').pluck().get() as number | null) ?? 0
    const checkNext = this.#prepareChunk()
    for (let after = 0; after < lastId; onProgress(after, lastId)) after = checkNext(after)
  }

  /** Checks the next jobs above an id, in one snapshot, and gives the last id it saw. */
  #prepareChunk(): (after: number) => number {
    const rows = this.#db.prepare(`
      SELECT id, state, seq, attempt, max_attempts AS maxAttempts, lease_token AS leaseToken,
        lease_expires_at AS leaseExpiresAt, started_at AS startedAt, finished_at AS finishedAt,
        (SELECT json_valid(payload) FROM job_payloads WHERE job_id = jobs.id) AS payloadIsValid
      FROM jobs WHERE id > ? ORDER BY id LIMIT ${chunkJobs}`)
    const events = this.#db.prepare(`
      SELECT job_id AS jobId, seq, event, from_state AS "from", to_state AS "to", attempt, at
      FROM job_events WHERE (job_id, seq) > (?, ?) AND job_id <= ? ORDER BY job_id, seq LIMIT ${pageEvents}`)
    return this.#db.transaction((after: number): number => {
      const chunk = new Map((rows.all(after) as Row[]).map((row) => [row.id, row]))
      const last = [...chunk.keys()].at(-1) ?? Number.MAX_SAFE_INTEGER
      const ends = new Map<number, Replayed>()
      let page: (ReplayedEvent & { jobId: number })[]
      let from = [after, Number.MAX_SAFE_INTEGER]
      do {
        page = events.all(...from, last) as typeof page
        for (const event of page) this.#replay(event, chunk.get(event.jobId), ends)
        const end = page.at(-1)
        if (end) from = [end.jobId, end.seq]
      } while (page.length === pageEvents)
      for (const row of chunk.values()) this.#checkJob(row, ends.get(row.id) ?? unborn)
      return last
    })
  }

  #replay(event: ReplayedEvent & { jobId: number }, row: Row | undefined, ends: Map<number, Replayed>): void {
    this.#events++
    const { jobId } = event
    if (!row) {
      this.#tell('I3', jobId, `seq ${event.seq} is the history of no job`)
      return
    }
    const job = ends.get(jobId) ?? unborn
    ends.set(
      jobId,
      replay(job, event, row.maxAttempts, (fault) => this.#tell('I3', jobId, fault)),
    )
  }

  #checkJob(row: Row, end: Replayed): void {
    this.#jobs++
    for (const field of replayedFields) {
      if (row[field] === end[field]) continue
      this.#tell(
        'I4',
        row.id,
        `the row has ${field} ${row[field]}, its history leads to ${end[field]} at seq ${end.seq}`,
      )
    }
    if ((row.leaseToken === null) !== (row.leaseExpiresAt === null))
      this.#tell('I5', row.id, `the row has lease_token ${row.leaseToken}, lease_expires_at ${row.leaseExpiresAt}`)
    if (row.attempt > row.maxAttempts) this.#tell('I7', row.id, `attempt ${row.attempt} of ${row.maxAttempts}`)
    if (row.payloadIsValid === null) this.#tell('I1', row.id, 'its payload is missing')
    if (row.payloadIsValid === 0) this.#tell('I1', row.id, 'its payload is no JSON')
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

  /** The unique index and AUTOINCREMENT see to both, while they are there. */
  #checkIdentity(): void {
    const twice = this.#db
      .prepare(`
        SELECT min(id) AS first, max(id) AS last FROM jobs WHERE idempotency_key IS NOT NULL
        GROUP BY idempotency_key HAVING count(*) > 1 LIMIT ${toldMax}`)
      .all() as { first: number; last: number }[]
    for (const { first, last } of twice) this.#tell('I9', last, `it has the idempotency key of job ${first}`)
    const [lastId, given] = this.#db
      .prepare(`SELECT max(id), (SELECT seq FROM sqlite_sequence WHERE name = 'jobs') FROM jobs`)
      .raw()
      .get() as [number | null, number | null]
    if (lastId !== null && (given ?? 0) < lastId)
      this.#tell('I2', lastId, `ids are given from ${(given ?? 0) + 1} on, and would be used again`)
  }

  /** Tables, indexes and triggers are those that the migrations make: what guards the file is there. */
  #checkSchema(): void {
    const read = `SELECT type || ' ' || name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite%'`
    const model = openKept(':memory:')
    const version = this.#db.pragma('user_version', { simple: true }) as number
    for (const migration of migrations.slice(0, version)) model.exec(migration)
    const expected = new Map(model.prepare(read).raw().all() as [string, string][])
    model.close()
    const found = new Map(this.#db.prepare(read).raw().all() as [string, string][])
    for (const [name, sql] of expected) {
      if (!found.has(name)) this.#tell('I14', null, `the ${name} is missing`)
      else if (found.get(name) !== sql)
        this.#tell('I14', null, `the ${name} is not as schema version ${version} has it`)
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
