import type Database from 'better-sqlite3'
import { takes } from '../edge-sql.ts'
import type { Command, IdPage, ListFilter, MatchFilter } from '../store.ts'

/** Rows that one request looks at: some milliseconds of work. */
const rowsMax = 20_000
/** Bytes of payloads and errors that one request searches: a tenth of a second or so. It ends with the step that passes them. */
const searchedBytesMax = 16_777_216
/** Rows of one step of a search, after which its bytes are summed. */
const searchStepRows = 64
/**
 * How far the clock may have been set back, in ms, without hiding anything: ids rise with `created_at`, save for what was stored before a
 * clock that was set back had caught up.
 */
const setBackMaxMs = 600_000
/** Neighbours that must agree on a time before anything is left out for it: one may have come while the clock was wrong. */
const witnesses = 100

interface Step {
  readonly ids: readonly number[]
  /** Of the jobs looked at: the lowest id, how many, the latest `created_at`. */
  readonly lowest: number
  readonly rows: number
  readonly youngest: number
  readonly bytes: number
}

/**
 * The walk down the ids that lists, searches and counts: without an index of its own, a bounded number of jobs and of bytes a request.
 * A span of time is gone to directly, and left for good where all of a request is older. What that may hide: jobs stored after the clock
 * had been set back by more than ten minutes and before it had caught up.
 */
export class Walk {
  readonly #db: Database.Database
  readonly #highest: Database.Statement
  readonly #oldestNear: Database.Statement
  readonly #looked: Database.Statement
  readonly #steps = new Map<string, Database.Statement>()

  constructor(db: Database.Database) {
    this.#db = db
    this.#highest = db.prepare('SELECT max(id) FROM jobs WHERE id < ?').pluck()
    this.#oldestNear = db
      .prepare('SELECT min(created_at) FROM (SELECT created_at FROM jobs WHERE id <= ? ORDER BY id DESC LIMIT ?)')
      .pluck()
    this.#looked = db.prepare(`
      SELECT min(id) AS lowest, count(*) AS rows, max(created_at) AS youngest
      FROM (SELECT id, created_at FROM jobs WHERE id < :before ORDER BY id DESC LIMIT :rows)`)
  }

  /** To be called in a read transaction. */
  down(filter: ListFilter & Partial<MatchFilter>): IdPage {
    const { text, createdFrom, createdTo, limit } = filter
    const from = this.#start(filter.before ?? Number.MAX_SAFE_INTEGER, createdTo)
    const ids: number[] = []
    let before = (from ?? 0) + 1
    let rows = 0
    let bytes = 0
    let youngest = Number.NEGATIVE_INFINITY
    while (rows < rowsMax && bytes < searchedBytesMax) {
      const stepRows = Math.min(text === undefined ? rowsMax : searchStepRows, rowsMax - rows)
      const step = this.#step(filter, before, stepRows, limit - ids.length)
      ids.push(...step.ids)
      if (ids.length === limit) return { ids, from, next: ids.at(-1)! }
      if (step.rows < stepRows) return { ids, from, next: null }
      before = step.lowest
      rows += step.rows
      bytes += step.bytes
      youngest = Math.max(youngest, step.youngest)
    }
    const isPast = createdFrom !== undefined && youngest < createdFrom - setBackMaxMs
    return { ids, from, next: isPast ? null : before }
  }

  /** The highest id below `before`, less those that are known to be created at `createdTo` or later. */
  #start(before: number, createdTo: number | undefined): number | null {
    let high = this.#highest.get(before) as number | null
    if (high === null || createdTo === undefined) return high
    for (let low = 0; high - low > rowsMax; ) {
      const middle = Math.floor((low + high) / 2)
      const oldest = this.#oldestNear.get(middle, witnesses) as number | null
      if (oldest !== null && oldest >= createdTo + setBackMaxMs) high = middle
      else low = middle
    }
    return high
  }

  #step(filter: ListFilter & Partial<MatchFilter>, before: number, rows: number, limit: number): Step {
    const { command, state, type, queue, text, createdFrom, createdTo } = filter
    const values = {
      state: state ?? null,
      type: type ?? null,
      queue: queue ?? null,
      created_from: createdFrom ?? null,
      created_to: createdTo ?? null,
      before,
      rows,
    }
    if (text === undefined) {
      const ids = this.#prepared('page', command).all({ ...values, limit }) as number[]
      // A full page ends the walk, which then goes on below the last of it.
      if (ids.length === limit) return { ids, lowest: ids.at(-1)!, rows: 0, youngest: 0, bytes: 0 }
      return { ids, bytes: 0, ...(this.#looked.get(values) as Omit<Step, 'ids' | 'bytes'>) }
    }
    const search = this.#prepared('search', command)
    const { ids, ...step } = search.get({ ...values, ...spellings(text) }) as Omit<Step, 'ids'> & { ids: string }
    const found = (JSON.parse(ids) as number[]).sort((a, b) => b - a)
    return { ...step, ids: found.slice(0, limit) }
  }

  #prepared(kind: keyof typeof sources, command: Command | undefined): Database.Statement {
    const key = `${kind} ${command}`
    const statement = this.#steps.get(key) ?? this.#prepare(kind, command)
    this.#steps.set(key, statement)
    return statement
  }

  #prepare(kind: keyof typeof sources, command: Command | undefined): Database.Statement {
    const statement = this.#db.prepare(sources[kind](command ? takes(command) : '1'))
    return kind === 'page' ? statement.pluck() : statement
  }
}

/**
 * What a person sees as `text` stands in JSON with escapes, but may also be JSON itself: both are looked for, in lower case as SQLite's
 * `lower` has it, which knows ASCII alone. A search for a control character may meet the letters of its escape: `\n` in `c:\\new`.
 */
function spellings(text: string): { plain: string; escaped: string | null } {
  const lower = (spelling: string) => spelling.replace(/[A-Z]/g, (letter) => letter.toLowerCase())
  const plain = lower(text)
  const escaped = lower(JSON.stringify(text).slice(1, -1))
  return { plain, escaped: escaped === plain ? null : escaped }
}

const matches = `(:state IS NULL OR state = :state) AND (:type IS NULL OR type = :type) AND (:queue IS NULL OR queue = :queue)
  AND (:created_from IS NULL OR created_at >= :created_from) AND (:created_to IS NULL OR created_at < :created_to)`

const walked = (may: string) => `(
  SELECT id, state, type, queue, created_at, error, ${may} AS may FROM jobs WHERE id < :before ORDER BY id DESC LIMIT :rows)`

const has = (column: string) =>
  `(instr(lower(${column}), :plain) OR (:escaped IS NOT NULL AND instr(lower(${column}), :escaped)))`

const sources = {
  page: (may: string) => `SELECT id FROM ${walked(may)} WHERE may AND ${matches} ORDER BY id DESC LIMIT :limit`,
  // Only the payloads of jobs that match otherwise are read.
  search: (may: string) => `
    SELECT min(id) AS lowest, count(*) AS rows, max(created_at) AS youngest, coalesce(sum(bytes), 0) AS bytes,
      json_group_array(id) FILTER (WHERE found) AS ids
    FROM (
      SELECT id, created_at, (coalesce(length(CAST(payload AS BLOB)), 0) + coalesce(length(error), 0)) * (1 + (:escaped IS NOT NULL)) AS bytes,
        job_id IS NOT NULL AND (${has('payload')} OR ${has('error')}) AS found
      FROM ${walked(may)} LEFT JOIN job_payloads ON job_id = id AND may AND ${matches})`,
}
