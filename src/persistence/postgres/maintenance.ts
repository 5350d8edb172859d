import type { RetentionRules } from '../../job/retention.ts'
import { suspectCrashes } from '../../machines/guards.ts'
import { ClockWatch } from '../clock-watch.ts'
import { isHeld, isReady, isTimed, isUnhandled, parkedAs } from '../sql/conditions.ts'
import type { EdgeCount, Lease, StoreEvent } from '../store.ts'
import type { Duties } from './duties.ts'
import type { HeldLeases } from './held-leases.ts'
import type { ServerTime } from './node/protocol.ts'
import { mergeCountsSql } from './node/row.ts'
import type { OwnNode } from './nodes.ts'
import { isClaimable, isUpdatable } from './readable.ts'
import type { Reads } from './reads.ts'
import type { Recovery } from './recovery.ts'
import { Retention } from './retention.ts'
import { removeEnded } from './schedules.ts'
import type { Claims } from './write/claims.ts'
import type { GroupCommit } from './write/group-commit.ts'

/** Jobs that one transaction finds due, and transactions of one turn. */
const dueMax = 500
const turnsMax = 6
/** Leases of one look for those that nobody here knows. */
const unknownMax = 1_000

interface Parts {
  readonly reads: Reads
  readonly node: OwnNode
  readonly commits: GroupCommit
  readonly claims: Claims
  readonly held: HeldLeases
  readonly recovery: Recovery
  readonly duties: Duties
  readonly types: readonly string[]
  readonly retention: RetentionRules
  /** How long schedules are kept that have ended, in ms; 0 means forever. */
  readonly retentionMs: number
  readonly counts: () => Promise<readonly EdgeCount[]>
  readonly leaseMs: number
  readonly notify: (event: StoreEvent) => void
  /** This node was declared dead. */
  revive(): Promise<void>
}

interface Look {
  readonly dueInMs: number | null
  readonly isReady: boolean
}

/** What a node does for all as time passes. Each duty is harmless when two nodes do it at once. */
export class Maintenance {
  readonly #parts: Parts
  readonly #retention: Retention
  readonly #clockWatch: ClockWatch
  #time: ServerTime = { wall: 0, steady: 0 }
  /** Until then no schedule has ended long enough ago to be removed. */
  #endedAreKeptUntil = Number.NEGATIVE_INFINITY
  /** The server's clock has been steady for long enough. */
  #mayDelete = false
  /** Leases that this node holds and did not know at the last look, and whether every claim that was under way then has been answered. */
  #unknown: { readonly leases: readonly Lease[]; readonly isAnswered: () => boolean } = {
    leases: [],
    isAnswered: () => true,
  }
  /** The leases of nodes that were gone at the start are taken: from now on those of others are. */
  hasRecovered = false

  constructor(parts: Parts) {
    this.#parts = parts
    this.#retention = new Retention(parts.reads, parts.duties, parts.retention, parts.counts)
    const clock = { now: () => this.#time.wall, monotonic: () => this.#time.steady }
    this.#clockWatch = new ClockWatch(clock, parts.retention.shortestMs, (ms) =>
      parts.notify({ type: 'clockJumped', ms }),
    )
  }

  /** Shows that this node lives, and learns which of its leases others have taken. */
  async renew(): Promise<void> {
    await this.beaten(await this.#parts.node.beat())
  }

  /** The thread has shown it; null: this node was declared dead. */
  async beaten(time: ServerTime | null): Promise<void> {
    const { node, held, revive } = this.#parts
    if (time === null) return revive()
    this.#time = { wall: time.wall, steady: node.now() === null ? time.steady : time.wall }
    this.#mayDelete = this.#clockWatch.look()
    await this.dropLost(held.all(), false)
  }

  /** Looks which of these leases of this node have ended without an outcome from here, and says so. */
  async dropLost(known: readonly Lease[], cancelled: boolean): Promise<void> {
    const { node, held, reads } = this.#parts
    if (known.length === 0) return
    const rows = await reads.all<Lease>(heldSql, { node: node.id, ids: known.map(({ id }) => id) })
    const there = new Map(rows.map(({ id, leaseToken }) => [id, leaseToken]))
    this.tellLost(held.drop(known.filter(({ id, leaseToken }) => there.get(id) !== leaseToken)), cancelled)
  }

  /** Says that these leases, which the node no longer holds, have ended without an outcome from here. */
  tellLost(leases: readonly Lease[], cancelled: boolean): void {
    if (leases.length === 0) return
    this.#parts.notify({ type: 'lost', leases: leases.map((lease) => ({ ...lease, cancelled })) })
  }

  /** Others may take these leases of this node a lease's time from now: a worker may still run the job. */
  async abandon(leases: readonly Lease[]): Promise<void> {
    const { reads, node, leaseMs } = this.#parts
    await reads.all(abandonSql, { ...columnsOf(leases), given: node.now(), leaseMs })
  }

  /**
   * Abandons leases that this node holds and nobody here knows, because the answer to their claim was lost or an `abandon` failed. A claim is
   * stored before its answer is here: so it must be unknown at two looks, and all that was asked before the first be answered.
   */
  async abandonUnknown(): Promise<void> {
    const { reads, node, held, claims } = this.#parts
    const before = this.#unknown
    const isAnswered = before.isAnswered()
    const found = await reads.all<Lease>(unknownSql, { node: node.id, ...columnsOf(held.all()) })
    this.#unknown = { leases: found, isAnswered: claims.whetherAnswered() }
    if (!isAnswered) return
    const known = new Map(held.of(found.map(({ id }) => id)).map(({ id, leaseToken }) => [id, leaseToken]))
    const tokens = new Map(before.leases.map(({ id, leaseToken }) => [id, leaseToken]))
    const lost = found.filter(({ id, leaseToken }) => tokens.get(id) === leaseToken && known.get(id) !== leaseToken)
    if (lost.length > 0) await this.abandon(lost)
  }

  /** Queues jobs whose instant has come. */
  async promote(): Promise<void> {
    const { reads, node, commits, duties } = this.#parts
    for (let turn = 0; turn < turnsMax; turn++) {
      const due = await reads.all<{ id: number }>(dueSql, { given: node.now() })
      if (due.length > 0) {
        const [moved] = await commits.change([{ event: 'due', jobs: due.sort((a, b) => a.id - b.id) }])
        if (moved === null || moved!.length > 0) await duties.note('promotion')
      }
      if (due.length < dueMax) return
    }
  }

  /** Lets jobs be leased again that were set aside while no node ran their type. */
  async restore(): Promise<void> {
    const { reads, types, claims } = this.#parts
    if (types.length === 0) return
    const rows = await reads.all(restoreSql, { types })
    if (rows.length === 0) return
    claims.giveUpBounds()
    claims.lookAgain()
  }

  /** Leases of this node's workers that are gone, and of nodes that are. */
  async recover(): Promise<void> {
    while (await this.#parts.recovery.expire());
    if (this.hasRecovered) await this.#parts.recovery.recover()
  }

  /** Removes the rows of nodes that are long gone. */
  async forget(): Promise<void> {
    if (this.#mayDelete) await this.#parts.recovery.forget()
  }

  /** Adds the counts of transactions of users, which have a row each, and of writers that are gone to the others. */
  async mergeCounts(): Promise<void> {
    await this.#parts.reads.all(mergeCountsSql)
  }

  /** Removes what ended long ago; false when nothing is left for now. */
  async retain(): Promise<boolean> {
    if (!this.#mayDelete) return false
    const { reads, retentionMs } = this.#parts
    const { wall } = this.#time
    if (retentionMs > 0 && wall >= this.#endedAreKeptUntil)
      this.#endedAreKeptUntil = await removeEnded(reads, wall, retentionMs)
    return this.#retention.step(wall)
  }

  /** Queues what is due, and finds jobs that another node has stored, for those who wait here. Returns in how many ms a job will be due; null: none waits for an instant. */
  async look(): Promise<number | null> {
    const { reads, node, claims } = this.#parts
    const { isWaiting, isAlone } = claims
    const { dueInMs, isReady } = (await reads.one<Look>(lookSql, { given: node.now(), isWaiting }))!
    const isDue = dueInMs !== null && dueInMs <= 0
    if (isDue) await this.promote()
    if (isWaiting && (isAlone || isReady || isDue)) claims.lookAgain()
    return dueInMs
  }

  /** All of it, once. */
  async all(): Promise<void> {
    await this.renew()
    await this.promote()
    await this.abandonUnknown()
    await this.recover()
    await this.restore()
    await this.retain()
    await this.forget()
    await this.mergeCounts()
  }
}

function columnsOf(leases: readonly Lease[]) {
  return { ids: leases.map(({ id }) => id), tokens: leases.map(({ leaseToken }) => leaseToken) }
}

const abandonSql = `
  UPDATE jobs SET lease_expires_at = instant(:given::bigint) + :leaseMs::bigint
  FROM unnest(:ids::bigint[], :tokens::integer[]) AS lease (id, token) WHERE jobs.id = lease.id AND jobs.lease_token = lease.token`
/** A lease that has an instant was abandoned before. */
const unknownSql = `
  SELECT id, lease_token AS "leaseToken" FROM jobs WHERE ${isHeld} AND node_id = :node AND lease_expires_at IS NULL AND ${isUpdatable}
    AND NOT EXISTS (SELECT 1 FROM unnest(:ids::bigint[], :tokens::integer[]) AS known (id, token) WHERE known.id = jobs.id AND token = lease_token)
  ORDER BY id LIMIT ${unknownMax}`
const heldSql = `SELECT id, lease_token AS "leaseToken" FROM jobs WHERE ${isHeld} AND node_id = :node AND id = ANY (:ids::bigint[])`
const dueSql = `SELECT id FROM jobs WHERE ${isTimed} AND run_at <= instant(:given::bigint) AND ${isUpdatable} ORDER BY run_at, id LIMIT ${dueMax}`
/** In one statement, because an idle node asks it again and again. */
const lookSql = `
  SELECT (SELECT run_at FROM jobs WHERE ${isTimed} ORDER BY run_at, id LIMIT 1) - instant(:given::bigint) AS "dueInMs",
    CASE WHEN :isWaiting THEN EXISTS (SELECT 1 FROM jobs WHERE ${isReady}) ELSE false END AS "isReady"`
const restoreSql = `
  UPDATE jobs SET parked = CASE WHEN crashes >= ${suspectCrashes} THEN ${parkedAs.suspect} ELSE 0 END
  WHERE id = ANY (ARRAY(SELECT id FROM jobs WHERE ${isUnhandled} AND type = ANY (:types::text[]) AND ${isClaimable} ORDER BY id LIMIT 1000 FOR UPDATE SKIP LOCKED)) RETURNING id`
