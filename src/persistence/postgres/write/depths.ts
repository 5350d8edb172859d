import { performance } from 'node:perf_hooks'
import type { AdmissionFacts } from '../../admission.ts'
import { CountingTime } from '../../counting-time.ts'
import type { IncomingJob } from '../../new-jobs.ts'
import { reserveInQueues } from '../../queue-limit.ts'
import { isParked, isReady, isTimed } from '../../sql/conditions.ts'
import { stateHasTag } from '../../sql/transitions.ts'
import type { Reads } from '../reads.ts'

/** How long a count of all that waits is believed, in ms, while it is far from the limit; and how far that is, of the limit. */
const believedMs = 200
const farShare = 0.9
/** See `CountingTime`. */
const countingMaxMs = 100

/** Where there is room for certain. */
export const unlimited = { depth: 0, depthMax: Number.POSITIVE_INFINITY, reserveInQueues: () => undefined }

interface Limits {
  readonly maxQueueDepth: number
  readonly maxDepthPerQueue?: number | undefined
}

/** How many jobs wait: by the kept counts, and of single queues once one may be full. */
export class QueueDepths {
  readonly #reads: Reads
  readonly #limits: Limits
  #total = 0
  #readAt = Number.NEGATIVE_INFINITY
  #queues = new Map<string, number>()
  readonly #time = new CountingTime(countingMaxMs)

  constructor(reads: Reads, limits: Limits) {
    this.#reads = reads
    this.#limits = limits
  }

  /** Whether room for so many jobs is certain without a look at the database. */
  hasRoom(count: number): boolean {
    const isFresh = performance.now() - this.#readAt < believedMs
    return isFresh && this.#total + count <= Math.min(this.#limits.maxQueueDepth * farShare, this.#perQueueMax)
  }

  /** So many jobs are on their way. */
  expect(count: number): void {
    this.#total += count
  }

  /** Counts anew. */
  async look(jobs: readonly IncomingJob[]): Promise<Pick<AdmissionFacts, 'depth' | 'depthMax' | 'reserveInQueues'>> {
    const waits = (column: string) => `(${stateHasTag('waiting', column)})::integer`
    const found = await this.#reads.one<{ total: string }>(
      `SELECT coalesce(sum(n * (${waits('to_state')} - ${waits('from_state')})), 0)::bigint AS total FROM edge_counts`,
    )
    this.#total = Number(found!.total)
    this.#readAt = performance.now()
    if (this.#total + jobs.length > this.#perQueueMax) await this.#count(new Set(jobs.map(({ queue }) => queue)))
    else this.#queues.clear()
    return {
      depth: this.#total,
      depthMax: this.#limits.maxQueueDepth,
      reserveInQueues: (coming) => reserveInQueues(coming, this.#perQueueMax, this.#queues),
    }
  }

  get #perQueueMax(): number {
    return this.#limits.maxDepthPerQueue ?? Number.POSITIVE_INFINITY
  }

  async #count(queues: ReadonlySet<string>): Promise<void> {
    const now = performance.now()
    this.#time.earn(now)
    if (this.#time.isSpent) return
    const rows = await this.#reads.all<{ queue: string; depth: number }>(countWaiting, { queues: [...queues] })
    this.#time.spend(performance.now() - now)
    this.#queues = new Map(rows.map(({ queue, depth }) => [queue, depth]))
  }
}

const countWaiting = `SELECT queue, (SELECT count(*) FROM jobs WHERE ${isReady} AND jobs.queue = named.queue)
  + (SELECT count(*) FROM jobs WHERE ${isParked} AND jobs.queue = named.queue)
  + (SELECT count(*) FROM jobs WHERE ${isTimed} AND jobs.queue = named.queue) AS depth
  FROM unnest(:queues::text[]) AS named (queue)`
