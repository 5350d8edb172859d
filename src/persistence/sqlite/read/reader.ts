import { setImmediate } from 'node:timers/promises'
import type Database from 'better-sqlite3'
import { countStates } from '../../../machines/edges.ts'
import {
  type KeptLine,
  type LogPage,
  logEndsSql,
  logLinesSql,
  type Progress,
  progressSql,
  toEnds,
  toLines,
  toProgress,
} from '../../reports.ts'
import { eventColumns, jobColumns, type Selected, toHistoryEvent, toJobRow } from '../../rows.ts'
import { stateHasTag } from '../../sql/transitions.ts'
import {
  type CensusCount,
  type EdgeCount,
  type EndedJob,
  endedLengthMax,
  type HistoryEvent,
  type IdPage,
  type JobFacts,
  type JobPage,
  type JobPath,
  type JobRow,
  type ListFilter,
  type MatchFilter,
} from '../../store.ts'
import { payloadAtSql, payloadGone } from '../../versions.ts'
import { CensusCounter } from './census.ts'
import { chainFrom, eventAtOrAbove } from './histories.ts'
import { JobFactsReader } from './job-facts.ts'
import { resultOf, selectTransitions } from './rows.ts'
import { ScheduleReader } from './schedules.ts'
import { Walk } from './walk.ts'

/** Characters of payloads after which a page ends early: they take some milliseconds to parse and to send. */
const listLengthMax = 4_194_304

/** Transitions of one job that a request for its path reads: some tens of milliseconds. */
const pathScanMax = 20_000

/** The reads, over any connection. None leaves a read transaction open, because the WAL could not be reset then. */
export class Reader {
  readonly #db: Database.Database
  readonly #find: Database.Statement
  readonly #ended: Database.Statement
  readonly #seq: Database.Statement
  readonly #logLines: Database.Statement
  readonly #logEnds: Database.Statement
  readonly #progress: Database.Statement
  readonly #payloadAt: Database.Statement
  readonly #history: Database.Statement
  readonly #path: Database.Statement
  readonly #transitions: Database.Statement
  readonly #newestEvent: Database.Statement
  readonly #counts: Database.Statement
  /** Created on first use: most readers never need it. */
  #jobFacts: JobFactsReader | undefined
  #census: CensusCounter | undefined
  #schedules: ScheduleReader | undefined
  readonly #walk: Walk

  constructor(db: Database.Database) {
    this.#db = db
    this.#walk = new Walk(db)
    this.#find = db.prepare(`SELECT ${jobColumns} FROM jobs WHERE id = ?`)
    // JSON has no BLOBs, which somebody may have written into the file.
    this.#ended = db.prepare(`
      SELECT item.value AS id, jobs.state, CAST(jobs.type AS TEXT) AS type, CAST(${resultOf('jobs.id')} AS TEXT) AS result
      FROM json_each(?) AS item LEFT JOIN jobs ON jobs.id = item.value
      WHERE jobs.id IS NULL OR ${stateHasTag('ended')}`)
    this.#seq = db.prepare('SELECT seq FROM jobs WHERE id = ?').pluck()
    this.#logLines = db.prepare(logLinesSql)
    this.#logEnds = db.prepare(logEndsSql)
    this.#progress = db.prepare(progressSql)
    this.#payloadAt = db.prepare(payloadAtSql).pluck()
    this.#history = db.prepare(`
      ${chainFrom(eventAtOrAbove(':after + :limit'), 'chain.seq > :after + 1')}
      SELECT ${eventColumns}, ${payloadGone('chain.seq')} FROM chain WHERE seq > :after ORDER BY seq LIMIT :limit`)
    this.#path = db.prepare(`
      ${chainFrom(eventAtOrAbove(':upTo'), 'chain.seq > :since')}
      SELECT from_state AS "from", event, to_state AS "to", count(*) AS count, max(seq) AS last
      FROM chain WHERE seq <= :upTo GROUP BY from_state, event, to_state`)
    this.#transitions = db.prepare(selectTransitions).pluck()
    this.#newestEvent = db.prepare('SELECT id + length - 1 FROM event_runs ORDER BY id DESC LIMIT 1').pluck()
    this.#counts = db.prepare(
      `SELECT from_state AS "from", event, nullif(to_state, '') AS "to", n AS count FROM edge_counts`,
    )
  }

  ended(ids: readonly number[]): Map<number, EndedJob> {
    const jobs = new Map<number, EndedJob>()
    let length = 0
    for (const { id, ...job } of this.#ended.iterate(JSON.stringify(ids)) as Iterable<EndedJob & { id: number }>) {
      jobs.set(id, job)
      length += job.result?.length ?? 0
      if (length > endedLengthMax) break
    }
    return jobs
  }

  find(id: number): JobRow | undefined {
    const row = this.#find.get(id) as Selected<JobRow> | undefined
    return row && toJobRow(row)
  }

  log(id: number, { after, limit }: { after: number; limit: number }): LogPage | undefined {
    const ends = toEnds(this.#logEnds.get({ id }) as Omit<LogPage, 'lines'>)
    if (ends.last === null && this.#seq.get(id) === undefined) return
    return { lines: toLines(this.#logLines.all({ id, after, limit }) as KeptLine[]), ...ends }
  }

  progressSince(at: number): Progress[] {
    return toProgress(this.#progress.all({ since: at }) as Parameters<typeof toProgress>[0] & unknown[])
  }

  payloadAt(id: number, at: number): string | undefined {
    return (this.#payloadAt.get({ id, at }) as string | null) ?? undefined
  }

  history(id: number, { after, limit }: { after: number; limit: number }): HistoryEvent[] | undefined {
    const rows = this.#history.all({ id, after, limit }) as Selected<HistoryEvent>[]
    return rows.length > 0 || this.#seq.get(id) !== undefined
      ? rows.flatMap((row) => toHistoryEvent(row) ?? [])
      : undefined
  }

  pathOf({ id, upTo }: { id: number; upTo: number }): JobPath | undefined {
    const seq = this.#seq.get(id) as number | undefined
    if (seq === undefined) return
    const last = Math.min(upTo, Number.isSafeInteger(seq) ? seq : pathScanMax)
    const since = Math.max(last - pathScanMax, 0) + 1
    const rows = this.#path.all({ id, upTo: last, since }) as (JobPath['steps'][number] & { last: number })[]
    const steps = rows.sort((a, b) => a.last - b.last)
    return { seq: last, since, steps: steps.map(({ from, event, to, count }) => ({ from, event, to, count })) }
  }

  /** `json` is for `toTransitions`; `newest` is the id of the newest event, even if it was added after that was read. */
  transitions({ after, limit }: { after: number; limit: number }): { json: string; newest: number } {
    const json = this.#transitions.get({ after, limit }) as string
    return { json, newest: (this.#newestEvent.get() as number | undefined) ?? 0 }
  }

  counts(): EdgeCount[] {
    return this.#counts.all() as EdgeCount[]
  }

  jobFacts(id: number): JobFacts | undefined {
    this.#jobFacts ??= new JobFactsReader(this.#db)
    return this.#jobFacts.find(id)
  }

  get schedules(): ScheduleReader {
    this.#schedules ??= new ScheduleReader(this.#db)
    return this.#schedules
  }

  /** Lets other reads run between its steps. */
  census(_: undefined): Promise<CensusCount[]> {
    this.#census ??= new CensusCounter(this.#db)
    return this.#census.take()
  }

  /**
   * Walks down the ids until it has found a job, has reached the end or has run for long enough, and lets other reads run between its
   * steps: each reads a bounded number of jobs and a bounded length, whatever the filter and the payloads. Throws between two steps once
   * `stop` has fired.
   */
  async list({ before, ...filter }: ListFilter, stop?: AbortSignal): Promise<JobPage> {
    const { state } = filter
    // The number of jobs is known: the dashboard asks for a page of dead jobs every two seconds, and usually there are none.
    if (state !== undefined && countStates(this.counts())[state] === 0) return { jobs: [], next: null }
    let page = this.#stretch({ ...filter, ...(before === undefined ? {} : { before }) })
    for (let left = this.#walk.stretchesMax(filter); page.jobs.length === 0 && page.next !== null && left > 1; left--) {
      await setImmediate()
      stop?.throwIfAborted()
      page = this.#stretch({ ...filter, before: page.next })
    }
    return page
  }

  #stretch(filter: ListFilter): JobPage {
    return this.#db.transaction((): JobPage => {
      const { ids, next } = this.#walk.down(filter)
      const jobs: JobRow[] = []
      let length = 0
      for (const id of ids) {
        const job = this.find(id)!
        jobs.push(job)
        length += job.payload.length
        if (length > listLengthMax) return { jobs, next: id }
      }
      return { jobs, next }
    })()
  }

  /** One step of the same walk, over the ids of jobs that allow a command. */
  matching(filter: MatchFilter): IdPage {
    return this.#db.transaction(() => this.#walk.down(filter))()
  }
}
