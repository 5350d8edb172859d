import type pg from 'pg'
import type { ScheduleNode } from '../../machines/schedule.ts'
import { scheduleAfter } from '../../machines/schedule-edges.ts'
import { isMoveAllowed, toMoveResult } from '../schedule-moves.ts'
import {
  type DuePage,
  type DueSchedule,
  type ScheduleHistoryRow,
  type ScheduleMove,
  type ScheduleMoveResult,
  type SchedulePage,
  type ScheduleStore,
  scheduleHistory,
} from '../schedules.ts'
import {
  duePlace,
  type EntryColumns,
  scheduleEventColumns,
  scheduleHasTag,
  selectDue,
  selectEntries,
  toEntry,
  toPage,
  withinLength,
} from '../sql/schedules.ts'
import type { EnqueueResult } from '../store.ts'
import type { Duties } from './duties.ts'
import type { OwnNode } from './nodes.ts'
import type { Query, Reads } from './reads.ts'
import type { Transactions } from './transaction/transactions.ts'

interface Parts {
  readonly reads: Reads
  readonly node: OwnNode
  readonly transactions: Transactions
  readonly duties: Duties
  /** Jobs were stored that may run at once. */
  onJobs(): void
}

interface Current {
  readonly id: number
  readonly state: ScheduleNode
  readonly seq: number
}

/** A move that was made, as its rows have it. */
interface Taken extends Omit<ScheduleMove, 'job' | 'id'> {
  readonly id: number
  readonly from: ScheduleNode | null
  readonly to: ScheduleNode
  readonly jobId: number | null
}

/** The schedules of a database that many nodes share. Two that move the same one wait for each other, and the second finds that it is stale. */
export class PostgresSchedules implements ScheduleStore {
  readonly isShared = true
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  async list({ after, limit, ended = false }: Parameters<ScheduleStore['list']>[0]): Promise<SchedulePage> {
    const rows = await this.#parts.reads.all<EntryColumns>(ended ? listAllSql : listSql, { after, limit: limit + 1 })
    return toPage(rows, limit)
  }

  async find(name: string): ReturnType<ScheduleStore['find']> {
    const now = await this.#now()
    const row = await this.#parts.reads.one<EntryColumns>(findSql, { name })
    return { now, schedule: row ? toEntry(row) : null }
  }

  history(id: number, page: { readonly before: number; readonly limit: number }): Promise<ScheduleHistoryRow[]> {
    return this.#parts.reads.all(historySql, { id, ...page })
  }

  async due(after: DuePage['next'], limit: number): Promise<DuePage> {
    const { reads } = this.#parts
    const now = await this.#now()
    const [tick, id] = after ?? [-1, 0]
    const due = withinLength(await reads.all<DueSchedule>(dueSql, { now, tick, id, limit }))
    const last = due.at(-1)
    if (last) return { now, due, next: [last.nextTick ?? 0, last.id], nextTick: null }
    const later = await reads.one<{ nextTick: number }>(nextTickSql, { now })
    return { now, due, next: null, nextTick: later?.nextTick ?? null }
  }

  async move(moves: readonly ScheduleMove[]): Promise<ScheduleMoveResult[]> {
    const { reads, transactions, duties, onJobs } = this.#parts
    const room = await transactions.prepare(moves.flatMap(({ job }) => job ?? []))
    const results = await reads.inTransaction((query, client) => this.#move(moves, room, query, client))
    if (results.some((result) => result.outcome === 'moved' && result.jobId !== null)) onJobs()
    if (moves.some(({ tick }) => tick !== null)) await duties.note('schedules')
    return results
  }

  async #now(): Promise<number> {
    const { reads, node } = this.#parts
    return (await reads.one<{ now: number }>('SELECT instant(:given::bigint) AS now', { given: node.now() }))!.now
  }

  async #move(
    moves: readonly ScheduleMove[],
    room: Awaited<ReturnType<Transactions['prepare']>>,
    query: Query,
    client: pg.ClientBase,
  ): Promise<ScheduleMoveResult[]> {
    const { node, transactions } = this.#parts
    const ids = moves.flatMap(({ id }) => id ?? [])
    const locked = await query<Current>(lockSql, { ids })
    const kept = new Map(locked.map((row) => [row.id, row]))
    const named = new Set(
      (await query<Current & { name: string }>(namedSql, { names: newNames(moves) })).map((row) => row.name),
    )
    const isFresh = moves.map((move) =>
      move.id === null
        ? !named.has(move.name) && isMoveAllowed(move, undefined)
        : isMoveAllowed(move, kept.get(move.id)),
    )
    const making = moves.filter(({ job }, index) => job !== null && isFresh[index])
    const calls = making.map(({ job }) => [job!])
    const stored = (calls.length === 0 ? [] : await transactions.enqueue(client, calls, room)).values()
    const taken: Taken[] = []
    const results: ScheduleMoveResult[] = []
    for (const [index, { job, ...move }] of moves.entries()) {
      const result: EnqueueResult | null = isFresh[index] && job ? stored.next().value! : null
      if (!isFresh[index]) results.push({ outcome: 'stale' })
      else if (result !== null && result.outcome !== 'stored') results.push(toMoveResult(result))
      else {
        const jobId = result ? result.jobs[0]!.id : null
        const id = move.id ?? (await query<{ id: number }>(nextIdSql))[0]!.id
        taken.push(toTaken({ ...move, id }, kept.get(id), jobId))
        results.push({ outcome: 'moved', id, jobId })
      }
    }
    if (taken.length > 0) await this.#write(taken, query, node.now())
    return results
  }

  async #write(taken: readonly Taken[], query: Query, given: number | null): Promise<void> {
    const rows = JSON.stringify(taken.map(({ plan, ...move }) => ({ ...plan, ...move })))
    // First: the database refuses a change without its event.
    await query(insertEventsSql, { rows, given })
    if (taken.some(({ seq, event }) => seq === 0 && event !== null)) await query(insertSql, { rows, given })
    await query(updateSql, { rows, given })
    const full = taken.filter(({ seq }) => (seq + 1) % scheduleHistory.removedAtOnce === 0)
    if (full.length > 0)
      await query(removeOlderSql, {
        ids: full.map(({ id }) => id),
        below: full.map(({ seq }) => seq + 2 - scheduleHistory.kept),
      })
  }
}

function newNames(moves: readonly ScheduleMove[]): string[] {
  return moves.flatMap(({ id, name }) => (id === null ? [name] : []))
}

function toTaken(
  move: Omit<ScheduleMove, 'job' | 'id'> & { id: number },
  kept: Current | undefined,
  jobId: number | null,
): Taken {
  const from = kept?.state ?? null
  const to = move.event === null ? kept!.state : scheduleAfter(from ?? 'new', move.event)!
  return { ...move, from, to, jobId }
}

const isAfter = '(:after::text IS NULL OR schedules.name > :after::text)'
const byName = 'ORDER BY schedules.name, schedules.id DESC LIMIT :limit'
const listSql = `${selectEntries} WHERE ${isAfter} AND ${scheduleHasTag('live')} ${byName}`
const listAllSql = `${selectEntries} WHERE ${isAfter} AND schedules.id = (
  SELECT max(id) FROM schedules AS others WHERE others.name = schedules.name) ${byName}`
const findSql = `${selectEntries} WHERE schedules.name = :name ORDER BY schedules.id DESC LIMIT 1`
const historySql = `
  SELECT ${scheduleEventColumns} FROM schedule_events WHERE schedule_id = :id AND seq < :before::bigint ORDER BY seq DESC LIMIT :limit`
const dueSql = `${selectDue} AND ${duePlace} <= :now::bigint AND (${duePlace}, schedules.id) > (:tick::bigint, :id::bigint)
  ORDER BY ${duePlace}, schedules.id LIMIT :limit`
const nextTickSql = `
  SELECT next_tick AS "nextTick" FROM schedules WHERE ${scheduleHasTag('ticking')} AND ${duePlace} > :now::bigint ORDER BY ${duePlace} LIMIT 1`

/** In one order for all nodes, so that two wait for each other and never both. */
const lockSql = 'SELECT id, state, seq FROM schedules WHERE id = ANY (:ids::bigint[]) ORDER BY id FOR UPDATE'
const namedSql = `SELECT name FROM schedules WHERE name = ANY (:names::text[]) AND ${scheduleHasTag('live')}`
const nextIdSql = `SELECT nextval(pg_get_serial_sequence('schedules', 'id')) AS id`

/** The moves that were made. `seq` is the number before the event. */
const movesSql = `json_to_recordset(:rows::json) AS move (id bigint, name text, seq integer, event text, "from" text, "to" text, tick bigint,
    "jobId" bigint, details text, source text, spec text, overlap text, since bigint, "lastTick" bigint, "nextTick" bigint, "tzVersion" text, problem text)`
const insertEventsSql = `
  INSERT INTO schedule_events (schedule_id, seq, event, from_state, to_state, at, tick, job_id, details)
  SELECT id, seq + 1, event, "from", "to", instant(:given::bigint), tick, "jobId", details FROM ${movesSql} WHERE event IS NOT NULL`
const insertSql = `
  INSERT INTO schedules (id, name, state, seq, source, spec, overlap, since, last_tick, next_tick, tz_version, problem, created_at, updated_at)
  SELECT id, name, "to", 1, source, spec, overlap, since, "lastTick", "nextTick", "tzVersion", problem, now, now
  FROM ${movesSql}, instant(:given::bigint) AS now WHERE seq = 0`
const updateSql = `
  UPDATE schedules SET state = "to", seq = move.seq + (CASE WHEN event IS NULL THEN 0 ELSE 1 END), source = move.source, spec = move.spec,
    overlap = move.overlap, since = move.since, last_tick = "lastTick", next_tick = "nextTick", tz_version = "tzVersion", problem = move.problem,
    updated_at = CASE WHEN event IS NULL THEN updated_at ELSE instant(:given::bigint) END
  FROM ${movesSql} WHERE schedules.id = move.id AND move.seq > 0`
const removeOlderSql = `
  DELETE FROM schedule_events USING unnest(:ids::bigint[], :below::bigint[]) AS full_one (id, below)
  WHERE schedule_id = full_one.id AND seq < below`

const endedSql = `SELECT min(updated_at) AS "endedAt" FROM schedules WHERE NOT ${scheduleHasTag('live')}`
const removeSql = `DELETE FROM schedules WHERE NOT ${scheduleHasTag('live')} AND updated_at <= :endedBy`
const removeHistoriesSql = `DELETE FROM schedule_events WHERE NOT EXISTS (SELECT 1 FROM schedules WHERE id = schedule_id)`

/**
 * Removes schedules that ended so long ago, and their histories. Returns until when no other one can be that old: it reads all schedules, so
 * call it then.
 */
export async function removeEnded(reads: Reads, now: number, retentionMs: number): Promise<number> {
  const endedAt = (await reads.one<{ endedAt: number | null }>(endedSql))?.endedAt ?? now
  if (endedAt + retentionMs > now) return Math.min(endedAt, now) + retentionMs
  await reads.all(removeSql, { endedBy: now - retentionMs })
  await reads.all(removeHistoriesSql)
  return now
}
