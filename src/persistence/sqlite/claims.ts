import assert from 'node:assert/strict'
import type Database from 'better-sqlite3'
import { intoRuns } from '../runs.ts'
import type { LeasedJob } from '../store.ts'
import type { Moves } from './moves.ts'
import type { LeasedFacts } from './protocol.ts'
import { isParked, isReady } from './schema.ts'

/** The next queue that has jobs ready, after the one given: one seek. */
export const nextQueueSql = `SELECT queue FROM jobs WHERE ${isReady} AND queue > ? ORDER BY queue LIMIT 1`

/** Jobs without a handler here that are put aside by one transaction, and taken back by another. */
const parkMax = 1_000

type ReadyJob = Omit<LeasedJob, 'leaseToken' | 'payload'> & { readonly seq: number }

/** What a claim leased, and what it met: `unhandled` jobs by type, now put aside; `more`: it stopped at a bound, and there may be others. */
export interface Claim {
  readonly jobs: readonly LeasedFacts[]
  /** Ids of those that were started as well. */
  readonly started: ReadonlySet<number>
  /** Of each job, JSON text. */
  readonly payloads: readonly string[]
  readonly unhandled: ReadonlyMap<string, number>
  readonly more: boolean
}

/** One who asks for jobs: how many, and whether they are to be started as well. */
export interface Asked {
  readonly room: number
  readonly start: boolean
}

/** Leases jobs that are ready, the queues in turn. A claim costs the same with ten jobs waiting and with ten million. */
export class Claims {
  readonly #moves: Moves
  readonly #handled: ReadonlySet<string>
  readonly #sql: ReturnType<typeof prepare>
  /** Only a hint: a rollback leaves it harmless. */
  #servedLast = ''

  /** `types`: those that have a handler here. */
  constructor(db: Database.Database, moves: Moves, types: readonly string[]) {
    this.#moves = moves
    this.#handled = new Set(types)
    this.#sql = prepare(db)
  }

  lease(asked: readonly Asked[], now: number): Claim {
    const room = asked.reduce((sum, each) => sum + each.room, 0)
    const { taken, blocked } = this.#choose(room)
    const unhandled = new Map<string, number>()
    for (const queue of blocked) this.#park(queue, unhandled)
    const moved = this.#moves.apply('lease', intoRuns(taken), now)
    assert.equal(moved, taken.length, 'a ready job could not be leased')
    const toStart = startedOf(asked, taken)
    assert.equal(
      this.#moves.apply('start', intoRuns(toStart), now),
      toStart.length,
      'a leased job could not be started',
    )
    const jobs = taken.map(
      ({ id, seq, type, attempt, maxAttempts, timeoutMs, runAt }): LeasedFacts => [
        id,
        seq + 1,
        type,
        attempt,
        maxAttempts,
        timeoutMs,
        runAt,
      ],
    )
    const payloads = this.#sql.payloads.all(JSON.stringify(taken.map(({ id }) => id))) as string[]
    return {
      jobs,
      started: new Set(toStart.map(({ id }) => id)),
      payloads,
      unhandled,
      more: blocked.length > 0 && jobs.length < room,
    }
  }

  /** Lets jobs of the types handled here be leased again that an earlier process put aside; how many, 0 when all are. */
  unpark(): number {
    let moved = 0
    for (const type of this.#handled) moved += this.#sql.unpark.run({ type, limit: parkMax }).changes
    return moved
  }

  /**
   * Queues take turns from the one after that served last, job by job while more than one has any; within one by priority, `run_at`, id.
   * It visits no more queues than there is room. `blocked`: queues with jobs at their head that nobody here runs.
   */
  #choose(room: number): { taken: ReadyJob[]; blocked: string[] } {
    const queues = this.#queuesInTurn(room)
    const share = Math.ceil(room / queues.length)
    let heads = queues.map((queue) => this.#head(queue, share))
    const found = heads.reduce((n, { handled }) => n + handled.length, 0)
    if (found < room) heads = heads.map((head) => (head.full && share < room ? this.#head(head.queue, room) : head))
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
    const ready = toReadyJobs(this.#sql.head.get({ queue, limit }) as string)
    const handled = ready.filter(({ type }) => this.#handled.has(type))
    return { queue, handled, blocked: handled.length < ready.length, full: ready.length === limit }
  }

  /** Queues that have jobs ready, from the one after that served last, round to itself. */
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

  /** Puts aside jobs at the head of a queue that nobody here runs, so that no claim meets them again. */
  #park(queue: string, unhandled: Map<string, number>): void {
    for (const { id, type } of this.#sql.typesAtHead.all({ queue, limit: parkMax }) as { id: number; type: string }[]) {
      if (this.#handled.has(type)) continue
      this.#sql.park.run(id)
      unhandled.set(type, (unhandled.get(type) ?? 0) + 1)
    }
  }
}

/** Jobs go to those who ask in turn; gives those that are to be started. */
function startedOf(asked: readonly Asked[], jobs: readonly ReadyJob[]): ReadyJob[] {
  let next = 0
  return asked.flatMap(({ room, start }) => {
    next += room
    return start ? jobs.slice(next - room, next) : []
  })
}

function toReadyJobs(json: string): ReadyJob[] {
  return (JSON.parse(json) as [number, number, string, number, number, number | null, number][]).map(
    ([id, seq, type, attempt, maxAttempts, timeoutMs, runAt]) => ({
      id,
      seq,
      type,
      attempt,
      maxAttempts,
      timeoutMs,
      runAt,
    }),
  )
}

function prepare(db: Database.Database) {
  const atHead = `FROM jobs WHERE ${isReady} AND queue = :queue ORDER BY priority DESC, run_at, id LIMIT :limit`
  return {
    nextQueue: db.prepare(nextQueueSql).pluck(),
    // As one JSON text: to read it takes half of the time that rows take.
    head: db
      .prepare(`
        SELECT json_group_array(json_array(id, seq, type, attempt, max_attempts, timeout_ms, run_at))
        FROM (SELECT id, seq, type, attempt, max_attempts, timeout_ms, run_at ${atHead})`)
      .pluck(),
    payloads: db
      .prepare('SELECT payload FROM json_each(?) AS item LEFT JOIN job_payloads ON job_id = item.value')
      .pluck(),
    typesAtHead: db.prepare(`SELECT id, type ${atHead}`),
    park: db.prepare('UPDATE jobs SET parked = 1 WHERE id = ?'),
    unpark: db.prepare(`
      UPDATE jobs SET parked = 0 WHERE id IN (SELECT id FROM jobs WHERE ${isParked} AND type = :type LIMIT :limit)`),
  }
}
