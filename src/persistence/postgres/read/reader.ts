import { countStates } from '../../../machines/edges.ts'
import { Census } from '../../census.ts'
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
  type FileSizes,
  type HistoryEvent,
  type IdPage,
  type JobPage,
  type JobPath,
  type JobRow,
  type ListFilter,
  type MatchFilter,
  type Transition,
  type TransitionPage,
} from '../../store.ts'
import { payloadAtSql, payloadGone } from '../../versions.ts'
import { eventsAfter, eventsOf, newestId } from '../event-runs.ts'
import type { Reads } from '../reads.ts'
import type { Horizon } from './horizon.ts'
import { Walk } from './walk.ts'

/** Characters of payloads after which a page of jobs ends short, and of errors after which one of transitions does. */
const listLengthMax = 4_194_304
const errorsLengthMax = 262_144
/** Transitions of one job that a request for its path looks at. */
const pathScanMax = 20_000

/** The reads that need one statement or two. */
export class Reader {
  readonly #reads: Reads
  readonly #horizon: Horizon
  readonly #walk: Walk

  constructor(reads: Reads, horizon: Horizon) {
    this.#reads = reads
    this.#horizon = horizon
    this.#walk = new Walk(reads)
  }

  async find(id: number): Promise<JobRow | undefined> {
    const row = await this.#reads.one<Selected<JobRow>>(`SELECT ${jobColumns} FROM jobs WHERE id = :id`, { id })
    return row && toJobRow(row)
  }

  async ended(ids: readonly number[]): Promise<ReadonlyMap<number, EndedJob>> {
    const rows = await this.#reads.all<EndedJob & { id: number }>(endedSql, { ids })
    return new Map(rows.map(({ id, ...job }) => [id, job]))
  }

  async history(id: number, page: { after: number; limit: number }): Promise<HistoryEvent[] | undefined> {
    const rows = await this.#reads.all<Selected<HistoryEvent>>(historySql, { id, ...page })
    if (rows.length === 0 && (await this.#seqOf(id)) === undefined) return undefined
    return rows.flatMap((row) => toHistoryEvent(row) ?? [])
  }

  async log(id: number, page: { after: number; limit: number }): Promise<LogPage | undefined> {
    const ends = toEnds((await this.#reads.one<Omit<LogPage, 'lines'>>(logEndsSql, { id }))!)
    if (ends.last === null && (await this.#seqOf(id)) === undefined) return undefined
    return { lines: toLines(await this.#reads.all<KeptLine>(logLinesSql, { id, ...page })), ...ends }
  }

  async progressSince(at: number): Promise<Progress[]> {
    return toProgress(await this.#reads.all<Parameters<typeof toProgress>[0][number]>(progressSql, { since: at }))
  }

  async payloadAt(id: number, at: number): Promise<string | undefined> {
    const found = await this.#reads.one<{ text: string | null }>(payloadAtSql, { id, at })
    return found?.text ?? undefined
  }

  async pathOf(id: number, upTo: number): Promise<JobPath | undefined> {
    const seq = await this.#seqOf(id)
    if (seq === undefined) return undefined
    const last = Math.min(upTo, seq)
    const since = Math.max(last - pathScanMax, 0) + 1
    const steps = await this.#reads.all<JobPath['steps'][number]>(pathSql, { id, last, since })
    return { seq: last, since, steps }
  }

  async transitions({ after, limit }: { after: number; limit: number }): Promise<TransitionPage> {
    const horizon = await this.#horizon.read()
    const from = Math.min(after, Number.MAX_SAFE_INTEGER - 1)
    const rows = await this.#reads.all<Selected<Transition> & { before: number }>(transitionsSql, {
      after: from,
      limit,
      horizon,
    })
    const transitions = rows.flatMap(({ before: _, id, jobId, type, queue, ...row }) => {
      const event = toHistoryEvent(row)
      return event ? [{ id, jobId, type, queue, ...withoutStack(event) }] : []
    })
    const last = rows.at(-1)?.id
    if (last !== undefined) return { transitions, last }
    const newest = await this.#reads.one<{ id: number }>(
      `SELECT coalesce(${newestId((id) => `${id} < :horizon`)}, 0) AS id`,
      { horizon },
    )
    return { transitions, last: Math.min(after, newest!.id) }
  }

  counts(): Promise<EdgeCount[]> {
    return this.#reads.all<EdgeCount>(countsSql)
  }

  async census(): Promise<CensusCount[]> {
    const census = new Census()
    census.add(
      await this.#reads.all<CensusCount>(
        'SELECT type, queue, state, count(*) AS count FROM jobs GROUP BY type, queue, state',
      ),
    )
    return census.counts()
  }

  async fileSizes(): Promise<FileSizes> {
    const sizes = await this.#reads.one<{ database: number }>(sizesSql)
    return { database: sizes!.database, wal: 0 }
  }

  /** Walks down the ids until it has found a job, has come to the end or has gone on for long enough. */
  async list({ before, ...filter }: ListFilter, signal?: AbortSignal): Promise<JobPage> {
    const { state } = filter
    if (state !== undefined && countStates(await this.counts())[state] === 0) return { jobs: [], next: null }
    let page = await this.#stretch({ ...filter, ...(before === undefined ? {} : { before }) })
    for (let left = this.#walk.stretchesMax(filter); page.jobs.length === 0 && page.next !== null && left > 1; left--) {
      signal?.throwIfAborted()
      page = await this.#stretch({ ...filter, before: page.next })
    }
    return page
  }

  matching(filter: MatchFilter): Promise<IdPage> {
    return this.#walk.down(filter)
  }

  async #stretch(filter: ListFilter): Promise<JobPage> {
    const { ids, next } = await this.#walk.down(filter)
    if (ids.length === 0) return { jobs: [], next }
    const rows = await this.#reads.all<Selected<JobRow>>(jobsSql, { ids })
    let length = 0
    const end = rows.findIndex((row) => {
      length += (row.payload as string | null)?.length ?? 0
      return length > listLengthMax
    })
    const jobs = (end === -1 ? rows : rows.slice(0, end + 1)).map(toJobRow)
    return { jobs, next: jobs.length < rows.length ? jobs.at(-1)!.id : next }
  }

  async #seqOf(id: number): Promise<number | undefined> {
    const row = await this.#reads.one<{ seq: number }>('SELECT seq FROM jobs WHERE id = :id', { id })
    return row?.seq
  }
}

/** The history of the job has it. */
function withoutStack(event: HistoryEvent): HistoryEvent {
  if (!event.error?.stack) return event
  const { stack: _, ...error } = event.error
  return { ...event, error }
}

const historySql = `
  SELECT ${eventColumns}, ${payloadGone('job_events.seq')} FROM ${eventsOf(':id::bigint')} WHERE seq > :after::bigint ORDER BY seq LIMIT :limit`

const pathSql = `
  SELECT from_state AS "from", event, to_state AS "to", count(*) AS count FROM ${eventsOf(':id::bigint')}
  WHERE seq BETWEEN :since AND :last GROUP BY from_state, event, to_state ORDER BY max(seq)`

/** At least the first row. */
const endedSql = `
  SELECT id, state, type, result FROM (
    SELECT item.id, state, type, result, n,
      coalesce(sum(length(result)) OVER (ORDER BY n ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before
    FROM unnest(:ids::bigint[]) WITH ORDINALITY AS item (id, n) LEFT JOIN jobs ON jobs.id = item.id
      LEFT JOIN job_results ON job_results.job_id = item.id
    WHERE jobs.id IS NULL OR ${stateHasTag('ended')}
  ) AS ended WHERE before <= ${endedLengthMax} ORDER BY n`

/** At least the first row, and fewer than asked if their errors are long. */
const transitionsSql = `
  SELECT * FROM (
    SELECT id, job_id AS "jobId", type, queue, seq, event, from_state AS "from", to_state AS "to", attempt, at, error, cause,
      coalesce(sum(length(error)) OVER (ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before
    FROM ${eventsAfter(':after::bigint', ':horizon::bigint', ':limit')}
  ) AS page WHERE before <= ${errorsLengthMax} ORDER BY id`

const countsSql = `
  SELECT from_state AS "from", event, nullif(to_state, '') AS "to", sum(n)::bigint AS count FROM edge_counts GROUP BY from_state, event, to_state`

const jobsSql = `SELECT ${jobColumns} FROM jobs WHERE id = ANY (:ids::bigint[]) ORDER BY id DESC`

const sizesSql = `
  SELECT coalesce(sum(pg_table_size(oid) + pg_indexes_size(oid)), 0)::bigint AS database FROM pg_class
  WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'`
