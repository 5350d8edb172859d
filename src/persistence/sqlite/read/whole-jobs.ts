import type Database from 'better-sqlite3'
import {
  type CopiedEvent,
  type KnownRow,
  lineNames,
  type PlainRow,
  progressNames,
  rowColumns,
  type ScheduleRows,
  versionColumns,
  type WholeJob,
} from '../../copy/whole-job.ts'
import { isHeld } from '../../sql/conditions.ts'
import type { EdgeCount, Owner } from '../../store.ts'
import { progressOf, readEpochs } from '../file/epochs.ts'
import { chainFrom, readOffsets } from './histories.ts'
import { ownerSql, resultOf, toOwner } from './rows.ts'

/** Jobs that are read in one snapshot, and what they may weigh: characters of payloads and results, and a fixed number for each transition. */
const jobsMax = 2_000
const weightMax = 8_000_000
const eventWeight = 300
/** Rows of `event_runs` that one look at the tail reads,. */
const runsMax = 2_000
/** Events of schedules that are read together. */
const eventsAtOnce = 5_000

/** A count of jobs of one kind, with sums by which two databases are compared. */
export interface Total {
  readonly state: string
  readonly queue: string
  readonly type: string
  readonly count: number
  readonly seqs: number
  readonly mixed: number
}

/** For both databases: sums that differ if a job is missing, is there twice, or has another history. */
export const totalsSql = `
  SELECT state, queue, type, count(*) AS count, CAST(sum(seq) AS bigint) AS seqs,
    CAST(sum((id * 31 + seq * 17 + attempt * 13 + id % 1009 * seq) % 1000003) AS bigint) AS mixed
  FROM jobs GROUP BY state, queue, type`

/** How often a key was used again. */
interface Replay {
  readonly id: number
  readonly n: number
  readonly lastAt: number
}

/** The columns of `unique_jobs`. */
const uniqueNames = ['job_id', 'type', 'unique_key', 'until', 'frees_at', 'place'] as const

/** What a file says of itself. */
interface FileFacts {
  readonly epochs: ReturnType<typeof readEpochs>
  readonly owner: Owner | null
  /** The server of the file was stopping when it ended. */
  readonly wasStopping: boolean
  /** The highest ids given out. */
  readonly transitions: number
  readonly jobs: number
}

/** A row of `event_runs`, as far as it says which jobs have changed. */
interface ChangedRun {
  readonly id: number
  readonly first: number
  readonly length: number
  readonly jobOffsets: string | null
}

/** Jobs with their histories, for whoever copies them: each page is of one instant. */
export class WholeJobs {
  readonly #db: Database.Database
  readonly #sql: ReturnType<typeof prepare>

  constructor(db: Database.Database) {
    this.#db = db
    this.#sql = prepare(db)
  }

  facts(): FileFacts {
    return this.#atOnce(() => {
      const epochs = readEpochs(this.#db)
      const { transitions, jobs } = progressOf(this.#db)
      const { firstJob, firstTransition } = epochs.at(-1)!
      return {
        epochs,
        owner: toOwner(this.#sql.owner.get() as string | undefined),
        wasStopping: this.#sql.stopping.get() !== undefined,
        transitions: Math.max(transitions, firstTransition - 1),
        jobs: Math.max(jobs, firstJob - 1),
      }
    })
  }

  /** The next jobs above an id. */
  after(id: number): WholeJob[] {
    return this.#atOnce(() => {
      const next = this.#sql.idsAfter.all({ id, limit: jobsMax }) as number[]
      return this.#read(next, new Map()).jobs
    })
  }

  /** As many of some jobs as one page has, and the ids that are left; `known`: what needs not be read. Some may be there no more. */
  of(
    ids: readonly number[],
    known: ReadonlyMap<number, KnownRow>,
  ): { jobs: WholeJob[]; gone: number[]; left: number[] } {
    return this.#atOnce(() => {
      const { jobs, read } = this.#read(ids.slice(0, jobsMax), known)
      const found = new Set(jobs.map(({ row }) => row.id))
      return { jobs, gone: ids.slice(0, read).filter((id) => !found.has(id)), left: ids.slice(read) }
    })
  }

  /** The jobs of the transitions after one; `last`: the last of them. */
  changedAfter(transition: number): { ids: number[]; last: number } {
    const runs = this.#sql.runs.all(transition) as ChangedRun[]
    const ids = new Set<number>()
    for (const { first, length, jobOffsets } of runs) {
      const offsetAt = readOffsets(jobOffsets, length)
      for (let place = 0; place < length; place++) ids.add(first + (offsetAt(place) ?? 0))
    }
    const newest = runs.at(-1)
    return { ids: [...ids].sort((a, b) => a - b), last: newest ? newest.id + newest.length - 1 : transition }
  }

  /** The jobs whose handlers may have reported something without a transition. */
  held(): number[] {
    return this.#sql.held.all() as number[]
  }

  idsBetween(after: number, last: number): Set<number> {
    return new Set(this.#sql.idsBetween.all(after, last) as number[])
  }

  countUpTo(id: number): number {
    return this.#sql.countUpTo.get(id) as number
  }

  totals(): Total[] {
    return this.#sql.totals.all() as Total[]
  }

  replays(): Replay[] {
    return this.#sql.replays.all() as Replay[]
  }

  /** The rows of `unique_jobs`. */
  uniqueKeys(): Readonly<Record<string, string | number | null>>[] {
    return this.#sql.uniqueKeys.all() as Readonly<Record<string, string | number | null>>[]
  }

  /** The rows of `schedules`, and of `schedule_events` page by page. */
  schedules(): ScheduleRows {
    const after = (scheduleId: number, seq: number) => this.#sql.scheduleEvents.all({ scheduleId, seq }) as PlainRow[]
    return { schedules: this.#sql.schedules.all() as PlainRow[], eventsAfter: after }
  }

  counts(): EdgeCount[] {
    return this.#sql.counts.all() as EdgeCount[]
  }

  #atOnce<Result>(read: () => Result): Result {
    return this.#db.inTransaction ? read() : this.#db.transaction(read)()
  }

  /** At least the first. */
  #read(ids: readonly number[], known: ReadonlyMap<number, KnownRow>): { jobs: WholeJob[]; read: number } {
    const jobs: WholeJob[] = []
    let weight = 0
    let read = 0
    for (const id of ids) {
      const row = this.#sql.row.get(id) as WholeJob['row'] | undefined
      const after = known.get(id)?.seq ?? 0
      if (row) {
        const payload = (this.#sql.payload.get(id) as string | undefined) ?? null
        const result = (this.#sql.result.get({ id }) as string | undefined) ?? null
        weight += (payload?.length ?? 0) + (result?.length ?? 0) + eventWeight * (row.seq - after)
        if (weight > weightMax && jobs.length > 0) break
        const lines = this.#sql.lines.all(id) as WholeJob['lines']
        for (const { bytes } of lines.slice(-1)) weight += Number(bytes) - Number(lines[0]!.bytes)
        const events = (this.#sql.history.all({ id, after }) as CopiedEvent[]).reverse()
        const trace = (this.#sql.trace.get(id) as WholeJob['trace']) ?? null
        const progress = (this.#sql.progress.get(id) as WholeJob['progress']) ?? null
        const versions = this.#sql.versions.all(id) as WholeJob['versions']
        jobs.push({ row, payload, versions, trace, result, progress, lines, events })
      }
      read++
    }
    return { jobs, read }
  }
}

function prepare(db: Database.Database) {
  const goesOn = 'chain.job_id = :id AND chain.previous_id < chain.id AND chain.seq > :after + 1'
  return {
    owner: db.prepare(ownerSql).pluck(),
    stopping: db.prepare(`SELECT 1 FROM meta WHERE name = 'stopping'`),
    idsAfter: db.prepare('SELECT id FROM jobs WHERE id > :id ORDER BY id LIMIT :limit').pluck(),
    idsBetween: db.prepare('SELECT id FROM jobs WHERE id > ? AND id <= ?').pluck(),
    countUpTo: db.prepare('SELECT count(*) FROM jobs WHERE id <= ?').pluck(),
    row: db.prepare(`SELECT ${rowColumns} FROM jobs WHERE id = ?`),
    versions: db.prepare(`SELECT ${versionColumns} FROM job_versions WHERE job_id = ? ORDER BY seq`),
    payload: db.prepare('SELECT payload FROM job_payloads WHERE job_id = ?').pluck(),
    result: db.prepare(`SELECT ${resultOf(':id')}`).pluck(),
    trace: db.prepare(`SELECT traceparent, tracestate, last_attempt AS "lastAttempt" FROM job_traces WHERE job_id = ?`),
    progress: db.prepare(`SELECT ${progressNames} FROM job_progress WHERE job_id = ?`),
    lines: db.prepare(`SELECT ${lineNames} FROM job_logs WHERE job_id = ? ORDER BY n`),
    held: db.prepare(`SELECT id FROM jobs WHERE ${isHeld} ORDER BY id`).pluck(),
    history: db.prepare(`
      ${chainFrom('SELECT last_event_id FROM jobs WHERE id = :id', goesOn)}
      SELECT id, seq, event, from_state AS "from", to_state AS "to", attempt, at, error, cause
      FROM chain WHERE job_id = :id AND seq > :after`),
    runs: db.prepare(
      `SELECT id, first_job_id AS first, length, job_offsets AS jobOffsets FROM event_runs WHERE id > ? ORDER BY id LIMIT ${runsMax}`,
    ),
    totals: db.prepare(totalsSql),
    replays: db.prepare('SELECT job_id AS id, n, last_at AS "lastAt" FROM key_replays'),
    uniqueKeys: db.prepare(`SELECT ${uniqueNames} FROM unique_jobs ORDER BY job_id`),
    schedules: db.prepare('SELECT * FROM schedules ORDER BY id'),
    scheduleEvents: db.prepare(`
      SELECT * FROM schedule_events WHERE (schedule_id, seq) > (:scheduleId, :seq) ORDER BY schedule_id, seq LIMIT ${eventsAtOnce}`),
    counts: db.prepare(`SELECT from_state AS "from", event, nullif(to_state, '') AS "to", n AS count FROM edge_counts`),
  }
}
