import type { JobState } from '../../../machines/job.ts'
import type { EnqueuedJob, EnqueueResult, NewJobRow } from '../../store.ts'

/** A job that has an idempotency key, as it is stored. */
export interface KeyedJob {
  readonly id: number
  readonly state: JobState
  readonly content: string
}

/** What waits now, and how much may. */
export interface Depths {
  readonly total: number
  readonly max: number
  readonly perQueueMax: number
  /** Of the queues that may be full. */
  readonly queues: ReadonlyMap<string, number>
}

/** A new job, and the answers that wait for its state. */
export interface Admitted {
  readonly id: number
  readonly job: NewJobRow
  readonly answers: { id: number; state: JobState; created: boolean }[]
}

/** Which jobs of which calls are stored, and what each call is answered with then. */
export interface Admission {
  readonly newJobs: readonly Admitted[]
  readonly results: readonly EnqueueResult[]
}

/**
 * Decides what becomes of calls that share a transaction, each whole or not at all: a key that is known gives its job, with other content a
 * conflict, and what finds no room is refused. A key used earlier among the calls counts as used. `nextId`: gives ids that rise.
 */
export function admit(
  calls: readonly (readonly NewJobRow[])[],
  keyed: ReadonlyMap<string, KeyedJob>,
  depths: Depths,
  nextId: () => number,
): Admission {
  const batch = new Batch(keyed, depths, nextId)
  const results = calls.map((jobs) => batch.add(jobs))
  return { newJobs: batch.newJobs, results }
}

class Batch {
  readonly newJobs: Admitted[] = []
  readonly #byKey = new Map<string, Admitted>()
  readonly #stored: ReadonlyMap<string, KeyedJob>
  readonly #depths: Depths
  readonly #queues: Map<string, number>
  readonly #nextId: () => number
  #total: number

  constructor(stored: ReadonlyMap<string, KeyedJob>, depths: Depths, nextId: () => number) {
    this.#stored = stored
    this.#depths = depths
    this.#queues = new Map(depths.queues)
    this.#total = depths.total
    this.#nextId = nextId
  }

  add(jobs: readonly NewJobRow[]): EnqueueResult {
    const conflict = this.#findConflict(jobs)
    if (conflict) return conflict
    const full = this.#findFull(this.#newOf(jobs))
    return full ?? { outcome: 'stored', jobs: jobs.map((job) => this.#addOne(job)) }
  }

  #findConflict(jobs: readonly NewJobRow[]): EnqueueResult | undefined {
    const own = new Map<string, string>()
    for (const [index, { idempotency }] of jobs.entries()) {
      if (!idempotency) continue
      const { key, content } = idempotency
      const sibling = this.#byKey.get(key)
      const stored = this.#stored.get(key)
      const first = own.get(key) ?? sibling?.job.idempotency?.content ?? stored?.content
      if (first !== undefined && first !== content)
        return { outcome: 'conflict', index, id: sibling?.id ?? stored?.id ?? null }
      own.set(key, content)
    }
    return undefined
  }

  #newOf(jobs: readonly NewJobRow[]): NewJobRow[] {
    const own = new Set<string>()
    return jobs.filter(({ idempotency }) => {
      if (!idempotency) return true
      const { key } = idempotency
      const isKnown = own.has(key) || this.#byKey.has(key) || this.#stored.has(key)
      own.add(key)
      return !isKnown
    })
  }

  #findFull(fresh: readonly NewJobRow[]): EnqueueResult | undefined {
    if (fresh.length === 0) return undefined
    const depth = this.#total
    if (depth + fresh.length > this.#depths.max) return { outcome: 'full', queue: null, depth }
    const coming = new Map<string, number>()
    for (const { queue } of fresh) coming.set(queue, (coming.get(queue) ?? 0) + 1)
    for (const [queue, count] of coming) {
      const waiting = this.#queues.get(queue)
      if (waiting !== undefined && waiting + count > this.#depths.perQueueMax)
        return { outcome: 'full', queue, depth: waiting }
    }
    for (const [queue, count] of coming)
      if (this.#queues.has(queue)) this.#queues.set(queue, this.#queues.get(queue)! + count)
    this.#total += fresh.length
    return undefined
  }

  #addOne(job: NewJobRow): EnqueuedJob {
    const key = job.idempotency?.key
    const sibling = key === undefined ? undefined : this.#byKey.get(key)
    const stored = key === undefined ? undefined : this.#stored.get(key)
    if (stored) return { id: stored.id, state: stored.state, created: false }
    const admitted = sibling ?? { id: this.#nextId(), job, answers: [] }
    // Its state is filled in when it is stored: that depends on the instant.
    const answer = { id: admitted.id, state: '' as JobState, created: !sibling }
    admitted.answers.push(answer)
    if (sibling) return answer
    this.newJobs.push(admitted)
    if (key !== undefined) this.#byKey.set(key, admitted)
    return answer
  }
}
