import type Database from 'better-sqlite3'
import { causes } from '../../../machines/cause.ts'
import type { JobState } from '../../../machines/job.ts'
import { initialJob, type ReplayEvent, type ReplayState, replay } from '../../../machines/replay.ts'
import { jobTables } from '../../sql/job-tables.ts'
import { uniqueKeyViolations } from '../../sql/unique-keys.ts'
import { retention, type VerifyReport } from '../../store.ts'
import { unreadableColumns } from '../../valid-rows.ts'
import { type CheckedRow, Checks, type Taken, violationsMax } from '../../verify-checks.ts'
import { type CheckedSchedule, type CheckedStep, checkSchedule, scheduleChecks } from '../../verify-schedules.ts'
import { changesIn, firstMaxAttempts, keptPayloads } from '../../versions.ts'
import { assertKept, assertNewest } from '../file/accept.ts'
import { openForReading } from '../file/connection.ts'
import { assertFile } from '../file/locate.ts'
import { readMoved } from '../file/moved.ts'
import { schemaDifferences } from '../file/schema-differences.ts'
import { storageFailure } from '../file/storage-failure.ts'
import { assertWalWhole } from '../file/wal.ts'
import { chainFrom, readOffsets } from '../read/histories.ts'
import { Reader } from '../read/reader.ts'
import { resultOf } from '../read/rows.ts'
import { isResultList, migrations, withJobsOf } from '../schema.ts'
import { IdSet } from './id-set.ts'

/** Jobs that one read transaction checks: some milliseconds, so that a live server can reset its WAL in between. */
const chunkJobs = 1_000
/** Events of one job that are read at once, because it may have any number of them. */
const pageEvents = 10_000
/** Schedules that one read transaction checks, each with at most about a thousand events. */
const chunkSchedules = 20
/** Runs that one read transaction examines, to find events that are in no history. */
const strayRuns = 10_000

interface Row extends Omit<CheckedRow, 'payloadIsValid' | 'resultIsValid'> {
  /** As it was enqueued. */
  readonly firstMaxAttempts: number
  readonly lastEventId: number | null
  readonly leaseExpiresAt: number | null
  /** 1 if it is valid JSON; null if there is none. */
  readonly payloadIsValid: number | null
  readonly resultIsValid: number | null
}

/**
 * Checks a whole database, read-only, even while a server runs on it: replays the history of every job through the machine and compares it
 * with its row, recounts the kept counts, and runs the checks of SQLite. Throws `DatabaseUnusableError` if it is not a database of ours, or
 * if an older version wrote it and this one has not opened it yet. `movedTo`: where its jobs are now, if they have moved.
 */
export function verifyFile(
  path: string,
  onProgress: (id: number, lastId: number) => void = () => {},
): VerifyReport & { readonly movedTo?: string } {
  assertFile(path)
  assertWalWhole(path)
  assertKept(path, { mayBeMoved: true })
  const db = openForReading(path)
  try {
    assertNewest(db, path)
    const moved = readMoved(db)
    return { ...new Verifier(db).run(onProgress), ...(moved ? { movedTo: moved.to } : {}) }
  } finally {
    db.close()
  }
}

interface LinkedEvent extends ReplayEvent {
  readonly id: number
  /** Of an `amend`. */
  readonly cause: string | null
  /** The job's previous event; null for its first. */
  readonly previousId: number | null
}

/** A row of `event_runs`. */
interface EventRun {
  readonly id: number
  readonly firstJobId: number
  readonly length: number
  readonly seq: number
  readonly cause: string | null
  readonly isCause: 0 | 1
  readonly jobOffsets: string | null
  readonly previousOffsets: string | null
}

/** True if an event has no cause, or one that exists. */
const isCause = `(cause IS NULL OR CASE WHEN json_valid(cause)
  THEN coalesce(cause ->> '$.cause', '') IN (${Object.keys(causes).map((cause) => `'${cause}'`)}) ELSE 0 END)`

/** The jobs with a result, of rows that are of jobs which are gone; those of several jobs have null in their places. */
const keptResults = `(SELECT job_results.job_id + item.key AS job_id
  FROM job_results CROSS JOIN json_each(CASE WHEN ${isResultList('job_results')} THEN result ELSE '[0]' END) AS item
  WHERE (SELECT count(*) FROM jobs WHERE id BETWEEN job_results.job_id AND job_results.job_id + length - 1) < length AND item.type <> 'null')`

/** Rows of results that are not of as many jobs as they say, or of one that has another. */
const wrongResults = `
  SELECT job_id FROM job_results WHERE (length > 1 AND NOT (${isResultList('job_results')}))
    OR job_id + length > (SELECT min(job_id) FROM job_results AS other WHERE other.job_id > job_results.job_id)`

class Verifier {
  readonly #db: Database.Database
  readonly #checks = new Checks()
  /** Events that are in their jobs' histories. */
  readonly #linked = new IdSet()

  constructor(db: Database.Database) {
    this.#db = db
  }

  run(onProgress: (id: number, lastId: number) => void): VerifyReport {
    this.#unlessDamaged('the jobs and their histories', () => this.#checkJobs(onProgress))
    this.#unlessDamaged('what no job owns', () => this.#checkLeftovers())
    this.#unlessDamaged('ids and keys', () => this.#checkIdentity())
    this.#unlessDamaged('the schedules', () => this.#checkSchedules())
    // In one snapshot, because the counts change while a server runs.
    this.#unlessDamaged('the kept counts', () => this.#db.transaction(() => this.#checkCounts())())
    this.#unlessDamaged('the schema', () => this.#checkSchema())
    this.#unlessDamaged('the file', () => this.#checkFile())
    return this.#checks.report()
  }

  /** A damaged page ends one check; the others continue, because they may read other pages. */
  #unlessDamaged(what: string, check: () => void): void {
    try {
      check()
    } catch (error) {
      if (storageFailure(error) !== 'corrupt') throw error
      this.#checks.tell('I14', null, `${what} cannot be read to the end: ${(error as Error).message}`)
    }
  }

  #checkJobs(onProgress: (id: number, lastId: number) => void): void {
    // In one snapshot, so that every event up to the last belongs to a job up to the last.
    const [lastId, lastRunId, lastGivenId] = this.#db
      .prepare(`
        SELECT (SELECT coalesce(max(id), 0) FROM jobs), (SELECT coalesce(max(id), 0) FROM event_runs),
          (SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'jobs')`)
      .raw()
      .get() as [number, number, number]
    const checkNext = this.#prepareChunk()
    for (let after = 0; after < lastId; onProgress(after, lastId)) after = checkNext(after)
    this.#checkStrays(lastRunId, Math.max(lastId, lastGivenId))
  }

  /** Checks the next jobs above an id, in one snapshot, and returns the last id it saw. */
  #prepareChunk(): (after: number) => number {
    const rows = this.#db.prepare(`
      SELECT id, state, seq, last_event_id AS lastEventId, attempt, max_attempts AS maxAttempts, crashes,
        lease_token AS leaseToken, lease_expires_at AS leaseExpiresAt, started_at AS startedAt, finished_at AS finishedAt,
        (SELECT json_valid(payload) FROM job_payloads WHERE job_id = jobs.id) AS payloadIsValid,
        json_valid(${resultOf('jobs.id')}) AS resultIsValid,
        type, queue, priority, timeout_ms AS timeoutMs, run_at AS runAt, created_at AS createdAt, idempotency_key AS idempotencyKey, error,
        ${firstMaxAttempts} AS firstMaxAttempts, ${keptPayloads} AS payloads
      FROM jobs WHERE id > ? ORDER BY id LIMIT ${chunkJobs}`)
    // Links lead only to older events, so there can be no circle.
    const newestFirst = this.#db.prepare(`
      ${chainFrom('iif(:from < :below, :from, NULL)', 'chain.job_id = :id AND chain.previous_id < chain.id')}
      SELECT id, previous_id AS previousId, seq, event, from_state AS "from", to_state AS "to", attempt, at,
        iif(event = 'amend', cause, NULL) AS cause
      FROM chain WHERE job_id = :id LIMIT ${pageEvents}`)
    const pageOf = (id: number, from: number, below = Number.MAX_SAFE_INTEGER) =>
      newestFirst.all({ id, from, below }) as LinkedEvent[]
    return this.#db.transaction((after: number): number => {
      const chunk = rows.all(after) as Row[]
      for (const row of chunk) this.#checkJob(row, this.#replayHistory(row, pageOf))
      return chunk.at(-1)?.id ?? Number.MAX_SAFE_INTEGER
    })
  }

  /**
   * Replays the events that a job's newest event leads back to. They are read newest first and replayed oldest first: for a history of
   * several pages it keeps the start of each, and reads all but the oldest page again.
   */
  #replayHistory(
    { id, lastEventId, firstMaxAttempts }: Row,
    pageOf: (id: number, from: number, below?: number) => LinkedEvent[],
  ): ReplayState {
    const tell = (fault: string) => this.#checks.tell('I3', id, fault)
    let page = lastEventId === null ? [] : pageOf(id, lastEventId)
    if (page.length === 0) {
      tell(`the row names ${lastEventId} as its newest event, and there is none of this job with that id`)
      return initialJob(firstMaxAttempts)
    }
    const laterPages: number[] = []
    for (let start = lastEventId!; ; ) {
      const oldest = page.at(-1)!
      if (oldest.previousId === null) break
      const earlier = page.length < pageEvents ? [] : pageOf(id, oldest.previousId, oldest.id)
      if (earlier.length === 0) {
        tell(
          `seq ${oldest.seq} comes after event ${oldest.previousId}, and there is no earlier one of this job with that id`,
        )
        break
      }
      laterPages.push(start)
      start = oldest.previousId
      page = earlier
    }
    let job = this.#replayPage(page, initialJob(firstMaxAttempts), tell)
    for (const start of laterPages.reverse()) job = this.#replayPage(pageOf(id, start), job, tell)
    return job
  }

  #replayPage(newestFirst: readonly LinkedEvent[], job: ReplayState, tell: (fault: string) => void): ReplayState {
    this.#checks.events += newestFirst.length
    let replayed = job
    for (let index = newestFirst.length - 1; index >= 0; index--) {
      const event = newestFirst[index]!
      this.#linked.add(event.id)
      replayed = replay(replayed, { ...event, ...changesIn(event.cause) }, tell)
    }
    return replayed
  }

  /**
   * The events of the runs up to the given one that no history leads to, after all histories have been followed: of a job or of none.
   * `lastJobId`: the highest id given out when that run was the last, whatever a run claims about others.
   */
  #checkStrays(lastRunId: number, lastJobId: number): void {
    const next = this.#db.prepare(`
      SELECT id, first_job_id AS firstJobId, length, seq, cause, ${isCause} AS isCause, job_offsets AS jobOffsets,
        previous_offsets AS previousOffsets
      FROM event_runs WHERE id > ? AND id <= ? ORDER BY id LIMIT ${strayRuns}`)
    const jobsOf = this.#db
      .prepare(`SELECT jobs.id FROM event_runs ${withJobsOf('event_runs')} WHERE event_runs.id = ?`)
      .pluck()
    const isThere = this.#db.prepare('SELECT 1 FROM event_runs WHERE id = ?')
    const jobless = new Set<number>()
    for (let after = 0; after < lastRunId; ) {
      const runs = next.all(after, lastRunId) as EventRun[]
      for (const run of runs) {
        this.#checkRun(run)
        const places = this.#unlinked(run, lastJobId)
        if (places.length === 0) continue
        const found = jobsOf.all(run.id) as number[]
        // Retention keeps rows that belong to other jobs too, and removes one with the last of them.
        const isOfNone = found.length === 0 && isThere.get(run.id) !== undefined
        this.#checkUnlinked(run, places, new Set(found), isOfNone ? jobless : null)
      }
      after = runs.at(-1)?.id ?? lastRunId
    }
    for (const jobId of jobless) this.#checks.tell('I2', jobId, 'there is a history of this job, but no job')
  }

  /** What the replay of histories does not see. Retention refuses a list whose texts and fractions SQLite computes with, and then leaves rows. */
  #checkRun({ id, firstJobId, length, seq, cause, isCause, previousOffsets }: EventRun): void {
    const tell = (fault: string) => this.#checks.tell('I3', firstJobId, fault)
    if (!isCause) tell(`seq ${seq} has the cause ${cause}, which nothing is`)
    if (length > 0 && readOffsets(previousOffsets, length)(0) === undefined)
      tell(`event ${id} is of ${length} jobs, and of their previous events is not a list: ${previousOffsets}`)
  }

  /** Those jobs of a run, up to the last one, whose event was not found in their history, by their position in it. */
  #unlinked({ id, firstJobId, length, jobOffsets }: EventRun, lastJobId: number): { place: number; jobId: number }[] {
    const most = Math.max(lastJobId - firstJobId + 1, 1)
    if (length < 1 || length > most)
      this.#checks.tell(
        'I3',
        null,
        `event ${id} is of ${length} jobs from job ${firstJobId} on, and the last is job ${lastJobId}`,
      )
    const offsetAt = readOffsets(jobOffsets, length)
    const places: { place: number; jobId: number }[] = []
    for (let place = 0, last = -1; place < Math.min(length, most); place++) {
      const offset = offsetAt(place) ?? -1
      if (offset <= last || (place === 0 && offset !== 0)) {
        this.#checks.tell(
          'I3',
          firstJobId,
          `event ${id} is of ${length} jobs, and of which is not a list of them: ${jobOffsets}`,
        )
        break
      }
      last = offset
      if (!this.#linked.has(id + place)) places.push({ place, jobId: firstJobId + offset })
    }
    return places
  }

  /** `found`: the ids of the run's jobs; `jobless`: null if it has any, or retention has removed it since. */
  #checkUnlinked(
    { id, seq }: EventRun,
    places: readonly { readonly place: number; readonly jobId: number }[],
    found: ReadonlySet<number>,
    jobless: Set<number> | null,
  ): void {
    for (const { place, jobId } of places) {
      if (found.has(jobId)) this.#checks.tell('I3', jobId, `event ${id + place}, its seq ${seq}, is not in its history`)
      else if (jobless) {
        this.#checks.tell('I3', jobId, `seq ${seq} is the history of no job`)
        if (jobless.size < violationsMax) jobless.add(jobId)
      } else continue
      this.#checks.events++
    }
  }

  #checkJob(row: Row, end: ReplayState): void {
    const fault = unreadableColumns(row)
    if (fault) this.#checks.tell('I1', row.id, fault)
    const isValid = (found: number | null) => (found === null ? null : found === 1)
    const { payloadIsValid, resultIsValid } = row
    const texts = { payloadIsValid: isValid(payloadIsValid), resultIsValid: isValid(resultIsValid) }
    this.#checks.checkRow({ ...row, ...texts }, end)
    if ((row.leaseToken === null) !== (row.leaseExpiresAt === null)) {
      const message = `the row has lease_token ${row.leaseToken}, lease_expires_at ${row.leaseExpiresAt}`
      this.#checks.tell('I5', row.id, message)
    }
  }

  /** Rows that retention should have removed. */
  #checkLeftovers(): void {
    for (const [table, { invariant, message }] of jobTables) {
      const from = table === 'job_results' ? keptResults : table
      const orphans = `SELECT DISTINCT job_id FROM ${from} WHERE NOT EXISTS (SELECT 1 FROM jobs WHERE id = job_id) LIMIT ${violationsMax}`
      for (const id of this.#db.prepare(orphans).pluck().all() as number[]) this.#checks.tell(invariant, id, message)
    }
    for (const id of this.#db.prepare(`${wrongResults} LIMIT ${violationsMax}`).pluck().all() as number[])
      this.#checks.tell('I1', id, 'the row of its result is not a list for as many jobs, or is of the next one too')
  }

  #checkSchedules(): void {
    const rows = this.#db.prepare(scheduleChecks.schedules)
    const steps = this.#db.prepare(scheduleChecks.steps)
    const removed = this.#db.prepare('SELECT 1 FROM edge_counts WHERE event = ?').pluck()
    const checkNext = this.#db.transaction((after: number): number | null => {
      const chunk = rows.all({ after, limit: chunkSchedules }) as CheckedSchedule[]
      const isWhole = removed.get(retention) === undefined
      for (const row of chunk) checkSchedule(this.#checks, row, steps.all({ id: row.id }) as CheckedStep[], isWhole)
      return chunk.at(-1)?.id ?? null
    })
    for (let after: number | null = 0; after !== null; ) after = checkNext(after)
    for (const id of this.#db.prepare(scheduleChecks.orphans).pluck().all())
      this.#checks.tell('I11', null, `there is a history of the schedule ${id}, but no schedule`)
  }

  /** The unique index and AUTOINCREMENT guarantee both, while they exist. */
  #checkIdentity(): void {
    const twice = this.#db
      .prepare(`
        SELECT min(id) AS first, max(id) AS last FROM jobs WHERE idempotency_key IS NOT NULL
        GROUP BY idempotency_key HAVING count(*) > 1 LIMIT ${violationsMax}`)
      .all() as { first: number; last: number }[]
    for (const { first, last } of twice) this.#checks.tell('I9', last, `it has the idempotency key of job ${first}`)
    for (const { sql, message } of uniqueKeyViolations) {
      const ids = this.#db.prepare(`${sql} LIMIT ${violationsMax}`).pluck().all() as number[]
      for (const id of ids) this.#checks.tell('I10', id, message)
    }
    const [lastId, given] = this.#db
      .prepare(`SELECT max(id), (SELECT seq FROM sqlite_sequence WHERE name = 'jobs') FROM jobs`)
      .raw()
      .get() as [number | null, number | null]
    if (lastId !== null && (given ?? 0) < lastId)
      this.#checks.tell('I2', lastId, `ids are given from ${(given ?? 0) + 1} on, and would be used again`)
  }

  /** The tables, indexes and triggers are those of the migrations, so the rules that protect the file are in place. */
  #checkSchema(): void {
    // Such a file has other triggers, which refuse every write.
    if (readMoved(this.#db)) return
    for (const fault of schemaDifferences(this.#db, migrations.length)) this.#checks.tell('I14', null, fault)
  }

  #checkCounts(): void {
    const found = this.#db.prepare('SELECT state, count(*) FROM jobs GROUP BY state').raw().all() as [
      JobState,
      number,
    ][]
    const taken = this.#db.prepare(`
      SELECT from_state AS "from", event, to_state AS "to", sum(length) AS count FROM event_runs GROUP BY 1, 2, 3`)
    this.#checks.checkCounts(new Reader(this.#db).counts(), new Map(found), () => taken.all() as Taken)
  }

  #checkFile(): void {
    for (const pragma of ['integrity_check', 'foreign_key_check']) {
      const rows = this.#db.prepare(`PRAGMA ${pragma}`).raw().all() as unknown[][]
      for (const row of rows) if (row[0] !== 'ok') this.#checks.tell('I14', null, `${pragma}: ${row.join(' ')}`)
    }
  }
}
