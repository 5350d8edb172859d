import { bulkTakes, takes } from '../../sql/transitions.ts'
import type { IdPage, ListFilter, MatchFilter } from '../../store.ts'
import type { Reads } from '../reads.ts'

/** Ids that one stretch of the walk goes down, and those that one of a search does. */
const rowsMax = 20_000
const searchedMax = 2_000
/** Stretches that one request goes on for while it has found nothing. */
const stretchesMax = 500
const searchStretchesMax = 20
/** How far the clock may have been set back, in ms, without hiding anything: ids rise with `created_at` but for what nodes had in reserve. */
const setBackMaxMs = 600_000
/** Neighbours that must agree on a time before anything is left out for it. */
const witnesses = 100

type Filter = ListFilter & Partial<MatchFilter>

/** Walks down the ids, for lists, searches and counts, in stretches of bounded length: there is no index for them. */
export class Walk {
  readonly #reads: Reads

  constructor(reads: Reads) {
    this.#reads = reads
  }

  /** How many stretches one request may go on for. */
  stretchesMax({ text }: ListFilter): number {
    return text === undefined ? stretchesMax : searchStretchesMax
  }

  /** One stretch. */
  async down(filter: Filter): Promise<IdPage> {
    const from = await this.#start(filter.before ?? Number.MAX_SAFE_INTEGER, filter.createdTo)
    if (from === null) return { ids: [], from, next: null }
    const lowest = from + 1 - (filter.text === undefined ? rowsMax : searchedMax)
    const rows = await this.#reads.all<{ id: number }>(pageSql(filter), {
      ...filter,
      ...spellings(filter.text),
      lowest,
      from,
    })
    const ids = rows.map(({ id }) => id)
    if (ids.length === filter.limit) return { ids, from, next: ids.at(-1)! }
    const isPast =
      filter.createdFrom !== undefined && (await this.#youngest(lowest, from)) < filter.createdFrom - setBackMaxMs
    const below = await this.#highest(lowest)
    return { ids, from, next: isPast || below === null ? null : below + 1 }
  }

  /** The highest id below `before`, less those that are known to be created at `createdTo` or later. */
  async #start(before: number, createdTo: number | undefined): Promise<number | null> {
    let high = await this.#highest(before)
    if (high === null || createdTo === undefined) return high
    for (let low = 0; high - low > rowsMax; ) {
      const middle = Math.floor((low + high) / 2)
      const oldest = await this.#one<number>(oldestNearSql, { middle })
      if (oldest !== null && oldest >= createdTo + setBackMaxMs) high = middle
      else low = middle
    }
    return high
  }

  #highest(before: number): Promise<number | null> {
    return this.#one('SELECT max(id) AS value FROM jobs WHERE id < :before', { before })
  }

  async #youngest(lowest: number, from: number): Promise<number> {
    return (
      (await this.#one<number>('SELECT max(created_at) AS value FROM jobs WHERE id BETWEEN :lowest AND :from', {
        lowest,
        from,
      })) ?? 0
    )
  }

  async #one<Value>(sql: string, values: Record<string, number>): Promise<Value | null> {
    return (await this.#reads.one<{ value: Value | null }>(sql, values))?.value ?? null
  }
}

const oldestNearSql = `SELECT min(created_at) AS value FROM (SELECT created_at FROM jobs WHERE id <= :middle ORDER BY id DESC LIMIT ${witnesses}) AS near`

/** What narrows a page, each if it is given. */
const conditions: readonly (readonly [keyof Filter, string])[] = [
  ['state', 'state = :state'],
  ['type', 'type = :type'],
  ['queue', 'queue = :queue'],
  ['createdFrom', 'created_at >= :createdFrom'],
  ['createdTo', 'created_at < :createdTo'],
]

const has = (column: string) =>
  `(position(:plain::text IN lower(${column} COLLATE "C")) > 0 OR position(:escaped::text IN lower(${column} COLLATE "C")) > 0)`

function pageSql(filter: Filter): string {
  const narrowed = conditions.flatMap(([name, condition]) => (filter[name] === undefined ? [] : [condition]))
  const { command, state } = filter
  const taken = command ? [state === undefined ? bulkTakes(command) : takes(command)] : []
  const found =
    filter.text === undefined
      ? []
      : [`(EXISTS (SELECT 1 FROM job_payloads WHERE job_id = jobs.id AND ${has('payload')}) OR ${has('error')})`]
  return `SELECT id FROM jobs WHERE ${['id BETWEEN :lowest AND :from', ...narrowed, ...taken, ...found].join(' AND ')} ORDER BY id DESC LIMIT :limit`
}

/**
 * In JSON, `text` may appear with escapes, or may itself be JSON: both are searched for, in lower case for ASCII only. What no text of
 * PostgreSQL can hold is found by its escape alone.
 */
function spellings(text: string | undefined) {
  if (text === undefined) return {}
  const lower = (spelling: string) => spelling.replace(/[A-Z]/g, (letter) => letter.toLowerCase())
  return {
    plain: /[\0\p{Surrogate}]/u.test(text) ? null : lower(text),
    escaped: lower(JSON.stringify(text).slice(1, -1)),
  }
}
