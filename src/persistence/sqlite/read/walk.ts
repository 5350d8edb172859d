import type Database from 'better-sqlite3'
import { bulkTakes, takes } from '../../sql/transitions.ts'
import type { Command, IdPage, ListFilter, MatchFilter } from '../../store.ts'

/** Ids that one step of the walk covers: some milliseconds of work. */
const rowsMax = 20_000
/** Bytes of payloads and errors that one step of a search reads: a tenth of a second or so. It ends after the rows that exceed them. */
const searchedBytesMax = 16_777_216
/** Rows that a search reads before it sums their bytes. */
const searchStepRows = 64
/** Steps that one request makes while it has found nothing: ten million ids and a second or so, or half a second for a search. */
const stretchesMax = 500
const searchStretchesMax = 5
/**
 * How far the clock may have been set back, in ms, without hiding anything. Ids rise with `created_at`, except for jobs stored before a
 * clock that was set back has caught up.
 */
const setBackMaxMs = 600_000
/**
 * Neighbours that must agree on a time before anything is left out because of it: a single one may have been stored while the clock was
 * wrong.
 */
const witnesses = 100

/** What one step examined, without the jobs above and below it. */
interface Stretch {
  readonly ids: readonly number[]
  /** All ids from here on were examined; null if there are none below. */
  readonly next: number | null
  /** The latest `created_at` among them. */
  readonly youngest: number
}

/** What a search found in some rows; `ids` is JSON. */
interface Step {
  readonly ids: string
  /** Of the examined jobs: the lowest id, the number, the latest `created_at`. */
  readonly lowest: number
  readonly rows: number
  readonly youngest: number
  readonly bytes: number
}

/**
 * Walks down the ids, for lists, searches and counts: without an index, in steps of bounded numbers of ids and bytes. For a time range it
 * seeks directly to the range's end, and stops once a whole step is older. This may miss jobs that were stored after the clock had been set
 * back by more than ten minutes and before it had caught up.
 */
export class Walk {
  readonly #db: Database.Database
  readonly #highest: Database.Statement
  readonly #oldestNear: Database.Statement
  readonly #youngest: Database.Statement
  readonly #prepared = new Map<string, Database.Statement>()

  constructor(db: Database.Database) {
    this.#db = db
    this.#highest = db.prepare('SELECT max(id) FROM jobs WHERE id < ?').pluck()
    this.#oldestNear = db
      .prepare('SELECT min(created_at) FROM (SELECT created_at FROM jobs WHERE id <= ? ORDER BY id DESC LIMIT ?)')
      .pluck()
    this.#youngest = db.prepare('SELECT max(created_at) FROM jobs WHERE id >= :lowest AND id < :before').pluck()
  }

  /** How many steps one request may make. */
  stretchesMax({ text }: ListFilter): number {
    return text === undefined ? stretchesMax : searchStretchesMax
  }

  /** One step. Call it in a read transaction. */
  down(filter: ListFilter & Partial<MatchFilter>): IdPage {
    const { text, createdFrom, createdTo, limit } = filter
    const from = this.#start(filter.before ?? Number.MAX_SAFE_INTEGER, createdTo)
    if (from === null) return { ids: [], from, next: null }
    const { ids, next, youngest } =
      text === undefined ? this.#page(filter, from + 1) : this.#search(filter, text, from + 1)
    if (ids.length === limit) return { ids, from, next: ids.at(-1)! }
    const isPast = createdFrom !== undefined && youngest < createdFrom - setBackMaxMs
    return { ids, from, next: isPast ? null : next }
  }

  /** The highest id below `before`, without those that were certainly created at `createdTo` or later. */
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

  #page(filter: ListFilter & Partial<MatchFilter>, before: number): Stretch {
    const lowest = before - rowsMax
    const values = { ...valuesOf(filter), lowest, before }
    const ids = this.#statement('page', filter.command).all({ ...values, limit: filter.limit }) as number[]
    const youngest = filter.createdFrom === undefined ? 0 : (this.#youngest.get({ lowest, before }) as number)
    const below = this.#highest.get(lowest) as number | null
    return { ids, youngest, next: below === null ? null : below + 1 }
  }

  #search(filter: ListFilter & Partial<MatchFilter>, text: string, from: number): Stretch {
    const search = this.#statement('search', filter.command)
    const values = { ...valuesOf(filter), ...spellings(text) }
    const ids: number[] = []
    let before = from
    let rows = 0
    let bytes = 0
    let youngest = Number.NEGATIVE_INFINITY
    while (rows < rowsMax && bytes < searchedBytesMax) {
      const stepRows = Math.min(searchStepRows, rowsMax - rows)
      const { ids: json, ...step } = search.get({ ...values, before, rows: stepRows }) as Step
      const found = (JSON.parse(json) as number[]).sort((a, b) => b - a)
      ids.push(...found.slice(0, filter.limit - ids.length))
      if (ids.length === filter.limit || step.rows < stepRows) return { ids, next: null, youngest }
      before = step.lowest
      rows += step.rows
      bytes += step.bytes
      youngest = Math.max(youngest, step.youngest)
    }
    return { ids, next: before, youngest }
  }

  #statement(kind: keyof typeof sources, command: Command | undefined): Database.Statement {
    const key = `${kind} ${command}`
    const prepared = this.#prepared.get(key) ?? this.#prepare(kind, command)
    this.#prepared.set(key, prepared)
    return prepared
  }

  #prepare(kind: keyof typeof sources, command: Command | undefined): Database.Statement {
    const statement = this.#db.prepare(
      sources[kind](command ? `iif(:state IS NULL, ${bulkTakes(command)}, ${takes(command)})` : '1'),
    )
    return kind === 'page' ? statement.pluck() : statement
  }
}

function valuesOf({ state, type, queue, createdFrom, createdTo }: ListFilter) {
  return {
    state: state ?? null,
    type: type ?? null,
    queue: queue ?? null,
    created_from: createdFrom ?? null,
    created_to: createdTo ?? null,
  }
}

/**
 * In JSON, `text` may appear with escapes, or may itself be JSON: both are searched for, in lower case as SQLite's `lower` converts it, for
 * ASCII only. A search for a control character may match the letters of its escape: `\n` in `c:\\new`.
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
  page: (may: string) =>
    `SELECT id FROM jobs WHERE id >= :lowest AND id < :before AND ${may} AND ${matches} ORDER BY id DESC LIMIT :limit`,
  // Only the payloads of jobs that match the other filters are read.
  search: (may: string) => `
    SELECT min(id) AS lowest, count(*) AS rows, max(created_at) AS youngest, coalesce(sum(bytes), 0) AS bytes,
      json_group_array(id) FILTER (WHERE found) AS ids
    FROM (
      SELECT id, created_at, (coalesce(length(CAST(payload AS BLOB)), 0) + coalesce(length(error), 0)) * (1 + (:escaped IS NOT NULL)) AS bytes,
        job_id IS NOT NULL AND (${has('payload')} OR ${has('error')}) AS found
      FROM ${walked(may)} LEFT JOIN job_payloads ON job_id = id AND may AND ${matches})`,
}
