import type Database from 'better-sqlite3'
import { bulkTakes, takes } from '../../sql/transitions.ts'
import type { IdPage, ListFilter, MatchFilter } from '../../store.ts'

/** Ids that one step of the walk covers: some milliseconds of work. */
const rowsMax = 20_000
/** Bytes of payloads that one step of a search reads: some tens of milliseconds. It ends after the jobs that exceed them. */
const searchedBytesMax = 16_777_216
/** Ids that a search covers at once: few at first, and again after `longBytes` of payloads. */
const searchedAtOnce = { first: 64, max: 512, longBytes: 262_144 }
/** Steps that one request makes while it has found nothing: ten million ids and a second or so, or a million and half a second for a search. */
const stretchesMax = 500
const searchStretchesMax = 50
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

/** What a search found at once; `ids` is JSON. */
interface Found {
  readonly ids: string
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
    const ids = this.#statement('page', filter).all({ ...values, limit: filter.limit }) as number[]
    return this.#stretch(filter, ids, lowest, before)
  }

  #search(filter: ListFilter & Partial<MatchFilter>, text: string, from: number): Stretch {
    const [plain, escaped] = patterns(text)
    const search = this.#statement(escaped === undefined ? 'search' : 'searchBoth', filter)
    const values = { ...valuesOf(filter), plain, escaped }
    const ids: number[] = []
    let lowest = from
    let bytes = 0
    for (let atOnce = searchedAtOnce.first; lowest > from - rowsMax && bytes < searchedBytesMax; ) {
      const before = lowest
      lowest = Math.max(before - atOnce, from - rowsMax)
      const found = search.get({ ...values, lowest, before }) as Found
      const descending = (JSON.parse(found.ids) as number[]).sort((a, b) => b - a)
      ids.push(...descending.slice(0, filter.limit - ids.length))
      if (ids.length === filter.limit) break
      bytes += found.bytes
      const isLong = found.bytes > searchedAtOnce.longBytes
      atOnce = isLong ? searchedAtOnce.first : Math.min(2 * atOnce, searchedAtOnce.max)
    }
    return this.#stretch(filter, ids, lowest, from)
  }

  /** All ids from `lowest` on, below `before`, were examined. */
  #stretch({ createdFrom }: ListFilter, ids: readonly number[], lowest: number, before: number): Stretch {
    const youngest = createdFrom === undefined ? 0 : (this.#youngest.get({ lowest, before }) as number)
    const below = this.#highest.get(lowest) as number | null
    return { ids, youngest, next: below === null ? null : below + 1 }
  }

  #statement(kind: keyof typeof sources, filter: ListFilter & Partial<MatchFilter>): Database.Statement {
    const { command } = filter
    const given = filterNames.filter((name) => filter[name] !== undefined)
    const key = [kind, command, ...given].join(' ')
    const prepared = this.#prepared.get(key)
    if (prepared) return prepared
    const may = command ? [`iif(:state IS NULL, ${bulkTakes(command)}, ${takes(command)})`] : []
    const statement = this.#db.prepare(sources[kind]([...may, ...given.map((name) => conditions[name])].join(' AND ')))
    this.#prepared.set(key, statement)
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
 * In JSON, `text` may appear with escapes, or may itself be JSON: both are searched for by LIKE, which ignores the case of ASCII letters and
 * reads 2 GB a second. It ends a pattern at a NUL, which JSON always escapes. A search for a control character may match the letters of its
 * escape: `\n` in `c:\\new`.
 */
function patterns(text: string): string[] {
  const escaped = JSON.stringify(text).slice(1, -1)
  const spellings = text.includes('\0') ? [escaped] : [...new Set([text, escaped])]
  return spellings.map((spelling) => `%${spelling.replace(/[\\%_]/g, '\\$&')}%`)
}

/** Only those that are asked for are in a statement: the others would take as long as the search itself. */
const conditions = {
  state: 'state = :state',
  type: 'type = :type',
  queue: 'queue = :queue',
  createdFrom: 'created_at >= :created_from',
  createdTo: 'created_at < :created_to',
}
const filterNames = Object.keys(conditions) as readonly (keyof typeof conditions)[]

const ofStep = (matches: string) => `id >= :lowest AND id < :before${matches && ` AND ${matches}`}`
const has = (pattern: string) => `payload LIKE ${pattern} ESCAPE '\\' OR error LIKE ${pattern} ESCAPE '\\'`
// Only the payloads of jobs that match the other filters are read.
const search = (matches: string, found: string) => `
  SELECT coalesce(sum(bytes), 0) AS bytes, json_group_array(id) FILTER (WHERE found) AS ids
  FROM (
    SELECT id, octet_length(payload) AS bytes, ${found} AS found
    FROM jobs LEFT JOIN job_payloads ON job_id = id WHERE ${ofStep(matches)})`

const sources = {
  page: (matches: string) => `SELECT id FROM jobs WHERE ${ofStep(matches)} ORDER BY id DESC LIMIT :limit`,
  search: (matches: string) => search(matches, has(':plain')),
  searchBoth: (matches: string) => search(matches, `${has(':plain')} OR ${has(':escaped')}`),
}
