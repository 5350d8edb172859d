import { InvalidInputError, UnavailableError } from '../../../errors.ts'
import type { TransactionClient } from '../../../job/client.ts'
import { causeOf } from '../../../machines/events.ts'
import { Admission, type AdmissionFacts } from '../../admission.ts'
import type { IncomingJob } from '../../new-jobs.ts'
import type { EnqueuedJob, EnqueueResult, Lease, LeaseEvent, NewJobRow } from '../../store.ts'
import type { Epochs } from '../epochs.ts'
import { eventsOf } from '../event-runs.ts'
import type { OwnNode } from '../nodes.ts'
import type { Reads } from '../reads.ts'
import { holderIn, uniquesOf } from '../unique-keys.ts'
import { type QueueDepths, unlimited } from '../write/depths.ts'
import { JobIds } from '../write/job-ids.ts'
import { ofNewJobs } from '../write/step.ts'
import { Clients } from './client.ts'

/** How often a call tries to store its jobs; after each failure it knows at least one key more that others have stored in between. */
const keyTriesMax = 20

interface Parts {
  readonly reads: Reads
  readonly node: OwnNode
  readonly schema: string
  readonly depths: QueueDepths
  readonly epochs: Epochs
}

/** The jobs with some keys, and those that hold unique keys, as a transaction sees them; `isOwn`: it has stored them itself. */
interface Look {
  readonly outcome: 'seen'
  readonly transaction: number
  readonly keyed: readonly (Omit<EnqueuedJob, 'created'> & {
    readonly key: string
    readonly content: string
    readonly isOwn: boolean
  })[]
  readonly holders: readonly (Parameters<typeof holderIn>[0][number] & { readonly isOwn: boolean })[]
}

/** What is known before jobs are stored: the room for them, and their ids. */
type Room = Pick<AdmissionFacts, 'depth' | 'depthMax' | 'reserveInQueues' | 'nextId'>

type EnqueueAnswer =
  | { readonly outcome: 'stored'; readonly now: number }
  | { readonly outcome: 'key used' }
  | { readonly outcome: 'too many'; readonly max: number; readonly stored: number }

/** What is done in transactions of users, on their own connections. */
export class Transactions {
  readonly #parts: Parts
  readonly #clients: Clients
  /** Not those of the writers, who count on a reserve. */
  readonly #ids = new JobIds()

  constructor(parts: Parts) {
    this.#parts = parts
    this.#clients = new Clients(parts.reads, parts.schema)
  }

  /**
   * Stores the jobs of each call, all or none of them, in a transaction of the client, which is checked. `room`: the client is of this store;
   * what it needs to know was prepared before its transaction began.
   */
  async enqueue(
    given: unknown,
    calls: readonly (readonly NewJobRow[])[],
    room?: Room,
  ): Promise<readonly EnqueueResult[]> {
    const client = room ? (given as TransactionClient) : await this.#clients.check(given)
    const jobs = calls.flat()
    const keys = jobs.flatMap(({ idempotency }) => idempotency?.key ?? [])
    const uniques = uniquesOf(jobs)
    assertNoChanges(jobs)
    const { depths, node } = this.#parts
    for (let tries = 1; ; tries++) {
      const known = room ?? (await this.prepare(jobs))
      const { transaction, keyed, holders } = await this.#look(client, { keys, uniques, now: node.now() })
      const stored = new Map(
        keyed.map(({ key, content, isOwn: _, ...job }) => [key, { job: { ...job, created: false }, content }]),
      )
      // One that may begin before the caller commits would not see what is committed with this.
      const holder = holderIn(holders.map(({ isOwn, ...holder }) => ({ ...holder, hasBegun: !isOwn })))
      const facts = { ...known, keyed: (key: string) => stored.get(key), holder, canAmend: false }
      const admission = new Admission(calls, facts)
      const { newJobs } = admission
      const request = { transaction, now: node.now(), isKeyed: keys.length + uniques.length > 0, ...ofNewJobs(newJobs) }
      // Also if there is nothing to store: whether this is a transaction, the second call shows.
      const answer = (await this.#clients.call(client, 'enqueue', request)) as EnqueueAnswer
      if (answer.outcome === 'key used' && !room && tries < keyTriesMax) continue
      const { now } = toStored(answer)
      depths.expect(newJobs.length)
      admission.setStates(now)
      const own = new Set([...newJobs, ...[...keyed, ...holders].filter(({ isOwn }) => isOwn)].map(({ id }) => id))
      return room ? admission.results : admission.results.map((result) => markUncommitted(result, own))
    }
  }

  /** The room that there is for jobs, and their ids: known before a transaction, since it needs another connection. */
  async prepare(jobs: readonly IncomingJob[]): Promise<Room> {
    const { reads, depths } = this.#parts
    const room = depths.hasRoom(jobs.length) ? unlimited : await depths.look(jobs)
    while (!this.#ids.has(jobs.length)) await this.#ids.reserve(reads, jobs.length)
    const ids = jobs.map(() => this.#ids.next()).values()
    return { ...room, nextId: () => ids.next().value! }
  }

  /** Notes that the job has succeeded if the transaction commits. Rejects with `LeaseLostError` if the lease is lost. */
  async complete(given: unknown, event: LeaseEvent): Promise<void> {
    const client = await this.#clients.check(given)
    const { transaction } = await this.#look(client, { keys: [], uniques: [] })
    const { id, leaseToken, note, result = null } = event
    const cause = note === undefined ? null : JSON.stringify({ ...causeOf(event.event), note })
    const request = { transaction, id, leaseToken, cause, result, now: this.#parts.node.now() }
    await this.#clients.call(client, 'complete', request)
  }

  /** The server may have been replaced by a standby since a node was there last; then an epoch begins first, which an old snapshot does not see. */
  async #look(client: TransactionClient, asked: object): Promise<Look> {
    for (let tries = 1; tries <= 2; tries++) {
      const seen = (await this.#clients.call(client, 'look', asked)) as Look | { outcome: 'moved' }
      if (seen.outcome === 'seen') return seen
      await this.#parts.epochs.look()
    }
    throw new UnavailableError(
      'the server has been replaced by another, and nothing of this call was stored; roll back, and try again in another transaction',
    )
  }

  /** Whether the lease ended by a transaction that completed its job: its token is the number of its first event, of the start the next. */
  async hasCompleted({ id, leaseToken }: Lease): Promise<boolean> {
    const sql = `SELECT 1 AS one FROM ${eventsOf(':id::bigint')} WHERE seq = :leaseToken + 2 AND event = 'succeed'`
    return (await this.#parts.reads.one(sql, { id, leaseToken })) !== undefined
  }
}

/** A changed job would stay locked for the nodes until the transaction ends. */
function assertNoChanges(jobs: readonly Pick<NewJobRow, 'unique'>[]): void {
  const isChange = ({ unique }: Pick<NewJobRow, 'unique'>) =>
    unique?.onConflict === 'replace' || unique?.onConflict === 'debounce'
  if (!jobs.some(isChange)) return
  const message =
    'replace and debounce change a job that others may run, which a transaction of yours cannot: use after, or enqueue without a client'
  throw new InvalidInputError([{ path: 'unique.onConflict', message }])
}

function markUncommitted(result: EnqueueResult, own: ReadonlySet<number>): EnqueueResult {
  if (result.outcome !== 'stored') return result
  return { outcome: 'stored', jobs: result.jobs.map((job) => (own.has(job.id) ? { ...job, committed: false } : job)) }
}

/** Throws the error that says why nothing was stored. */
function toStored(answer: EnqueueAnswer): Extract<EnqueueAnswer, { outcome: 'stored' }> {
  switch (answer.outcome) {
    case 'stored':
      return answer
    case 'key used':
      throw new UnavailableError(
        'other callers store jobs with the same keys now, and nothing of this call was stored; try again, in this transaction or another',
      )
    case 'too many': {
      const message = `a transaction may store ${answer.max} jobs, and this one has stored ${answer.stored}: begin another, or enqueue without a client`
      throw new InvalidInputError([{ path: '', message }])
    }
  }
}
