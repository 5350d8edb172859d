import type Database from 'better-sqlite3'
import type { EdgeCount, HistoryEvent, JobPage, JobPath, JobRow, ListFilter, PathStep, Situation } from '../store.ts'
import { eventColumns, jobColumns, type Selected, toHistoryEvent, toJobRow } from './rows.ts'
import { Situations } from './situations.ts'

/** Rows that one list request looks at: some milliseconds of work. */
const listScanMax = 20_000
/** Characters of payloads after which a page ends short: some milliseconds to parse and to send. */
const listLengthMax = 4_194_304

/** Transitions that one request for a job's path looks at, the last ones: less than a tenth of a second. */
const pathScanMax = 100_000

/** The reads, over any connection. None leaves a read transaction open, or the WAL could not be reset. */
export class Reader {
  readonly #db: Database.Database
  readonly #find: Database.Statement
  readonly #exists: Database.Statement
  readonly #history: Database.Statement
  readonly #path: Database.Statement
  readonly #counts: Database.Statement
  readonly #lists = new Map<string, Database.Statement>()
  /** Made with the first question: most readers are never asked. */
  #situations: Situations | undefined

  constructor(db: Database.Database) {
    this.#db = db
    this.#find = db.prepare(`SELECT ${jobColumns} FROM jobs WHERE id = ?`)
    this.#exists = db.prepare('SELECT 1 FROM jobs WHERE id = ?').pluck()
    this.#history = db.prepare(
      `SELECT ${eventColumns} FROM job_events WHERE job_id = ? AND seq > ? ORDER BY seq LIMIT ?`,
    )
    this.#path = db.prepare(`
      SELECT from_state AS "from", event, to_state AS "to", count(*) AS count, min(seq) AS first, max(seq) AS last
      FROM (SELECT seq, event, from_state, to_state FROM job_events WHERE job_id = :id AND seq <= :upTo ORDER BY seq DESC LIMIT :scan)
      GROUP BY from_state, event, to_state`)
    this.#counts = db.prepare(
      `SELECT from_state AS "from", event, nullif(to_state, '') AS "to", n AS count FROM edge_counts`,
    )
  }

  find(id: number): JobRow | undefined {
    const row = this.#find.get(id) as Selected<JobRow> | undefined
    return row && toJobRow(row)
  }

  history(id: number, { after, limit }: { after: number; limit: number }): HistoryEvent[] | undefined {
    const rows = this.#history.all(id, after, limit) as Selected<HistoryEvent>[]
    return rows.length > 0 || this.#exists.get(id) ? rows.map(toHistoryEvent) : undefined
  }

  pathOf({ id, upTo }: { id: number; upTo: number }): JobPath | undefined {
    const rows = this.#path.all({ id, upTo, scan: pathScanMax }) as (PathStep & { first: number; last: number })[]
    if (rows.length === 0) return
    const steps = rows.sort((a, b) => a.last - b.last)
    return {
      seq: steps.at(-1)!.last,
      since: Math.min(...steps.map(({ first }) => first)),
      steps: steps.map(({ from, event, to, count }) => ({ from, event, to, count })),
    }
  }

  counts(): EdgeCount[] {
    return this.#counts.all() as EdgeCount[]
  }

  situation(id: number): Situation | undefined {
    this.#situations ??= new Situations(this.#db)
    return this.#situations.find(id)
  }

  /** Walks down the ids, looking at a bounded number of jobs and reading a bounded length, whatever the filter and the payloads. */
  list({ state, type, queue, before, limit }: ListFilter): JobPage {
    const filters = Object.entries({ state, type, queue }).filter(([, value]) => value !== undefined)
    const statement = this.#listBy(filters.map(([column]) => column))
    const values = {
      ...Object.fromEntries(filters),
      before: before ?? Number.MAX_SAFE_INTEGER,
      limit,
      scan: listScanMax,
    }
    return this.#db.transaction((): JobPage => {
      const jobs: JobRow[] = []
      let length = 0
      for (const id of statement.page.all(values) as number[]) {
        const job = this.find(id)!
        jobs.push(job)
        length += job.payload.length
        if (jobs.length === limit || length > listLengthMax) return { jobs, next: id }
      }
      const { id, seen } = statement.lowest.get(values) as { id: number | null; seen: number }
      return { jobs, next: seen === listScanMax ? id : null }
    })()
  }

  #listBy(columns: string[]) {
    const matches = columns.map((column) => `${column} = :${column}`).join(' AND ')
    const page = this.#prepared(`
      SELECT id FROM (SELECT id, state, type, queue FROM jobs WHERE id < :before ORDER BY id DESC LIMIT :scan)
      ${matches && `WHERE ${matches}`} ORDER BY id DESC LIMIT :limit`).pluck()
    const lowest = this.#prepared(
      'SELECT min(id) AS id, count(*) AS seen FROM (SELECT id FROM jobs WHERE id < :before ORDER BY id DESC LIMIT :scan)',
    )
    return { page, lowest }
  }

  #prepared(sql: string): Database.Statement {
    const statement = this.#lists.get(sql) ?? this.#db.prepare(sql)
    this.#lists.set(sql, statement)
    return statement
  }
}
