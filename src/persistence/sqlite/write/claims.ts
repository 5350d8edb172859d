import assert from 'node:assert/strict'
import type Database from 'better-sqlite3'
import { suspectCrashes } from '../../../machines/guards.ts'
import type { LeasedFacts } from '../../leased-facts.ts'
import { claimOrder, orderBy } from '../../sql/claim-order.ts'
import { isReady, isUnhandled, parkedAs } from '../../sql/conditions.ts'
import { type LeasedJob, leasedPayloadBytesMax } from '../../store.ts'
import type { SeenJob } from './event-runs.ts'
import type { JobTraces } from './job-traces.ts'
import { QueueTurns } from './queue-turns.ts'
import { isReadable, type ReadyJob, readyColumns, type SkippedJobs } from './skipped-jobs.ts'
import { Suspects } from './suspects.ts'
import type { Transitions } from './transitions.ts'

/** Jobs without a handler here that one claim sets aside. */
const parkMax = 200
/** Jobs that one step restores, and that one statement of it does. */
const restoredMax = 1_000
const restoredAtOnce = 100

/**
 * What a claim leased, and what it set `aside`; `more`: it stopped at a limit, and there may be others.
 */
interface Claim {
  readonly jobs: readonly LeasedFacts[]
  /** Of each job. */
  readonly payloads: readonly LeasedJob['payload'][]
  readonly aside: SkippedJobs
  /** The traces of those that have one, by id. */
  readonly traces: ReturnType<JobTraces['of']>
  readonly more: boolean
}

/** One request for jobs: how many, and whether to start them too. */
interface ClaimRequest {
  readonly limit: number
  readonly start: boolean
}

/** Leases ready jobs, from the queues in turn. A claim costs the same with ten jobs waiting and with ten million. */
export class Claims {
  readonly #transitions: Transitions
  readonly #handled: ReadonlySet<string>
  readonly #traces: JobTraces
  readonly #suspects: Suspects
  readonly #turns: QueueTurns
  readonly #sql: ReturnType<typeof prepare>

  /** `types`: those with a handler here. */
  constructor(db: Database.Database, transitions: Transitions, traces: JobTraces, types: readonly string[]) {
    this.#transitions = transitions
    this.#traces = traces
    this.#handled = new Set(types)
    this.#suspects = new Suspects(db, this.#handled)
    this.#turns = new QueueTurns(db)
    this.#sql = prepare(db)
  }

  lease(requests: readonly ClaimRequest[], now: number): Claim {
    const { jobs: suspects, aside } = this.#suspects.next(now)
    if (suspects) return this.#claim(requests, suspects, aside, !aside.isEmpty, now)
    const limit = requests.reduce((sum, each) => sum + each.limit, 0)
    const { jobs, blocked } = this.#choose(limit)
    for (const queue of blocked) this.#setAside(queue, aside)
    return this.#claim(requests, jobs, aside, blocked.length > 0 && jobs.length < limit, now)
  }

  #claim(
    requests: readonly ClaimRequest[],
    jobs: readonly ReadyJob[],
    aside: SkippedJobs,
    more: boolean,
    now: number,
  ): Claim {
    const { started, leased } = shareOut(requests, jobs)
    const moved =
      this.#transitions.claim('claim', started.map(seen), now) + this.#transitions.claim('lease', leased.map(seen), now)
    assert.equal(moved, jobs.length, 'a ready job could not be leased')
    const ids = jobs.map(([id]) => id)
    return {
      jobs: jobs.map((job) => job.slice(0, -1) as unknown as LeasedFacts),
      payloads: this.#sql.payloads.all(JSON.stringify(ids)) as LeasedJob['payload'][],
      aside,
      traces: this.#traces.of(ids),
      more,
    }
  }

  /** A job that must run alone may be queued. */
  expectSuspects(): void {
    this.#suspects.expect()
  }

  /** When the next job may be claimed beside the one that runs alone, in epoch ms; null if no instant is known. */
  get exclusiveUntil(): number | null {
    return this.#suspects.exclusiveUntil
  }

  /** Makes jobs available again that an earlier process set aside and that have a handler here, up to a limit; false when all are. */
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
   * The next jobs of the queues whose turn it is, job by job while more than one has any; within one by priority, `run_at`, id. `blocked`:
   * queues with jobs at their head that have no handler here.
   */
  #choose(limit: number): { jobs: ReadyJob[]; blocked: string[] } {
    const isShort = (heads: readonly { handled: readonly unknown[] }[]) =>
      heads.reduce((n, { handled }) => n + handled.length, 0) < limit
    const byAge = this.#turns.byAge(limit)
    let heads = this.#heads(byAge ?? this.#turns.evenly(limit))
    if (byAge && isShort(heads)) heads = this.#heads(this.#turns.evenly(limit))
    if (isShort(heads))
      heads = heads.map((head) =>
        head.full && head.limit < limit ? this.#heads(new Map([[head.queue, limit]]))[0]! : head,
      )
    const jobs: ReadyJob[] = []
    for (let round = 0; heads.some(({ handled }) => handled.length > round); round++) {
      for (const { handled } of heads) {
        if (jobs.length === limit) break
        if (handled.length <= round) continue
        jobs.push(handled[round]!)
      }
    }
    this.#turns.served(jobs)
    return {
      jobs: byAge ? sortedById(jobs) : jobs,
      blocked: heads.filter(({ blocked }) => blocked).map(({ queue }) => queue),
    }
  }

  /** The jobs that each queue would give next, up to that many. */
  #heads(shares: ReadonlyMap<string, number>) {
    const queuesOf = new Map<number, string[]>()
    for (const [queue, limit] of shares) {
      const queues = queuesOf.get(limit)
      if (queues) queues.push(queue)
      else queuesOf.set(limit, [queue])
    }
    const ready = new Map<string, readonly ReadyJob[]>()
    for (const [limit, queues] of queuesOf)
      for (const [index, jobs] of this.#readHeads(queues, limit).entries()) ready.set(queues[index]!, jobs)
    return [...shares].map(([queue, limit]) => {
      const jobs = ready.get(queue)!
      const handled = jobs.filter((job) => this.#canRun(job))
      return { queue, limit, handled, blocked: handled.length < jobs.length, full: jobs.length === limit }
    })
  }

  #readHeads(queues: readonly string[], limit: number): readonly (readonly ReadyJob[])[] {
    try {
      return (this.#sql.heads.all({ queues: JSON.stringify(queues), limit }) as string[]).map((head) =>
        JSON.parse(head),
      )
    } catch (error) {
      // One of them has a BLOB in the place of a number or a text, and JSON cannot hold that.
      if (!(error instanceof Error && error.message.includes('BLOB'))) throw error
      return queues.map((queue) => this.#sql.headRows.all({ queue, limit }) as ReadyJob[])
    }
  }

  #canRun(job: ReadyJob): boolean {
    return this.#handled.has(job[2]) && isReadable(job)
  }

  /** Sets aside jobs at the head of a queue that have no handler here, so that claims skip them from now on. */
  #setAside(queue: string, aside: SkippedJobs): void {
    for (const job of this.#sql.headRows.all({ queue, limit: parkMax }) as ReadyJob[]) {
      if (this.#canRun(job)) continue
      this.#sql.setAside.run(job[0])
      aside.add(job)
    }
  }
}

/** By id as far as the jobs of each queue keep their order: then those that end together have consecutive ids. */
function sortedById(jobs: readonly ReadyJob[]): ReadyJob[] {
  const highest = new Map<string, number>()
  const places = jobs.map((job) => {
    const [id, , , queue] = job
    const place = Math.max(id, highest.get(queue) ?? 0)
    highest.set(queue, place)
    return { job, place }
  })
  return places.sort((a, b) => a.place - b.place).map(({ job }) => job)
}

/** Gives jobs to the requests in turn; returns those to be started, and those not, each by their ids. */
function shareOut(requests: readonly ClaimRequest[], jobs: readonly ReadyJob[]) {
  const shares = { started: [] as ReadyJob[], leased: [] as ReadyJob[] }
  let next = 0
  for (const { limit, start } of requests) {
    const share = start ? shares.started : shares.leased
    for (const job of jobs.slice(next, next + limit)) share.push(job)
    next += limit
  }
  for (const share of Object.values(shares)) share.sort(([a], [b]) => a - b)
  return shares
}

function seen([id, leaseToken, , , attempt, , , , lastEventId]: ReadyJob): SeenJob {
  return [id, lastEventId, leaseToken - 1, attempt]
}

function prepare(db: Database.Database) {
  // A sum, because SQLite plans a statement again for each new value of a limit that is only a parameter.
  const headOf = (queue: string) =>
    `FROM jobs WHERE ${isReady} AND queue = ${queue} ORDER BY ${orderBy(claimOrder)} LIMIT 0 + :limit`
  return {
    // A `ReadyJob` each as one JSON text: reading it takes half the time of rows.
    heads: db
      .prepare(`
        SELECT (
          SELECT json_group_array(json_array(id, token, type, queue, attempt, max_attempts, timeout_ms, run_at, last_event_id))
          FROM (SELECT ${readyColumns} ${headOf('item.value')}))
        FROM json_each(:queues) AS item`)
      .pluck(),
    // The empty text, where there is none, is not JSON: the attempt finds out. SQLite knows the length of a text without reading it.
    payloads: db
      .prepare(`
        SELECT iif(octet_length(payload) > ${leasedPayloadBytesMax}, NULL, coalesce(payload, ''))
        FROM json_each(?) AS item LEFT JOIN job_payloads ON job_id = item.value`)
      .pluck(),
    headRows: db.prepare(`SELECT ${readyColumns} ${headOf(':queue')}`).raw(),
    setAside: db.prepare(`UPDATE jobs SET parked = ${parkedAs.unhandled} WHERE id = ?`),
    restoreHandled: db.prepare(`
      UPDATE jobs SET parked = iif(crashes >= ${suspectCrashes}, ${parkedAs.suspect}, 0)
      WHERE id IN (SELECT id FROM jobs WHERE ${isUnhandled} AND type = :type LIMIT :limit)`),
  }
}
