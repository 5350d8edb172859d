import type { Lease, LeasedJob, LeaseEvent } from './lease.ts'
import type { Assigned, Slots } from './slots.ts'

/** How many parts the jobs are divided into under load: while the store commits the outcomes of one, the loop runs the other. */
const parts = 2
/** How often the dispatcher looks at how many slots came free, in ms. */
export const rateMs = 100
/** Jobs are prefetched for a tenth of those: each finds a slot within 10 ms. */
const prefetchShare = 0.1

/** A request for jobs: how many at most, and whether it waits until there is one. */
interface LeaseRequest {
  readonly limit: number
  readonly wait: boolean
}

/**
 * What the dispatcher does under load, without actors, timers or I/O:
 * - it **asks** the store for a job for each free slot (`ask`, `started`, `assign`);
 * - it **prefetches**: if slots come free fast, it asks for the jobs of those that come free next (`next`);
 * - it **gathers** outcomes, so that one commit takes many (`settled`, `isDue`, `beginGathering`, `takeCommit`, `committed`);
 * - it **measures**: it counts how many slots come free in `rateMs` (`beginMeasuring`, `measured`);
 * - it **gives back** prefetched jobs that find no slot in time, and all of them when it drains (`measured`, `stopLeasing`).
 *
 * Nothing runs before its `start` is committed; nothing is forgotten before its outcome is.
 */
export class Prefetch {
  readonly #slots: Slots
  /** Started on disk and not called, in the order in which they will be: longer than a moment only if no slot is free. */
  #next: LeasedJob[] = []
  /** How many jobs the store was asked for in requests that it has not answered. */
  #asked = 0
  /** The store's last answer was all that was asked for, so there may be more. */
  #hasMore = false
  #leasing = true

  #outcomes: LeaseEvent[] = []
  /** Commits under way. */
  #committing = 0
  #gathering = false

  /** How many slots came free in the last `rateMs`; and how many ever had by then. */
  #rate = 0
  #freedBefore = 0
  #measuring = false

  constructor(slots: Slots) {
    this.#slots = slots
  }

  /**
   * The next request to the store, for at most one part of the slots; its jobs count as asked for. It prefetches only beside outcomes,
   * whose commit the request joins. It waits only if the last answer left nothing, and then only for free slots, because a waiting request
   * cannot be taken back. Null if there is nothing to ask for.
   */
  ask(): LeaseRequest | null {
    if (!this.#leasing) return null
    // A prefetched job serves a slot that has come free since: else two would be leased for it, one of them whenever there is one.
    const unserved = this.#slots.freeCount - this.#next.length - this.#asked
    const ahead = this.#outcomes.length > 0 ? this.#prefetchMax : 0
    const limit = Math.min(unserved + ahead, this.#part)
    if (limit <= 0) return null
    this.#asked += limit
    return { limit, wait: !this.#hasMore }
  }

  /** The store has answered a request for `asked` jobs with these, leased and started on disk. */
  started(asked: number, jobs: readonly LeasedJob[]): void {
    this.#asked -= asked
    this.#hasMore = jobs.length === asked
    this.#next.push(...jobs)
    if (!this.#leasing) this.#giveBack(0)
  }

  /** Gives started jobs to the slots that are free: what their workers are to be told now. */
  assign() {
    const jobs = this.#next.splice(0, this.#slots.freeCount)
    return jobs.map((job) => ({ type: 'run' as const, assigned: this.#slots.assign(job), job }))
  }

  /** Jobs that are started on disk and wait for a slot, in the order in which they run. */
  get next(): readonly LeasedJob[] {
    return this.#next
  }

  /** How many jobs to have beyond the free slots: for those that come free in about 10 ms, by what was seen. */
  get #prefetchMax(): number {
    if (!this.#hasMore) return 0
    return Math.min(Math.floor(Math.max(this.#rate, this.#freed) * prefetchShare), this.#slots.count)
  }

  /** Outcomes that are worth a commit of their own before a turn ends, and jobs that one request asks for. */
  get #part(): number {
    return Math.ceil((this.#slots.count + this.#prefetchMax) / parts)
  }

  /** A worker has an outcome (null: none, the lease was lost); `ended` false: the slot stays taken. */
  settled(assigned: Assigned, event: LeaseEvent | null, ended: boolean): void {
    const isStuck = assigned.phase === 'stuck'
    // One that was given back has no outcome any more.
    if (event && !isStuck) this.#outcomes.push(event)
    if (ended) this.#slots.move(assigned, isStuck ? 'end' : 'settle')
    // Its attempt may give up what a drain has given back.
    else if (!isStuck) this.#slots.move(assigned, 'giveUp')
  }

  /**
   * Whether the outcomes at hand are committed before all of this turn's are there: no commit is under way, they are a part, or handlers are
   * to be called next, which may take long.
   */
  get isDue(): boolean {
    const isFirst = this.#committing === 0 && !this.#gathering
    const runsNext = this.#next.length > 0 && this.#slots.freeCount > 0
    return this.#outcomes.length >= (isFirst || runsNext ? 1 : this.#part)
  }

  /** Whether outcomes begin to gather now, to be committed at the end of this turn; false if they do already. */
  beginGathering(): boolean {
    if (this.#gathering) return false
    this.#gathering = true
    return true
  }

  /** The outcomes to commit next; null if there are none. */
  takeCommit(): LeaseEvent[] | null {
    this.#gathering = false
    if (this.#outcomes.length === 0) return null
    this.#committing++
    const events = this.#outcomes
    this.#outcomes = []
    return events
  }

  /** A commit is on disk. */
  committed(): void {
    this.#committing--
  }

  /** Whether `measured` is to be called `rateMs` from now; false if it will be already, or there is nothing to measure. */
  beginMeasuring(): boolean {
    if (this.#measuring || this.#rate + this.#freed + this.#next.length === 0) return false
    this.#measuring = true
    return true
  }

  /**
   * `rateMs` are over, or `tookMs` if the loop was late: gives back more of the next jobs than slots come free in `rateMs`, so that none waits
   * long behind long attempts.
   */
  measured(tookMs: number): void {
    this.#measuring = false
    this.#rate = Math.round((this.#freed * rateMs) / Math.max(tookMs, rateMs))
    this.#freedBefore = this.#slots.freedTotal
    this.#giveBack(this.#rate)
  }

  /** How many slots came free since the last measurement. */
  get #freed(): number {
    return this.#slots.freedTotal - this.#freedBefore
  }

  /** Stops leasing, and gives back the jobs that wait for a slot. */
  stopLeasing(): void {
    this.#leasing = false
    this.#giveBack(0)
  }

  /** Gives back all of the next jobs except the first `but`. */
  #giveBack(but: number): void {
    this.#outcomes.push(...this.#next.splice(but).map(release))
  }

  /** Gives back what still runs; its handlers are not waited for any more. */
  giveUpRunning(): void {
    for (const assigned of this.#slots.running()) {
      this.#outcomes.push(release(assigned.job))
      this.#slots.move(assigned, 'giveUp')
    }
  }

  /** Of leases that are gone those whose jobs hold a slot here, to be aborted; those of prefetched jobs are forgotten. */
  lost(leases: readonly Lease[]): Assigned[] {
    const nameOf = ({ id, leaseToken }: Lease) => `${id} ${leaseToken}`
    const gone = new Set(leases.map(nameOf))
    this.#next = this.#next.filter((job) => !gone.has(nameOf(job)))
    return this.#slots.assigned().filter(({ job }) => gone.has(nameOf(job)))
  }

  /** Nothing leased, about to be leased, running or to be committed is left; stuck handlers do not count. */
  get idle(): boolean {
    const committed = this.#committing === 0 && this.#outcomes.length === 0
    const leased = this.#next.length + this.#asked
    return committed && leased === 0 && this.#slots.noneRuns
  }
}

function release({ id, leaseToken }: Lease): LeaseEvent {
  return { id, leaseToken, event: 'release' }
}
