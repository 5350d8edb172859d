import assert from 'node:assert/strict'
import type Database from 'better-sqlite3'
import { suspectCrashes } from '../../../machines/guards.ts'
import { claimOrder, orderBy } from '../../sql/claim-order.ts'
import { isReady, isUnhandled, parkedAs } from '../../sql/conditions.ts'
import { intoRanges } from '../../sql/ranges.ts'
import type { LeasedFacts } from '../thread/protocol.ts'
import { Suspects } from './suspects.ts'
import type { Transitions } from './transitions.ts'

/** The next queue that has jobs ready, after the one given: one seek. */
export const nextQueueSql = `SELECT queue FROM jobs WHERE ${isReady} AND queue > ? ORDER BY queue LIMIT 1`

/** Jobs without a handler here that are put aside by one claim. */
const parkMax = 200
/** Those that one step takes back, and one statement of it. */
const restoredMax = 1_000
const restoredAtOnce = 100

/** What a claim leased, and what it met: `unhandled` jobs by type, now put aside; `more`: it stopped at a bound, and there may be others. */
interface Claim {
  readonly jobs: readonly LeasedFacts[]
  /** Of each job, JSON text. */
  readonly payloads: readonly string[]
  readonly unhandled: ReadonlyMap<string, number>
  readonly more: boolean
}

/** One who asks for jobs: how many, and whether they are to be started as well. */
interface ClaimRequest {
  readonly limit: number
  readonly start: boolean
}

/** Leases jobs that are ready, the queues in turn. A claim costs the same with ten jobs waiting and with ten million. */
export class Claims {
  readonly #transitions: Transitions
  readonly #handled: ReadonlySet<string>
  readonly #suspects: Suspects
  readonly #sql: ReturnType<typeof prepare>
  /** Only a hint: a rollback leaves it harmless. */
  #servedLast = ''

  /** `types`: those that have a handler here. */
  constructor(db: Database.Database, transitions: Transitions, types: readonly string[]) {
    this.#transitions = transitions
    this.#handled = new Set(types)
    this.#suspects = new Suspects(db, this.#handled)
    this.#sql = prepare(db)
  }

  lease(requests: readonly ClaimRequest[], now: number): Claim {
    const { jobs: suspects, unhandled: aside } = this.#suspects.next(now)
    if (suspects) return this.#claim(requests, suspects, aside, aside.size > 0, now)
    const limit = requests.reduce((sum, each) => sum + each.limit, 0)
    const { jobs, blocked } = this.#choose(limit)
    const unhandled = new Map(aside)
    for (const queue of blocked) this.#setUnhandled(queue, unhandled)
    return this.#claim(requests, jobs, unhandled, blocked.length > 0 && jobs.length < limit, now)
  }

  #claim(
    requests: readonly ClaimRequest[],
    jobs: readonly LeasedFacts[],
    unhandled: ReadonlyMap<string, number>,
    more: boolean,
    now: number,
  ): Claim {
    const { started, leased } = shareOut(requests, jobs)
    const moved =
      this.#transitions.apply('claim', intoRanges(started), now) +
      this.#transitions.apply('lease', intoRanges(leased), now)
    assert.equal(moved, jobs.length, 'a ready job could not be leased')
    return {
      jobs,
      payloads: this.#sql.payloads.all(JSON.stringify(jobs.map(([id]) => id))) as string[],
      unhandled,
      more,
    }
  }

  /** A job may have come into line that runs alone. */
  expectSuspects(): void {
    this.#suspects.expect()
  }

  /** When the next job may be claimed although one runs alone, in epoch ms; null if no instant is known. */
  get exclusiveUntil(): number | null {
    return this.#suspects.exclusiveUntil
  }

  /** Lets jobs of the types handled here be leased again that an earlier process put aside, up to a bound; false when all are. */
  restoreHandled(goOn = () => true): boolean {
    let moved = 0
    for (const type of this.#handled) {
      for (let changes = restoredAtOnce; changes === restoredAtOnce; moved += changes) {
        if (moved > 0 && (moved >= restoredMax || !goOn())) return true
        changes = this.#sql.restoreHandled.run({ type, limit: restoredAtOnce }).changes
        if (changes > 0) this.expectSuspects()
      }
    }
    return false
  }

  /**
   * Queues take turns from the one after that served last, job by job while more than one has any; within one by priority, `run_at`, id.
   * It visits no more queues than there is room. `blocked`: queues with jobs at their head that nobody here runs.
   */
  #choose(limit: number): { jobs: LeasedFacts[]; blocked: string[] } {
    const queues = this.#queuesInTurn(limit)
    const share = Math.ceil(limit / queues.length)
    let heads = queues.map((queue) => this.#head(queue, share))
    const found = heads.reduce((n, { handled }) => n + handled.length, 0)
    if (found < limit) heads = heads.map((head) => (head.full && share < limit ? this.#head(head.queue, limit) : head))
    const jobs: LeasedFacts[] = []
    for (let round = 0; heads.some(({ handled }) => handled.length > round); round++) {
      for (const { queue, handled } of heads) {
        if (jobs.length === limit) break
        if (handled.length <= round) continue
        jobs.push(handled[round]!)
        this.#servedLast = queue
      }
    }
    return { jobs, blocked: heads.filter(({ blocked }) => blocked).map(({ queue }) => queue) }
  }

  #head(queue: string, limit: number) {
    const ready = JSON.parse(this.#sql.head.get({ queue, limit }) as string) as LeasedFacts[]
    const handled = ready.filter(([, , type]) => this.#handled.has(type))
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
  #setUnhandled(queue: string, unhandled: Map<string, number>): void {
    for (const { id, type } of this.#sql.typesAtHead.all({ queue, limit: parkMax }) as { id: number; type: string }[]) {
      if (this.#handled.has(type)) continue
      this.#sql.setUnhandled.run(id)
      unhandled.set(type, (unhandled.get(type) ?? 0) + 1)
    }
  }
}

/** Jobs go to those who ask in turn; gives those that are to be started, and those that are not. */
function shareOut(requests: readonly ClaimRequest[], jobs: readonly LeasedFacts[]) {
  const shares = { started: [] as { id: number }[], leased: [] as { id: number }[] }
  let next = 0
  for (const { limit, start } of requests) {
    const share = start ? shares.started : shares.leased
    for (const [id] of jobs.slice(next, next + limit)) share.push({ id })
    next += limit
  }
  return shares
}

function prepare(db: Database.Database) {
  // A sum, for SQLite plans a statement again with each other value of a limit that is a parameter alone.
  const atHead = `FROM jobs WHERE ${isReady} AND queue = :queue ORDER BY ${orderBy(claimOrder)} LIMIT 0 + :limit`
  return {
    nextQueue: db.prepare(nextQueueSql).pluck(),
    // `LeasedFacts` as one JSON text: to read it takes half of the time that rows take.
    head: db
      .prepare(`
        SELECT json_group_array(json_array(id, seq + 1, type, attempt, max_attempts, timeout_ms, run_at))
        FROM (SELECT id, seq, type, attempt, max_attempts, timeout_ms, run_at ${atHead})`)
      .pluck(),
    payloads: db
      .prepare('SELECT payload FROM json_each(?) AS item LEFT JOIN job_payloads ON job_id = item.value')
      .pluck(),
    typesAtHead: db.prepare(`SELECT id, type ${atHead}`),
    setUnhandled: db.prepare(`UPDATE jobs SET parked = ${parkedAs.unhandled} WHERE id = ?`),
    restoreHandled: db.prepare(`
      UPDATE jobs SET parked = iif(crashes >= ${suspectCrashes}, ${parkedAs.suspect}, 0)
      WHERE id IN (SELECT id FROM jobs WHERE ${isUnhandled} AND type = :type LIMIT :limit)`),
  }
}
