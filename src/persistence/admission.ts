import { hasTag, isDead } from '../machines/edges.ts'
import { causeOf } from '../machines/events.ts'
import type { JobState } from '../machines/job.ts'
import { stateOf } from './new-jobs.ts'
import type { reserveInQueues } from './queue-limit.ts'
import type { EnqueuedJob, EnqueueResult, NewJobRow } from './store.ts'

/** What decides whether a job is stored, and in which state. */
export type IncomingJob = Pick<
  NewJobRow,
  'type' | 'queue' | 'idempotency' | 'unique' | 'runAt' | 'delayMs' | 'maxAttempts' | 'cause'
>

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
}

/** The `job` that holds a unique key, and the one that waits for it. `hasBegun`: it was claimed, or has run before. */
export interface KeyHolder {
  readonly job: Pick<EnqueuedJob, 'id' | 'state'>
  readonly hasBegun: boolean
  readonly next: Pick<EnqueuedJob, 'id' | 'state'> | null
}

/** A new job, and the answers that wait for its state. */
interface Admitted<Job> {
  readonly id: number
  readonly job: Job
  readonly answers: (Omit<EnqueuedJob, 'state'> & { state: JobState })[]
}

/** A dead job whose key a new one gets, and the cause of its cancellation, as its history keeps it. */
export interface Replaced {
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
      const user = this.#userOf(job) ?? (ownUsers.has(name) ? null : undefined)
      if (user === undefined) {
        fresh.push(job)
        if (job.idempotency) own.set(job.idempotency.key, job.idempotency.content)
        if (job.unique) ownUsers.add(name)
      } else if (job.unique!.onConflict === 'refuse')
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

  /** The job that answers a request for its unique key; undefined if a new one is to be stored. */
  #userOf(job: Job): Admitted<Job> | KeyHolder['job'] | undefined {
    if (!job.unique) return
    const name = uniqueName(job)
    const stored = this.#holders.has(name) ? undefined : this.#facts.holder(job.type, job.unique.key)
    const holder = this.#holders.get(name) ?? stored?.job
    if (job.unique.onConflict !== 'after') return holder
    return this.#nexts.get(name) ?? stored?.next ?? (stored && mustWaitFor(stored) ? undefined : holder)
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
    const user = this.#userOf(job)
    if (user) return answerOf(user, { created: false, unique: 'returned' })
    const admitted = this.#admitNew(job)
    if (key !== undefined) this.#byKey.set(key, admitted)
    const unique = admitted.job.unique?.behind === undefined ? 'stored' : 'blocked'
    const more = job.unique ? ({ created: true, unique } as const) : { created: true }
    const dead = job.idempotency?.replaceDead && this.#facts.keyed(job.idempotency.key)?.job
    if (!dead) return answerOf(admitted, more)
    this.replaced.push({ id: dead.id, onlyIn: dead.state, cause: causeOfReplacement(job.cause, admitted.id) })
    return answerOf(admitted, { ...more, replaced: dead.id })
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
): EnqueuedJob {
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

/** A job that has ended holds its key for a time, and nothing waits for that. */
function mustWaitFor({ job, hasBegun }: KeyHolder): boolean {
  return hasBegun && !hasTag(job.state, 'ended')
}
