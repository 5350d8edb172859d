import type Database from 'better-sqlite3'
import { hasTag } from '../../../machines/edges.ts'
import { causeOf } from '../../../machines/events.ts'
import { suspectCrashes } from '../../../machines/guards.ts'
import { eventColumns, type Selected, toHistoryEvent, traceIdSql } from '../../rows.ts'
import { claimOrder, conditionsBefore, suspectOrder } from '../../sql/claim-order.ts'
import { isHeld, isReady, isSuspect, parkedAs } from '../../sql/conditions.ts'
import { stateHasTag } from '../../sql/transitions.ts'
import { toUniqueKey, uniqueKeySql } from '../../sql/unique-keys.ts'
import { type Counted, type HistoryEvent, type JobFacts, jobFactsEventsMax, type PlaceInLine } from '../../store.ts'
import { unreadableColumns, validJob } from '../../valid-rows.ts'
import { queuesAfterSql } from '../write/queue-turns.ts'
import { chainFrom } from './histories.ts'
import { ownerSql, toOwner } from './rows.ts'

/** The most jobs ahead that are counted, and the most queues that take turns: a millisecond or two of work. */
const aheadMax = 10_000
const queuesMax = 1_000
const suspectsMax = 1_000

/** What the file says about one job. Every count is bounded and uses an index. */
export class JobFactsReader {
  readonly #db: Database.Database
  readonly #sql: ReturnType<typeof prepare>

  constructor(db: Database.Database) {
    this.#db = db
    this.#sql = prepare(db)
  }

  find(id: number): JobFacts | undefined {
    return this.#db.transaction(() => this.#find(id))()
  }

  #find(id: number): JobFacts | undefined {
    const row = this.#sql.job.get(id) as StoredFacts | undefined
    if (!row) return
    const { parked, leaseToken, leaseExpiresAt, hasContent, error: _, ...job } = validJob(row)
    const newest = this.#sql.lastEvent.get({ id }) as Selected<HistoryEvent> | undefined
    const lastEvent = (newest && toHistoryEvent(newest)) ?? enqueued(job)
    const owner = toOwner(this.#sql.owner.get() as string | undefined)
    // Newest first, and not all: a job may have been snoozed a million times.
    const recent = { id, after: lastEvent.seq - jobFactsEventsMax }
    const lastFailure = this.#sql.lastFailure.get(recent) as Selected<HistoryEvent> | undefined
    const lastEnd = this.#sql.lastEnd.get(recent) as Selected<HistoryEvent> | undefined
    return {
      job,
      fault: describeFault(row, newest !== undefined),
      isUnhandled: parked === parkedAs.unhandled,
      isSuspect: parked === parkedAs.suspect,
      exclusive: (this.#sql.exclusive.get() as JobFacts['exclusive'] | undefined) ?? null,
      suspectsAhead: counted(hasTag(job.state, 'ready') ? this.#suspectsAhead(job, parked) : 0, suspectsMax),
      // Only one server serves the file, so every renewed lease belongs to it.
      lease:
        leaseToken === null || leaseExpiresAt === null ? null : { token: leaseToken, expiresAt: leaseExpiresAt, owner },
      lastEvent,
      lastFailure: (lastFailure && toHistoryEvent(lastFailure)) ?? null,
      lastEnd: (lastEnd && toHistoryEvent(lastEnd)) ?? null,
      snoozes: this.#sql.snoozes.get(recent) as JobFacts['snoozes'],
      uniqueKey: toUniqueKey(this.#sql.uniqueKey.get(id)),
      replays: (this.#sql.replays.get(id) as JobFacts['replays'] | undefined) ?? null,
      line: hasTag(job.state, 'ready') && parked === 0 ? this.#placeOf(job) : null,
      newestOwner: owner,
    }
  }

  /**
   * The suspects that start before a job, one at a time: all of them before an ordinary job, and before a suspect those that come first in
   * the order.
   */
  #suspectsAhead({ id, crashes, priority, runAt }: JobFacts['job'], parked: number): number {
    const isSuspect = parked === parkedAs.suspect
    const own = isSuspect ? { crashes, priority, run_at: runAt, id } : { crashes: 0, priority: 0, run_at: 0, id: 0 }
    return this.#sql.suspectsAhead.get(own) as number
  }

  #placeOf({ id, queue, priority, runAt }: JobFacts['job']): PlaceInLine {
    let ahead = 0
    // By the priority first: see `claimOrder`.
    const counts = this.#sql.ahead.map((count) => {
      const found = count.get({ queue, priority, run_at: runAt, id, most: aheadMax + 1 - ahead }) as number
      ahead += found
      return found
    })
    return {
      ahead: counted(ahead, aheadMax),
      higher: counted(counts[0]!, aheadMax),
      highest: (this.#sql.highest.get(queue) as number | undefined) ?? priority,
      queues: counted(this.#sql.queues.all({ last: '', most: queuesMax + 1 }).length, queuesMax),
    }
  }
}

/** As the store selects them. `hasContent`: 1 if there is a payload that is JSON. */
type StoredFacts = JobFacts['job'] & {
  readonly parked: number
  readonly leaseToken: number | null
  readonly leaseExpiresAt: number | null
  readonly hasContent: 0 | 1
  readonly error: string | null
}

function describeFault(row: StoredFacts, hasHistory: boolean): string | null {
  if (!row.hasContent) return 'its payload cannot be read'
  return unreadableColumns(row) ?? (hasHistory ? null : 'its history cannot be read')
}

/** What is true of each job, if its newest event cannot be read. */
function enqueued({ state, attempt, createdAt: at }: JobFacts['job']): HistoryEvent {
  return { seq: 1, event: 'enqueue', from: null, to: state, attempt, at, error: null, ...causeOf('enqueue') }
}

function counted(count: number, most: number): Counted {
  return { count: Math.min(count, most), more: count > most }
}

function prepare(db: Database.Database) {
  const countAtMost = (condition: string) =>
    db
      .prepare(
        `SELECT count(*) FROM (SELECT 1 FROM jobs WHERE ${isReady} AND queue = :queue AND ${condition} LIMIT :most)`,
      )
      .pluck()
  const newest = 'SELECT last_event_id FROM jobs WHERE id = :id'
  const recent = chainFrom(newest, 'chain.seq > :after + 1')
  const endings = `FROM chain WHERE ${stateHasTag('executing', 'from_state')}`
  return {
    job: db.prepare(`
      SELECT id, state, type, queue, priority, attempt, max_attempts AS maxAttempts, crashes, timeout_ms AS timeoutMs,
        run_at AS runAt, created_at AS createdAt, started_at AS startedAt, finished_at AS finishedAt, idempotency_key AS idempotencyKey, ${traceIdSql} AS traceId, parked, lease_token AS leaseToken,
        lease_expires_at AS leaseExpiresAt, error,
        coalesce((SELECT json_valid(payload) FROM job_payloads WHERE job_id = jobs.id), 0) AS hasContent
      FROM jobs WHERE id = ?`),
    lastEvent: db.prepare(`${chainFrom(newest, 'false')} SELECT ${eventColumns} FROM chain`),
    lastFailure: db.prepare(`${recent} SELECT ${eventColumns} ${endings} AND error IS NOT NULL LIMIT 1`),
    lastEnd: db.prepare(`${recent} SELECT ${eventColumns} ${endings} LIMIT 1`),
    snoozes: db.prepare(`${recent} SELECT count(*) AS count, min(at) AS since ${endings} AND event = 'snooze'`),
    uniqueKey: db.prepare(uniqueKeySql('?')),
    replays: db.prepare('SELECT n AS count, last_at AS lastAt FROM key_replays WHERE job_id = ?'),
    exclusive: db.prepare(`
      SELECT id, crashes, started_at AS startedAt, timeout_ms AS timeoutMs FROM jobs INDEXED BY jobs_held
      WHERE ${isHeld} AND ${stateHasTag('executing')} AND crashes >= ${suspectCrashes}
      ORDER BY last_event_id DESC LIMIT 1`),
    suspectsAhead: db
      .prepare(`
        SELECT count(*) FROM (SELECT 1 FROM jobs
          WHERE ${isSuspect} AND (${conditionsBefore(suspectOrder).join(' OR ')}) LIMIT ${suspectsMax + 1})`)
      .pluck(),
    ahead: conditionsBefore(claimOrder).map(countAtMost),
    highest: db
      .prepare(`SELECT priority FROM jobs WHERE ${isReady} AND queue = ? ORDER BY priority DESC LIMIT 1`)
      .pluck(),
    queues: db.prepare(queuesAfterSql).pluck(),
    owner: db.prepare(ownerSql).pluck(),
  }
}
