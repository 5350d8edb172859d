import type { EventCause } from '../../machines/cause.ts'
import { suspectCrashes } from '../../machines/guards.ts'
import { leaseExpiredError, processEndedError } from '../lease-errors.ts'
import { isHeld } from '../sql/conditions.ts'
import { stateHasTag } from '../sql/transitions.ts'
import type { Recovered, StoredError, StoreEvent } from '../store.ts'
import type { Duties } from './duties.ts'
import { fencedCall, mergeCountsSql } from './node/row.ts'
import type { OwnNode } from './nodes.ts'
import { isUpdatable } from './readable.ts'
import type { Reads } from './reads.ts'
import type { Change, Done } from './write/step.ts'

/** Jobs that one transaction moves, by two events each. */
const movedMax = 500
/** How long the rows of a node are kept that is gone, in ms; of how many, and how many are removed at once. */
const keptMs = 86_400_000
const keptMax = 1_000
const forgottenMax = 1_000

/** Kept with what recovery does. */
const recovery = JSON.stringify({ cause: 'recovery' } satisfies EventCause)

/** A node that is gone. */
interface GoneNode {
  readonly id: number
  readonly pid: number
  readonly host: string
  /** It did not end by itself. */
  readonly wasSilent: boolean
  readonly isStopping: boolean
  readonly ranTogether: number
}

/** A job whose node is gone, or that was abandoned. */
interface Orphan {
  readonly id: number
  readonly leaseToken: number
  readonly ran: boolean
  /** Before this one. */
  readonly crashes: number
}

type Notify = (event: Extract<StoreEvent, { type: 'nodeGone' }>) => void
type Send = (changes: readonly Change[], patient: boolean) => Promise<Done['moved']>

/** Takes the leases of nodes that are gone, and of workers that are. Several nodes may do so at once: each lease is taken by its token. */
export class Recovery {
  readonly #reads: Reads
  readonly #node: OwnNode
  readonly #duties: Duties
  readonly #send: Send
  readonly #notify: Notify

  constructor(reads: Reads, node: OwnNode, duties: Duties, send: Send, notify: Notify) {
    this.#reads = reads
    this.#node = node
    this.#duties = duties
    this.#send = send
    this.#notify = notify
  }

  /** Of every node that has closed, or was silent for longer than its lease. */
  async recover(onProgress: (moved: number) => void = () => {}): Promise<Recovered> {
    const found = { leased: 0, running: 0, suspects: 0 }
    const stopping: boolean[] = []
    for (const { id } of await this.#reads.all<{ id: number }>(silentSql, this.#values())) {
      const node = await this.#reads.one<GoneNode>(declareSql, this.#values(id))
      if (!node) continue
      await this.#reads.all(fenceSql, { id })
      let count = 0
      for await (const orphans of this.#moveAll(node)) {
        count += orphans.length
        add(found, orphans, node)
        onProgress(found.leased + found.running)
      }
      if (count > 0) stopping.push(node.isStopping)
      const { pid, host, wasSilent } = node
      this.#notify({ type: 'nodeGone', node: { id, pid, host }, wasSilent, leases: count })
      await this.#reads.all(mergeCountsSql)
      await this.#duties.note('recovery')
    }
    return { ...found, wasStopping: stopping.length > 0 && stopping.every(Boolean) }
  }

  /** Leases of this node that were abandoned and have run out; whether there may be more. */
  async expire(): Promise<boolean> {
    const lapsed = await this.#reads.all<Orphan>(lapsedSql, this.#values())
    const error = leaseExpiredError
    if (lapsed.length > 0)
      await this.#send(
        expire(lapsed, () => error, false),
        false,
      )
    return lapsed.length === movedMax
  }

  /**
   * Removes the rows of nodes that are long gone and hold nothing. Such a process may still live, if it was only frozen: a writer without a
   * row can commit nothing, and is told that nobody knows what became of its last call.
   */
  async forget(): Promise<void> {
    await this.#reads.all(fenceAllSql)
    await this.#reads.all(mergeCountsSql)
    await this.#reads.all(forgetWritersSql, this.#values())
    await this.#reads.all(forgetNodesSql, this.#values())
  }

  async *#moveAll(node: GoneNode): AsyncGenerator<Orphan[]> {
    for (let after = 0; ; ) {
      const orphans = await this.#reads.all<Orphan>(orphansSql, { ...this.#values(node.id), after })
      if (orphans.length === 0) return
      after = orphans.at(-1)!.id
      const errorOf = ({ ran, crashes }: Orphan) => processEndedError(ran, crashes, node.ranTogether)
      const [moved] = await this.#send(node.isStopping ? release(orphans) : expire(orphans, errorOf, true), true)
      const taken = new Set(moved)
      yield moved === null ? orphans : orphans.filter(({ id }) => taken.has(id))
    }
  }

  #values(id = this.#node.id) {
    return { id, own: this.#node.id, given: this.#node.now() }
  }
}

function add(found: { leased: number; running: number; suspects: number }, orphans: readonly Orphan[], node: GoneNode) {
  const ran = orphans.filter((orphan) => orphan.ran)
  const counted = node.isStopping ? 0 : 1
  found.running += ran.length
  found.leased += orphans.length - ran.length
  found.suspects += ran.filter(({ crashes }) => crashes + counted >= suspectCrashes).length
}

/** What has lost its lease is due again in the same transaction. */
function expire(orphans: readonly Orphan[], errorOf: (orphan: Orphan) => StoredError, crashed: boolean): Change[] {
  const jobs = orphans.map((orphan) => ({ id: orphan.id, leaseToken: orphan.leaseToken, error: errorOf(orphan) }))
  return [
    { event: 'expire', jobs, crashed, cause: crashed ? recovery : null },
    { event: 'due', jobs: orphans.map(({ id }) => ({ id })) },
  ]
}

function release(orphans: readonly Orphan[]): Change[] {
  return [{ event: 'release', jobs: orphans.map(({ id, leaseToken }) => ({ id, leaseToken })), cause: recovery }]
}

/** While the server is away nobody can show itself: what counts is for how long others could, up to the last heartbeat of the node that judges. */
const isSilent = `(ended_at IS NOT NULL OR uptime_ms + lease_ms <= (SELECT own.uptime_ms FROM nodes AS own WHERE own.id = :own))`

const silentSql = `
  SELECT id FROM nodes WHERE id <> :id AND ${isSilent}
    AND (ended_at IS NULL OR EXISTS (SELECT 1 FROM jobs WHERE ${isHeld} AND node_id = nodes.id)) ORDER BY id`

/** It can open no writer after that. */
const declareSql = `
  UPDATE nodes SET ended_at = coalesce(ended_at, instant(:given::bigint)), declared_by = CASE WHEN ended_at IS NULL THEN :own ELSE declared_by END,
    ran_together = coalesce(ran_together, (SELECT count(*) FROM jobs WHERE ${isHeld} AND node_id = :id AND ${stateHasTag('executing')}))
  WHERE id = :id AND ${isSilent} RETURNING id, pid, host, declared_by IS NOT NULL AS "wasSilent", is_stopping AS "isStopping", ran_together AS "ranTogether"`

const fence = `UPDATE writers SET last_call = ${fencedCall('last_call')} WHERE last_call >= 0`
/** Nothing that its writers have begun can be committed after that. A statement of its own: one may have been opened while the row was locked. */
const fenceSql = `${fence} AND node_id = :id`

const orphan = `SELECT id, lease_token AS "leaseToken", crashes, ${stateHasTag('executing')} AS ran FROM jobs WHERE ${isHeld} AND node_id = :id`
const orphansSql = `${orphan} AND id > :after ORDER BY id LIMIT ${movedMax}`
const lapsedSql = `${orphan} AND lease_expires_at <= instant(:given::bigint) AND ${isUpdatable} ORDER BY id LIMIT ${movedMax}`

/** Who declared it dead may have ended before it fenced its writers. */
const fenceAllSql = `
  ${fence} AND NOT EXISTS (SELECT 1 FROM nodes WHERE nodes.id = node_id AND ended_at IS NULL)`

const isLongGone = `nodes.ended_at IS NOT NULL AND (nodes.ended_at + ${keptMs} <= instant(:given::bigint)
  OR nodes.id <= (SELECT id FROM nodes WHERE ended_at IS NOT NULL ORDER BY id DESC LIMIT 1 OFFSET ${keptMax}))`
const forgetWritersSql = `
  DELETE FROM writers WHERE id = ANY (ARRAY(
    SELECT writers.id FROM writers LEFT JOIN nodes ON nodes.id = node_id WHERE last_call < 0 AND (nodes.id IS NULL OR ${isLongGone})
    ORDER BY writers.id LIMIT ${forgottenMax} FOR UPDATE OF writers SKIP LOCKED))`
/** The one that began to serve last is named in explanations. */
const forgetNodesSql = `
  DELETE FROM nodes WHERE id = ANY (ARRAY(
    SELECT id FROM nodes WHERE ${isLongGone} AND id <> (SELECT coalesce(max(id), 0) FROM nodes WHERE serves)
      AND NOT EXISTS (SELECT 1 FROM writers WHERE node_id = nodes.id)
      AND NOT EXISTS (SELECT 1 FROM jobs WHERE ${isHeld} AND jobs.node_id = nodes.id)
    ORDER BY id LIMIT ${forgottenMax} FOR UPDATE SKIP LOCKED))`
