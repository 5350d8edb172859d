import type Database from 'better-sqlite3'
import type { ScheduleNode } from '../../../machines/schedule.ts'
import { scheduleAfter } from '../../../machines/schedule-edges.ts'
import { isMoveAllowed, toMoveResult } from '../../schedule-moves.ts'
import { type ScheduleMoveResult, scheduleHistory } from '../../schedules.ts'
import { scheduleHasTag } from '../../sql/schedules.ts'
import type { EnqueueResult } from '../../store.ts'
import { fromBatches, intoBatches } from '../batches.ts'
import type { Answers, NewCalls, PackedMove, PackedMoves } from '../thread/protocol.ts'

type Enqueue = (calls: NewCalls, now: number) => Answers['enqueue']

interface Current {
  readonly id: number
  readonly state: ScheduleNode
  readonly seq: number
}

/** Moves schedules along their machine, each together with the job that it makes. */
export class Schedules {
  readonly #enqueue: Enqueue
  readonly #sql: ReturnType<typeof prepare>
  #noneIsOldUntil = Number.NEGATIVE_INFINITY

  constructor(db: Database.Database, enqueue: Enqueue) {
    this.#enqueue = enqueue
    this.#sql = prepare(db)
  }

  /** At most one move for each schedule. */
  move({ moves: packed, batches }: PackedMoves, now: number): ScheduleMoveResult[] {
    const moves = JSON.parse(packed) as PackedMove[]
    const kept = moves.map((move) => this.#find(move))
    const isFresh = moves.map((move, index) => isMoveAllowed(move, kept[index]))
    const jobs = this.#enqueueFor(moves, isFresh, batches, now).values()
    return moves.map((move, index): ScheduleMoveResult => {
      if (!isFresh[index]) return { outcome: 'stale' }
      const stored = move.makesJob ? jobs.next().value! : null
      if (stored !== null && stored.outcome !== 'stored') return toMoveResult(stored)
      const jobId = stored ? stored.jobs[0]!.id : null
      return { outcome: 'moved', id: this.#take(move, kept[index], jobId, now), jobId }
    })
  }

  /**
   * Removes a schedule that ended so long ago, and its history; at most 100 events at once. Returns whether there may be more. It reads all
   * schedules, so it does that only when one may be old enough.
   */
  remove(now: number, retentionMs: number): boolean {
    if (now < this.#noneIsOldUntil) return false
    const { id, endedAt } = (this.#sql.ended.get() as { id: number; endedAt: number } | undefined) ?? { endedAt: now }
    if (id === undefined || endedAt + retentionMs > now) {
      this.#noneIsOldUntil = Math.min(endedAt, now) + retentionMs
      return false
    }
    if (this.#sql.removeOlder.run({ id, seq: Number.MAX_SAFE_INTEGER }).changes < scheduleHistory.removedAtOnce) {
      this.#sql.remove.run(id)
      this.#sql.removeRest.run(id)
    }
    return true
  }

  #find({ id, name }: PackedMove): Current | undefined {
    return (id === null ? this.#sql.named.get(name) : this.#sql.find.get(id)) as Current | undefined
  }

  /** What became of the job of each fresh move that makes one, in order: each is a call of its own, so that one without room stops no other. */
  #enqueueFor(
    moves: readonly PackedMove[],
    isFresh: readonly boolean[],
    batches: PackedMoves['batches'],
    now: number,
  ): readonly EnqueueResult[] {
    const making = moves.flatMap(({ makesJob }, index) => (makesJob ? [isFresh[index]!] : []))
    if (!making.includes(true)) return []
    const fresh = making.every(Boolean)
      ? batches
      : intoBatches(fromBatches(batches, null).flatMap((jobs, index) => (making[index] ? jobs : [])))
    const answer = this.#enqueue({ firstCallId: 0, batches: fresh, counts: null }, now)!
    if (!('firstId' in answer)) return answer
    let id = answer.firstId
    return answer.counts.flatMap((count, batch) =>
      Array.from({ length: count }, (): EnqueueResult => {
        return { outcome: 'stored', jobs: [{ id: id++, state: answer.states[batch]!, created: true }] }
      }),
    )
  }

  /** Returns the id of the schedule. */
  #take(
    { event, plan, tick, details, name }: PackedMove,
    kept: Current | undefined,
    jobId: number | null,
    now: number,
  ): number {
    const from = kept?.state ?? 'new'
    const id = kept?.id ?? (this.#sql.nextId.get() as number)
    const seq = (kept?.seq ?? 0) + (event === null ? 0 : 1)
    const to = event === null ? from : scheduleAfter(from, event)!
    // First: the database refuses a change without its event.
    if (event !== null) this.#sql.insertEvent.run(id, seq, event, kept ? from : null, to, now, tick, jobId, details)
    if (!kept) this.#sql.insert.run({ ...plan, id, name, state: to, now })
    else if (tick !== null) this.#sql.advance.run(plan.lastTick, plan.nextTick, plan.tzVersion, now, id)
    else this.#sql.update.run({ ...plan, id, seq, state: to, now: event === null ? null : now })
    if (seq % scheduleHistory.removedAtOnce === 0)
      this.#sql.removeOlder.run({ id, seq: seq - scheduleHistory.kept + 1 })
    return id
  }
}

function prepare(db: Database.Database) {
  return {
    find: db.prepare('SELECT id, state, seq FROM schedules WHERE id = ?'),
    named: db.prepare(`SELECT id, state, seq FROM schedules WHERE name = ? AND ${scheduleHasTag('live')}`),
    nextId: db
      .prepare(`SELECT coalesce((SELECT max(seq) FROM sqlite_sequence WHERE name = 'schedules'), 0) + 1`)
      .pluck(),
    insertEvent: db.prepare(`
      INSERT INTO schedule_events (schedule_id, seq, event, from_state, to_state, at, tick, job_id, details)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`),
    insert: db.prepare(`
      INSERT INTO schedules (id, name, state, seq, source, spec, overlap, since, last_tick, next_tick, tz_version, problem, created_at, updated_at)
      VALUES (:id, :name, :state, 1, :source, :spec, :overlap, :since, :lastTick, :nextTick, :tzVersion, :problem, :now, :now)`),
    // A tick changes nothing else.
    advance: db.prepare(
      'UPDATE schedules SET seq = seq + 1, last_tick = ?, next_tick = ?, tz_version = ?, updated_at = ? WHERE id = ?',
    ),
    update: db.prepare(`
      UPDATE schedules SET state = :state, seq = :seq, source = :source, spec = :spec, overlap = :overlap, since = :since, last_tick = :lastTick,
        next_tick = :nextTick, tz_version = :tzVersion, problem = :problem, updated_at = coalesce(:now, updated_at)
      WHERE id = :id`),
    removeOlder: db.prepare(`
      DELETE FROM schedule_events WHERE schedule_id = :id AND seq IN (
        SELECT seq FROM schedule_events WHERE schedule_id = :id AND seq < :seq
          AND seq < (SELECT seq FROM schedules WHERE id = :id) ORDER BY seq LIMIT ${scheduleHistory.removedAtOnce})`),
    ended: db.prepare(
      `SELECT id, updated_at AS endedAt FROM schedules WHERE NOT ${scheduleHasTag('live')} ORDER BY updated_at LIMIT 1`,
    ),
    remove: db.prepare('DELETE FROM schedules WHERE id = ?'),
    removeRest: db.prepare('DELETE FROM schedule_events WHERE schedule_id = ?'),
  }
}
