import type { JobState } from '../machines/job.ts'
import { stateOf } from './new-jobs.ts'
import type { reserveInQueues } from './queue-limit.ts'
import type { EnqueuedJob, EnqueueResult, NewJobRow } from './store.ts'

/** What decides whether a job is stored, and in which state. */
export type IncomingJob = Pick<NewJobRow, 'queue' | 'idempotency' | 'runAt' | 'delayMs' | 'maxAttempts'>

/** What the database says when calls are admitted. */
export interface AdmissionFacts {
  /** Jobs that wait in all queues, and how many may. */
  readonly depth: number
  readonly depthMax: number
  /** Reserves room in the queues of jobs; returns one that is full. */
  reserveInQueues(jobs: readonly IncomingJob[]): ReturnType<typeof reserveInQueues>
  /** The stored job that has a key, and the content that belongs to it. */
  keyed(key: string): { readonly job: EnqueuedJob; readonly content: string } | undefined
  /** Rising. */
  nextId(): number
}

/** A new job, and the answers that wait for its state. */
interface Admitted<Job> {
  readonly id: number
  readonly job: Job
  readonly answers: { id: number; state: JobState; created: boolean }[]
}

/**
 * Decides what becomes of calls that share a transaction, each whole or not at all. A known key gives its job, or a conflict if the content
 * is another; a key used earlier among the calls counts as known. A call that finds no room is refused.
 */
export class Admission<Job extends IncomingJob> {
  /** To be stored, by rising id. */
  readonly newJobs: Admitted<Job>[] = []
  /** For each call; complete when `setStates` was called. */
  readonly results: readonly EnqueueResult[]
  readonly #facts: AdmissionFacts
  readonly #byKey = new Map<string, Admitted<Job>>()

  constructor(calls: readonly (readonly Job[])[], facts: AdmissionFacts) {
    this.#facts = facts
    this.results = calls.map((jobs) => this.#admit(jobs))
  }

  /** Jobs that answer a key that was used again, each as often. */
  get replayed(): number[] {
    return this.results.flatMap((result) =>
      result.outcome === 'stored' ? result.jobs.flatMap(({ id, created }) => (created ? [] : [id])) : [],
    )
  }

  /** `now`: the instant at which the new jobs are stored. */
  setStates(now: number): void {
    for (const { job, answers } of this.newJobs) {
      const state = stateOf(job, now)
      for (const answer of answers) answer.state = state
    }
  }

  #admit(jobs: readonly Job[]): EnqueueResult {
    const { fresh, conflict } = this.#foresee(jobs)
    if (conflict) return conflict
    const full = fresh.length > 0 ? this.#findFull(fresh) : undefined
    return full ?? { outcome: 'stored', jobs: jobs.map((job) => this.#answer(job)) }
  }

  /** Which jobs of a call are new, or which of them has a key that belongs to other content. */
  #foresee(jobs: readonly Job[]): { fresh: readonly Job[]; conflict: EnqueueResult | null } {
    const own = new Map<string, string>()
    const fresh: Job[] = []
    for (const [index, job] of jobs.entries()) {
      if (!job.idempotency) {
        fresh.push(job)
        continue
      }
      const { key, content } = job.idempotency
      const sibling = this.#byKey.get(key)
      const stored = sibling ? undefined : this.#facts.keyed(key)
      const first = own.get(key) ?? sibling?.job.idempotency?.content ?? stored?.content
      if (first === undefined) {
        fresh.push(job)
        own.set(key, content)
      } else if (first !== content) {
        const id = sibling?.id ?? stored?.job.id ?? null
        return { fresh, conflict: { outcome: 'conflict', index, id } }
      }
    }
    return { fresh, conflict: null }
  }

  #findFull(fresh: readonly Job[]): EnqueueResult | undefined {
    const { depth, depthMax, reserveInQueues } = this.#facts
    const waiting = depth + this.newJobs.length
    if (waiting + fresh.length > depthMax) return { outcome: 'full', queue: null, depth: waiting }
    const full = reserveInQueues(fresh)
    return full && { outcome: 'full', ...full }
  }

  #answer(job: Job): EnqueuedJob {
    const key = job.idempotency?.key
    const sibling = key === undefined ? undefined : this.#byKey.get(key)
    const stored = key === undefined || sibling ? undefined : this.#facts.keyed(key)
    if (stored) return stored.job
    const admitted = sibling ?? { id: this.#facts.nextId(), job, answers: [] }
    const answer = { id: admitted.id, state: '' as JobState, created: !sibling }
    admitted.answers.push(answer)
    if (sibling) return answer
    this.newJobs.push(admitted)
    if (key !== undefined) this.#byKey.set(key, admitted)
    return answer
  }
}
