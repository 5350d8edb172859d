import { hasTag, isDead } from '../machines/edges.ts'
import { causeOf } from '../machines/events.ts'
import type { JobState } from '../machines/job.ts'
import { type IncomingJob, type KeyHolder, stateOf } from './new-jobs.ts'
import type { reserveInQueues } from './queue-limit.ts'
import type { EnqueuedJob, EnqueueResult } from './store.ts'
import { type ChangeRequest, mustWaitFor, stateAfter } from './unique-conflict.ts'

/** What the database says when calls are admitted. */
export interface AdmissionFacts {
  /** Jobs that wait in all queues, and how many may. */
  readonly depth: number
  readonly depthMax: number
  /** Reserves room in the queues of jobs; returns one that is full. */
  reserveInQueues(jobs: readonly IncomingJob[]): ReturnType<typeof reserveInQueues>
  /** The stored job that has a key, and the content that belongs to it. */
  keyed(key: string): { readonly job: EnqueuedJob; readonly content: string } | undefined
  /** The stored job that holds a unique key, and the one that waits for it. */
  holder(type: string, key: string): KeyHolder | undefined
  /** Rising. */
  nextId(): number
  /** Whether jobs can be changed that others hold the keys of. */
  readonly canAmend: boolean
}

/** A new job, and the answers that wait for its state. */
interface Admitted<Job> {
  readonly id: number
  readonly job: Job
  readonly answers: (Omit<EnqueuedJob, 'state'> & { state: JobState })[]
}

/** A job that holds a unique key, or waits for it, and what becomes of a request for that. */
interface Conflict<Job> {
  readonly user: Admitted<Job> | KeyHolder['job']
  readonly unique: 'returned' | 'replaced' | 'debounced'
  readonly hasBegun: boolean
  readonly createdAt: number | null
}

/** A dead job whose key a new one gets, and the cause of its cancellation, as its history keeps it. */
interface Replaced {
  readonly id: number
  /** If it has left this state meanwhile, it is not cancelled. */
  readonly onlyIn: JobState
  readonly cause: string
}

/**
 * Decides what becomes of calls that share a transaction, each whole or not at all. A known key gives its job, or a conflict if the content
 * is another; a key used earlier among the calls counts as known. The same holds for unique keys. A call that finds no room is refused.
 */
export class Admission<Job extends IncomingJob> {
  /** To be stored, by rising id. */
  readonly newJobs: Admitted<Job>[] = []
  /** For each call; complete when `setStates` was called. */
  readonly results: readonly EnqueueResult[]
  readonly #facts: AdmissionFacts
  /** Dead jobs whose keys new ones get. */
  readonly replaced: Replaced[] = []
  /** Jobs that are changed after the new ones were stored, in order. */
  readonly amendments: (ChangeRequest<Job> & { readonly answer: Admitted<Job>['answers'][number] })[] = []
  readonly #byKey = new Map<string, Admitted<Job>>()
  /** The jobs of these calls that hold unique keys, and those that wait behind others. */
  readonly #holders = new Map<string, Admitted<Job>>()
  readonly #nexts = new Map<string, Admitted<Job>>()

  constructor(calls: readonly (readonly Job[])[], facts: AdmissionFacts) {
    this.#facts = facts
    this.results = calls.map((jobs) => this.#admit(jobs))
  }

  /** Jobs that answer a key that was used again, each as often. */
  get replayed(): number[] {
    return this.results.flatMap((result) =>
      result.outcome === 'stored'
        ? result.jobs.flatMap(({ id, created, unique }) => (created || unique ? [] : [id]))
        : [],
    )
  }

  /** `now`: the instant at which the new jobs are stored. */
  setStates(now: number): void {
    for (const { job, answers } of this.newJobs) {
      const state = stateOf(job, now, job.unique?.behind !== undefined)
      for (const answer of answers) answer.state = state
    }
    for (const amendment of this.amendments) {
      const { answer } = amendment
      answer.state = stateAfter(amendment, answer.state, now)
    }
  }

  #admit(jobs: readonly Job[]): EnqueueResult {
    const { fresh, conflict } = this.#foresee(jobs)
    if (conflict) return conflict
    const full = fresh.length > 0 ? this.#findFull(fresh) : undefined
    return full ?? { outcome: 'stored', jobs: jobs.map((job) => this.#answer(job)) }
  }

  /** Which jobs of a call are new, or which of them has a key that belongs to other content, or to a job that refuses others. */
  #foresee(jobs: readonly Job[]): { fresh: readonly Job[]; conflict: EnqueueResult | null } {
    const own = new Map<string, string>()
    // Of keys that no job held, or no job waited for, until an earlier item.
    const ownUsers = new Set<string>()
    const fresh: Job[] = []
    for (const [index, job] of jobs.entries()) {
      const known = this.#contentOf(job, own)
      if (known) {
        if (known.content === job.idempotency!.content) continue
        return { fresh, conflict: { outcome: 'conflict', index, id: known.id } }
      }
      const name = job.unique ? uniqueName(job) : ''
      const user = this.#conflictOf(job)?.user ?? (ownUsers.has(name) ? null : undefined)
      if (user === undefined) {
        fresh.push(job)
        if (job.idempotency) own.set(job.idempotency.key, job.idempotency.content)
        if (job.unique) ownUsers.add(name)
      } else if (job.unique!.onConflict === 'refuse' || this.#isToReplace(job, user))
        return { fresh, conflict: { outcome: 'held', index, id: user?.id ?? null } }
    }
    return { fresh, conflict: null }
  }

  /** What its idempotency key belongs to; `own`: that of earlier jobs of the same call. */
  #contentOf({ idempotency }: Job, own: ReadonlyMap<string, string>) {
    if (!idempotency) return
    const sibling = this.#byKey.get(idempotency.key)
    const stored = sibling ? undefined : this.#keyed(idempotency)
    const content = own.get(idempotency.key) ?? sibling?.job.idempotency?.content ?? stored?.content
    return content === undefined ? undefined : { content, id: sibling?.id ?? stored?.job.id ?? null }
  }

  /** The stored job that has a key, unless it is dead and to be replaced. */
  #keyed({ key, replaceDead }: NonNullable<IncomingJob['idempotency']>) {
    const stored = this.#facts.keyed(key)
    return stored && replaceDead && isDead(stored.job.state) ? undefined : stored
  }

  /** Whether a request that replaces a dead job is kept out by that job itself: it holds the unique key for a time, also when it has ended. */
  #isToReplace({ idempotency }: Job, user: { readonly id: number } | null): boolean {
    return idempotency?.replaceDead === true && user !== null && this.#facts.keyed(idempotency.key)?.job.id === user.id
  }

  /** The job that answers a request for its unique key, and what becomes of that; undefined if a new one is to be stored. */
  #conflictOf(job: Job): Conflict<Job> | undefined {
    if (!job.unique) return
    const { onConflict } = job.unique
    const name = uniqueName(job)
    const stored = this.#holders.has(name) ? undefined : this.#facts.holder(job.type, job.unique.key)
    const holder = this.#holders.get(name) ?? stored?.job
    if (!holder) return
    const mayChange = onConflict !== 'return' && onConflict !== 'refuse'
    const change = onConflict === 'debounce' ? 'debounced' : 'replaced'
    const unique = mayChange && this.#facts.canAmend ? change : 'returned'
    const next = mayChange ? (this.#nexts.get(name) ?? stored?.next) : null
    if (next) return { user: next, unique, hasBegun: false, createdAt: 'createdAt' in next ? next.createdAt : null }
    if (mayChange && stored && mustWaitFor(stored, onConflict)) return
    const { hasBegun = false, createdAt = null } = stored ?? {}
    const isOver = 'state' in holder && hasTag(holder.state, 'ended')
    return { user: holder, unique: isOver ? 'returned' : unique, hasBegun, createdAt }
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
    if (sibling) return answerOf(sibling, { created: false })
    const stored = job.idempotency ? this.#keyed(job.idempotency) : undefined
    if (stored) return stored.job
    const conflict = this.#conflictOf(job)
    if (conflict) return this.#answerConflict(job, conflict)
    const admitted = this.#admitNew(job)
    if (key !== undefined) this.#byKey.set(key, admitted)
    const unique = admitted.job.unique?.behind === undefined ? 'stored' : 'blocked'
    const more = job.unique ? ({ created: true, unique } as const) : { created: true }
    const dead = job.idempotency?.replaceDead && this.#facts.keyed(job.idempotency.key)?.job
    if (!dead) return answerOf(admitted, more)
    this.replaced.push({ id: dead.id, onlyIn: dead.state, cause: causeOfReplacement(job.cause, admitted.id) })
    return answerOf(admitted, { ...more, replaced: dead.id })
  }

  #answerConflict(job: Job, { user, unique, hasBegun, createdAt }: Conflict<Job>): EnqueuedJob {
    const answer = answerOf(user, { created: false, unique })
    if (unique !== 'returned') this.amendments.push({ id: user.id, job, hasBegun, createdAt, answer })
    return answer
  }

  #admitNew(job: Job): Admitted<Job> {
    const id = this.#facts.nextId()
    const behind = job.unique ? this.#facts.holder(job.type, job.unique.key) : undefined
    const admitted = {
      id,
      job: behind ? { ...job, unique: { ...job.unique!, behind: behind.job.id } } : job,
      answers: [],
    }
    this.newJobs.push(admitted)
    if (job.unique) (behind ? this.#nexts : this.#holders).set(uniqueName(job), admitted)
    return admitted
  }
}

/** The state of a new job comes later. */
function answerOf(
  job: Admitted<IncomingJob> | Pick<EnqueuedJob, 'id' | 'state'>,
  more: Pick<EnqueuedJob, 'created' | 'unique' | 'replaced'>,
): Admitted<IncomingJob>['answers'][number] {
  const answer = { id: job.id, state: 'state' in job ? job.state : ('' as JobState), ...more }
  if ('answers' in job) job.answers.push(answer)
  return answer
}

function causeOfReplacement(cause: string | null, by: number): string {
  const note = `job ${by} has its idempotency key now`
  return JSON.stringify({ ...(cause === null ? causeOf('cancel') : JSON.parse(cause)), note })
}

/** No type has a blank. */
function uniqueName({ type, unique }: IncomingJob): string {
  return `${type} ${unique!.key}`
}
