import assert from 'node:assert/strict'
import type Database from 'better-sqlite3'
import { edgesOn, findEdge, hasTag } from '../../machines/edges.ts'
import type { EventType, JobNode, JobState } from '../../machines/job.ts'
import {
  nextAttempt,
  nextFinishedAt,
  nextLease,
  nextRunAt,
  nextStartedAt,
  nextState,
  stateIsTagged,
  takes,
} from '../edge-sql.ts'
import {
  type CommandResult,
  type EnqueuedRow,
  type EnqueueResult,
  type JobRow,
  type Lease,
  type LeasedJob,
  type LeaseEvent,
  type NewJobRow,
  retention,
  type StoredError,
} from '../store.ts'
import { Reader } from './reader.ts'
import { isHeld, isParked, isReady, isTimed } from './schema.ts'

export interface WriterOptions {
  /** Job types that may be leased here. */
  readonly types: readonly string[]
  readonly leaseMs: number
  readonly maxQueueDepth: number
  readonly retentionMs: number
  /** The spacing between jobs that come back from their second crash on, and its end. */
  readonly retryBaseMs: number
  readonly retryMaxMs: number
}

/** Rows that one sweep takes in one transaction, so that waiting calls get in between. */
export const sweepMax = 1_000

/** What `:list` carries for one job: whose lease must be held (null: whoever's), the delay before it may run again, the error. */
type ListItem = readonly [id: number, leaseToken?: number | null, delayMs?: number | null, error?: string | null]

/** Moves all jobs of `:list` by one event, and logs it; both statements match the same rows. */
interface Move {
  readonly log: Database.Statement
  readonly move: Database.Statement
  /** The one edge that the event takes, null where rows may take several. */
  readonly edge: { readonly from: JobNode; readonly to: JobState } | null
}

/**
 * Every write there is, as parts of a transaction that its caller begins and commits. What the machine decides stands in SQL made from
 * the edge table; sets of jobs move by one pair of statements. Between transactions it keeps only hints (whose turn, the next due time),
 * which a rollback leaves harmless.
 */
export class Writer {
  readonly #db: Database.Database
  readonly #options: WriterOptions
  readonly #reader: Reader
  readonly #moves = new Map<string, Move>()
  readonly #taken = new Map<string, number>()
  readonly #sql: ReturnType<typeof prepare>
  readonly #handled: ReadonlySet<string>
  #servedLast = ''
  #retainAfter = 0

  constructor(db: Database.Database, options: WriterOptions) {
    this.#db = db
    this.#options = options
    this.#reader = new Reader(db)
    this.#sql = prepare(db)
    this.#handled = new Set(options.types)
  }

  /** Forgets what a transaction that was rolled back had counted; call it at each begin. */
  begin(): void {
    this.#taken.clear()
  }

  /** Adds to `edge_counts` what this transaction did; call it last. */
  finish(): void {
    for (const [edge, n] of this.#taken) this.#sql.count.run(...edge.split(' '), n)
    this.#taken.clear()
  }

  /**
   * Stores the jobs of each call, all or none of them; what stands in a call's way is found before anything of it is written. All calls
   * share one set of statements; a key used earlier among them counts as used.
   */
  enqueue(calls: readonly (readonly NewJobRow[])[], now: number): EnqueueResult[] {
    const gathered: Gathered[] = []
    const byKey = new Map<string, Gathered>()
    let depth = this.depth()
    const results = calls.map((jobs): EnqueueResult => {
      const { conflict, fresh } = this.#foresee(jobs, byKey)
      if (conflict) return conflict
      if (fresh > 0 && depth + fresh > this.#options.maxQueueDepth) return { outcome: 'full', depth }
      depth += fresh
      return { outcome: 'stored', jobs: jobs.map((job) => this.#gather(job, gathered, byKey, now)) }
    })
    this.#insert(gathered, now)
    return results
  }

  /** Leases up to `room` ready jobs for `leaseMs`. `more`: it stopped at a bound, and there may be others. */
  lease(room: number, now: number): { jobs: LeasedJob[]; unhandled: Map<string, number>; more: boolean } {
    const { taken, blocked } = this.#choose(room)
    const unhandled = new Map<string, number>()
    for (const queue of blocked) this.#park(queue, unhandled)
    if (taken.length > 0) {
      const moved = this.#apply(
        'lease',
        taken.map(({ id }): ListItem => [id]),
        now,
      )
      assert.equal(moved.length, taken.length, 'a ready job could not be leased')
    }
    const jobs = taken.map(({ seq, ...job }) => ({ ...job, leaseToken: seq + 1 }))
    return { jobs, unhandled, more: blocked.length > 0 && jobs.length < room }
  }

  /** Commits outcomes whose lease is still held; gives back those refused. */
  apply(events: readonly LeaseEvent[], now: number): LeaseEvent[] {
    const refused: LeaseEvent[] = []
    for (const set of intoSets(events)) {
      const list = set.map(({ id, leaseToken, delayMs, error }): ListItem => {
        if (delayMs === undefined && error === undefined) return [id, leaseToken]
        return [id, leaseToken, delayMs ?? 0, error ? JSON.stringify(error) : null]
      })
      const moved = this.#apply(set[0]!.event, list, now, 'fenced')
      if (moved.length === set.length) continue
      const done = new Set(moved.map(([id]) => id))
      refused.push(...set.filter(({ id }) => !done.has(id)))
    }
    return refused
  }

  cancel(id: number, now: number): CommandResult {
    return this.#command('cancel', id, now)
  }

  requeue(id: number, now: number): CommandResult {
    return this.#command('requeue', id, now)
  }

  /** Queues up to `sweepMax` jobs whose `run_at` has come; how many. */
  promoteDue(now: number): number {
    const due = this.#sql.due.all({ now, limit: sweepMax }) as number[]
    return this.#apply(
      'due',
      due.map((id): ListItem => [id]),
      now,
    ).length
  }

  /** When the next `scheduled` or `retrying` job is due; null where none waits. */
  nextDueAt(): number | null {
    return (this.#sql.nextDue.get() as number | undefined) ?? null
  }

  /** Moves on the expiry of those leases that are still held, and gives back those that are not. */
  renew(leases: readonly Lease[], now: number): Lease[] {
    const list = JSON.stringify(leases.map(({ id, leaseToken }): ListItem => [id, leaseToken]))
    const { changes } = this.#sql.renew.run({ list, until: now + this.#options.leaseMs })
    if (changes === leases.length) return []
    const held = new Set(this.#sql.heldOf.all({ list }) as number[])
    return leases.filter(({ id }) => !held.has(id))
  }

  /** Expires up to `sweepMax` leases that have run out; how many. */
  expireLeases(now: number): number {
    const ids = this.#sql.lapsed.all({ now, limit: sweepMax }) as number[]
    return this.#expire(ids, now, 0, 'the lease ran out: its worker was silent for longer than the visibility timeout')
      .moved.length
  }

  /**
   * Expires up to `sweepMax` leases of jobs with higher ids than `after`, whoever holds them. `rank`: how many of this recovery come
   * back one after another so far.
   */
  recoverOrphans(after: number, rank: number, now: number) {
    const ids = this.#sql.orphans.all({ after, limit: sweepMax }) as number[]
    const { moved, rank: next } = this.#expire(
      ids,
      now,
      rank,
      'the process that ran it ended before it reported an outcome',
    )
    const running = moved.filter(([, from]) => hasTag(from, 'executing')).length
    return { last: ids.at(-1) ?? null, leased: moved.length - running, running, rank: next }
  }

  /** Lets jobs of the types handled here be leased again that an earlier process put aside; up to `sweepMax`, how many. */
  unpark(): number {
    return this.#options.types.reduce((n, type) => n + this.#sql.unpark.run({ type, limit: sweepMax }).changes, 0)
  }

  /**
   * Looks at the next `sweepMax` jobs up the ids and removes those that retention no longer keeps; false at the end of the walk, which
   * is the first job created too late to have ended long enough ago.
   */
  retain(now: number): boolean {
    const { retentionMs } = this.#options
    if (retentionMs === 0) return false
    const seen = this.#sql.retainable.all({ after: this.#retainAfter, limit: sweepMax }) as {
      id: number
      state: JobState
      createdAt: number
      finishedAt: number | null
    }[]
    const old = seen.filter(({ createdAt }) => createdAt <= now - retentionMs)
    for (const { id, state, finishedAt } of old) {
      if (!hasTag(state, 'expendable') || finishedAt! > now - retentionMs || this.#sql.isNewestEvent.get(id)) continue
      this.#sql.removeJob.run(id)
      this.#sql.removePayload.run(id)
      this.#sql.removeEvents.run(id)
      this.#count(state, retention, '', 1)
    }
    const goesOn = old.length === sweepMax
    this.#retainAfter = goesOn ? old.at(-1)!.id : 0
    return goesOn
  }

  /** Jobs that wait, as they count against the bound. */
  depth(): number {
    const stored = this.#sql.depth.get() as number
    let change = 0
    for (const [edge, n] of this.#taken) {
      const [from, , to] = edge.split(' ') as [JobNode, string, JobState]
      change += (hasTag(to, 'waiting') ? n : 0) - (hasTag(from, 'waiting') ? n : 0)
    }
    return stored + change
  }

  /** How many of the jobs are new, or which of them has a key that belongs to other content. */
  #foresee(jobs: readonly NewJobRow[], byKey: ReadonlyMap<string, Gathered>) {
    const own = new Map<string, string>()
    let fresh = 0
    for (const [index, { idempotency }] of jobs.entries()) {
      if (!idempotency) {
        fresh++
        continue
      }
      const { key, content } = idempotency
      const gathered = byKey.get(key)
      const stored = gathered ? undefined : this.#keyed(key)
      const first = own.get(key) ?? gathered?.job.idempotency?.content ?? stored?.content
      if (first === undefined) {
        fresh++
        own.set(key, content)
      } else if (first !== content) {
        const conflict = { outcome: 'conflict' as const, index, id: stored?.id ?? null }
        gathered?.idHolders.push(conflict)
        return { conflict, fresh }
      }
    }
    return { conflict: null, fresh }
  }

  /** What the caller gets for one job; its id is filled in when the gathered jobs are inserted. */
  #gather(job: NewJobRow, gathered: Gathered[], byKey: Map<string, Gathered>, now: number): EnqueuedRow {
    const key = job.idempotency?.key
    const sibling = key === undefined ? undefined : byKey.get(key)
    const stored = key === undefined || sibling ? undefined : this.#keyed(key)
    if (stored) return { id: stored.id, state: stored.state, created: false }
    if (sibling) {
      const row = { id: 0, state: sibling.state, created: false }
      sibling.idHolders.push(row)
      return row
    }
    const runAt = Math.max(job.runAt ?? now + (job.delayMs ?? 0), now)
    const state = findEdge(
      'new',
      { type: 'enqueue', delayed: runAt > now },
      { attempt: 0, maxAttempts: job.maxAttempts },
    )!.to
    const row = { id: 0, state, created: true }
    const entry = { job, state, runAt, idHolders: [row] }
    gathered.push(entry)
    if (key !== undefined) byKey.set(key, entry)
    return row
  }

  #keyed(key: string) {
    return this.#sql.keyed.get(key) as { id: number; state: JobState; content: string } | undefined
  }

  #insert(gathered: readonly Gathered[], now: number): void {
    if (gathered.length === 0) return
    const list = gathered.map(({ job, state, runAt }) => {
      const { type, queue, priority, maxAttempts, timeoutMs, idempotency } = job
      return [type, queue, state, priority, maxAttempts, timeoutMs, runAt, idempotency?.key, idempotency?.content]
    })
    const { lastInsertRowid, changes } = this.#sql.insert.run({ list: JSON.stringify(list), now })
    assert.equal(changes, gathered.length)
    // One statement of the only writer: AUTOINCREMENT gave consecutive ids in the order of the list.
    const first = Number(lastInsertRowid) - changes + 1
    for (const [index, { job, state, idHolders }] of gathered.entries()) {
      this.#sql.insertPayload.run(first + index, job.payload)
      this.#count('new', 'enqueue', state, 1)
      for (const holder of idHolders) holder.id = first + index
    }
    this.#sql.insertEvents.run({ first, last: first + changes - 1, now })
  }

  /**
   * Which jobs to lease: queues take turns from the one after that served last, job by job while more than one has any; within one by
   * priority, `run_at`, id. It visits no more queues than there is room. `blocked`: queues with jobs at their head that nobody here runs.
   */
  #choose(room: number): { taken: ReadyJob[]; blocked: string[] } {
    const queues = this.#queuesInTurn(room)
    const share = Math.ceil(room / queues.length)
    let heads = queues.map((queue) => this.#head(queue, share))
    const found = heads.reduce((n, { handled }) => n + handled.length, 0)
    if (found < room) heads = heads.map((head) => (head.full ? this.#head(head.queue, room) : head))
    const taken: ReadyJob[] = []
    for (let round = 0; heads.some(({ handled }) => handled.length > round); round++) {
      for (const { queue, handled } of heads) {
        if (taken.length === room) break
        if (handled.length <= round) continue
        taken.push(handled[round]!)
        this.#servedLast = queue
      }
    }
    return { taken, blocked: heads.filter(({ blocked }) => blocked).map(({ queue }) => queue) }
  }

  #head(queue: string, limit: number) {
    const ready = this.#sql.ready.all({ queue, limit }) as ReadyJob[]
    const handled = ready.filter(({ type }) => this.#handled.has(type))
    return { queue, handled, blocked: handled.length < ready.length, full: ready.length === limit }
  }

  /** Non-empty queues, from the one after that served last, round to itself. */
  #queuesInTurn(most: number): string[] {
    const queues: string[] = []
    const visit = (after: string, until: string | null) => {
      for (let last = after; queues.length < most; ) {
        const next = this.#sql.nextQueue.get(last) as string | undefined
        if (next === undefined || (until !== null && next > until)) return
        queues.push(next)
        last = next
      }
    }
    visit(this.#servedLast, null)
    visit('', this.#servedLast)
    return queues
  }

  /** Puts aside jobs without a handler here that stand at the head of a queue, so that no claim meets them again. */
  #park(queue: string, unhandled: Map<string, number>): void {
    for (const { id, type } of this.#sql.typesAhead.all({ queue, limit: sweepMax }) as { id: number; type: string }[]) {
      if (this.#handled.has(type)) continue
      this.#sql.park.run(id)
      unhandled.set(type, (unhandled.get(type) ?? 0) + 1)
    }
  }

  #command(event: 'cancel' | 'requeue', id: number, now: number): CommandResult {
    const job = this.#reader.find(id)
    if (!job) return { outcome: 'unknown' }
    if (!findEdge(job.state, { type: event }, job)) return { outcome: 'refused', state: job.state }
    this.#apply(event, [[id]], now)
    return { outcome: 'done', job: this.#reader.find(id) as JobRow }
  }

  /**
   * A first crash is due again at once, in this transaction; from the second on the jobs come back one after another, so that one that
   * kills the process does not take those that ran beside it to `dead`.
   */
  #expire(ids: readonly number[], now: number, rank: number, reason: string): { moved: Moved[]; rank: number } {
    if (ids.length === 0) return { moved: [], rank }
    const { retryBaseMs, retryMaxMs } = this.#options
    const error = JSON.stringify({ name: 'LeaseExpiredError', message: reason } satisfies StoredError)
    const crashedBefore = new Set(this.#sql.crashedBefore.all({ list: JSON.stringify(ids) }) as number[])
    let behind = rank
    const list = ids.map((id): ListItem => {
      const delayMs = crashedBefore.has(id) ? Math.min(++behind * retryBaseMs, retryMaxMs) : 0
      return [id, null, delayMs, error]
    })
    const moved = this.#apply('expire', list, now)
    const dueNow = this.#sql.dueOf.all({ list: JSON.stringify(ids), now }) as number[]
    this.#apply(
      'due',
      dueNow.map((id): ListItem => [id]),
      now,
    )
    return { moved, rank: behind }
  }

  /** Moves those jobs of the list that the machine lets take `event` (and, `fenced`, whose lease is the one named); tells which. */
  #apply(event: EventType, list: readonly ListItem[], now: number, fence: 'fenced' | 'anyone' = 'anyone'): Moved[] {
    if (list.length === 0) return []
    const { log, move, edge } = this.#moveOn(event, fence)
    const values = { list: JSON.stringify(list), now, lease_ms: this.#options.leaseMs }
    let moved: Moved[]
    if (edge) {
      const { changes, lastInsertRowid } = log.run(values)
      this.#count(edge.from, event, edge.to, changes)
      moved =
        changes === list.length
          ? list.map(([id]) => [id, edge.from, edge.to])
          : (this.#sql.loggedAfter.all(Number(lastInsertRowid) - changes) as Moved[])
      if (changes === 0) moved = []
    } else {
      moved = log.all(values) as Moved[]
      for (const [, from, to] of moved) this.#count(from, event, to, 1)
    }
    if (moved.length > 0)
      assert.equal(move.run(values).changes, moved.length, `${event} logged and moved different jobs`)
    return moved
  }

  #moveOn(event: EventType, fence: 'fenced' | 'anyone'): Move {
    const key = `${event} ${fence}`
    const move = this.#moves.get(key) ?? prepareMove(this.#db, event, fence)
    this.#moves.set(key, move)
    return move
  }

  #count(from: JobNode, event: string, to: string, n: number): void {
    if (n === 0) return
    const edge = `${from} ${event} ${to}`
    this.#taken.set(edge, (this.#taken.get(edge) ?? 0) + n)
  }
}

/** A new job of some call, not inserted yet, and the answers that wait for its id. */
interface Gathered {
  readonly job: NewJobRow
  readonly state: JobState
  readonly runAt: number
  readonly idHolders: { id: number | null }[]
}

type Moved = readonly [id: number, from: JobNode, to: JobState]
type ReadyJob = Omit<LeasedJob, 'leaseToken'> & { readonly seq: number }

/** Sets of one event each, in order; a job that occurs again begins a new round, for it must see what its first event did. */
function intoSets(events: readonly LeaseEvent[]): LeaseEvent[][] {
  const sets: LeaseEvent[][] = []
  let round = new Map<EventType, LeaseEvent[]>()
  const seen = new Set<number>()
  for (const event of events) {
    if (seen.has(event.id)) {
      round = new Map()
      seen.clear()
    }
    seen.add(event.id)
    const set = round.get(event.event)
    if (set) set.push(event)
    else {
      const begun = [event]
      round.set(event.event, begun)
      sets.push(begun)
    }
  }
  return sets
}

function prepareMove(db: Database.Database, event: EventType, fence: 'fenced' | 'anyone'): Move {
  const edges = edgesOn(event)
  const item = (index: number) => `item.value ->> ${index}`
  const matching = `jobs.id = ${item(0)} AND ${takes(event)}${fence === 'fenced' ? ` AND jobs.lease_token = ${item(1)}` : ''}`
  const carriesMore = edges.some(({ from, to }) => hasTag(from, 'executing') && !hasTag(to, 'expendable'))
  const error = item(3)
  const lease = nextLease(event)
  const returning = edges.length > 1 ? 'RETURNING job_id, from_state, to_state' : ''
  const log = db.prepare(`
    INSERT INTO job_events (job_id, seq, event, from_state, to_state, attempt, at, error)
    SELECT jobs.id, jobs.seq + 1, '${event}', jobs.state, ${nextState(event)}, ${nextAttempt(event)}, :now, ${carriesMore ? error : 'NULL'}
    FROM json_each(:list) AS item CROSS JOIN jobs ON ${matching} ${returning}`)
  const move = db.prepare(`
    UPDATE jobs SET
      state = ${nextState(event)}, seq = jobs.seq + 1, attempt = ${nextAttempt(event)},
      run_at = ${nextRunAt(event, `coalesce(${item(2)}, 0)`)}, started_at = ${nextStartedAt(event)}, finished_at = ${nextFinishedAt(event)},
      lease_token = ${lease.token}, lease_expires_at = ${lease.expiresAt}, parked = 0${carriesMore ? `, error = coalesce(${error}, jobs.error)` : ''}
    FROM json_each(:list) AS item WHERE ${matching}`)
  const only = edges.length === 1 ? edges[0]! : null
  return { log: only ? log : log.raw(), move, edge: only }
}

function prepare(db: Database.Database) {
  const values = (index: number) => `item.value ->> ${index}`
  const waiting = (column: string) => stateIsTagged('waiting', column)
  return {
    count: db.prepare(`
      INSERT INTO edge_counts (from_state, event, to_state, n) VALUES (?, ?, ?, ?)
      ON CONFLICT (from_state, event, to_state) DO UPDATE SET n = n + excluded.n`),
    depth: db
      .prepare(`SELECT coalesce(sum(n * (${waiting('to_state')} - ${waiting('from_state')})), 0) FROM edge_counts`)
      .pluck(),
    keyed: db.prepare('SELECT id, state, content FROM jobs WHERE idempotency_key = ?'),
    insert: db.prepare(`
      INSERT INTO jobs (type, queue, state, seq, priority, attempt, max_attempts, timeout_ms, run_at, created_at, idempotency_key, content)
      SELECT ${values(0)}, ${values(1)}, ${values(2)}, 1, ${values(3)}, 0, ${values(4)}, ${values(5)}, ${values(6)}, :now,
        ${values(7)}, ${values(8)}
      FROM json_each(:list) AS item`),
    insertPayload: db.prepare('INSERT INTO job_payloads (job_id, payload) VALUES (?, ?)'),
    insertEvents: db.prepare(`
      INSERT INTO job_events (job_id, seq, event, from_state, to_state, attempt, at)
      SELECT id, seq, 'enqueue', NULL, state, attempt, :now FROM jobs WHERE id BETWEEN :first AND :last`),
    nextQueue: db.prepare(`SELECT queue FROM jobs WHERE ${isReady} AND queue > ? ORDER BY queue LIMIT 1`).pluck(),
    ready: db.prepare(`
      SELECT id, seq, type, (SELECT payload FROM job_payloads WHERE job_id = jobs.id) AS payload, attempt,
        max_attempts AS maxAttempts, timeout_ms AS timeoutMs, run_at AS runAt
      FROM jobs WHERE ${isReady} AND queue = :queue ORDER BY priority DESC, run_at, id LIMIT :limit`),
    typesAhead: db.prepare(`
      SELECT id, type FROM jobs WHERE ${isReady} AND queue = :queue ORDER BY priority DESC, run_at, id LIMIT :limit`),
    park: db.prepare('UPDATE jobs SET parked = 1 WHERE id = ?'),
    unpark: db.prepare(`
      UPDATE jobs SET parked = 0 WHERE id IN (SELECT id FROM jobs WHERE ${isParked} AND type = :type LIMIT :limit)`),
    due: db.prepare(`SELECT id FROM jobs WHERE ${isTimed} AND run_at <= :now ORDER BY run_at, id LIMIT :limit`).pluck(),
    dueOf: db
      .prepare(
        `SELECT jobs.id FROM json_each(:list) AS item CROSS JOIN jobs ON jobs.id = item.value WHERE ${isTimed} AND run_at <= :now`,
      )
      .pluck(),
    nextDue: db.prepare(`SELECT run_at FROM jobs WHERE ${isTimed} ORDER BY run_at LIMIT 1`).pluck(),
    renew: db.prepare(`
      UPDATE jobs SET lease_expires_at = :until FROM json_each(:list) AS item
      WHERE jobs.id = ${values(0)} AND jobs.lease_token = ${values(1)}`),
    heldOf: db
      .prepare(`
        SELECT jobs.id FROM json_each(:list) AS item CROSS JOIN jobs ON jobs.id = ${values(0)} AND jobs.lease_token = ${values(1)}`)
      .pluck(),
    lapsed: db
      .prepare(
        `SELECT id FROM jobs WHERE ${isHeld} AND lease_expires_at <= :now ORDER BY lease_expires_at LIMIT :limit`,
      )
      .pluck(),
    orphans: db.prepare(`SELECT id FROM jobs WHERE ${isHeld} AND id > :after ORDER BY id LIMIT :limit`).pluck(),
    crashedBefore: db
      .prepare(`
        SELECT item.value FROM json_each(:list) AS item CROSS JOIN jobs ON jobs.id = item.value
        WHERE ${stateIsTagged('executing')} AND EXISTS (SELECT 1 FROM job_events
          WHERE job_id = jobs.id AND job_events.event = 'expire' AND ${stateIsTagged('executing', 'job_events.from_state')})`)
      .pluck(),
    loggedAfter: db.prepare('SELECT job_id, from_state, to_state FROM job_events WHERE id > ?').raw(),
    retainable: db.prepare(`
      SELECT id, state, created_at AS createdAt, finished_at AS finishedAt FROM jobs WHERE id > :after ORDER BY id LIMIT :limit`),
    // The newest event's row stays, so that event ids are never used again.
    isNewestEvent: db.prepare('SELECT 1 WHERE ? = (SELECT job_id FROM job_events ORDER BY id DESC LIMIT 1)').pluck(),
    removeJob: db.prepare('DELETE FROM jobs WHERE id = ?'),
    removePayload: db.prepare('DELETE FROM job_payloads WHERE job_id = ?'),
    removeEvents: db.prepare('DELETE FROM job_events WHERE job_id = ?'),
  }
}
