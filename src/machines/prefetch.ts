import type { Lease, LeasedJob, LeaseEvent, PrefetchLimits } from './lease.ts'
import type { Assigned, Slots } from './slots.ts'

/** How many parts the jobs are divided into under load: while the store commits the outcomes of one part, the loop runs the other. */
const parts = 2
/** How often the dispatcher measures how many slots became free, in ms. */
export const rateMs = 100

/** A request for jobs: the most to return, and whether to wait until there is one. */
interface LeaseRequest {
  readonly limit: number
  readonly wait: boolean
}

/**
 * What the dispatcher does under load, without actors, timers or I/O:
 * - it **asks** the store for a job for each free slot (`ask`, `started`, `assign`);
 * - it **prefetches**: if slots become free quickly, it also asks for jobs for those that become free next (`next`);
 * - it **gathers** outcomes, so that one commit takes many (`settled`, `isDue`, `beginGathering`, `takeCommit`, `committed`);
 * - it **measures** how many slots become free in `rateMs` (`beginMeasuring`, `measured`);
 * - it **gives back** prefetched jobs that find no slot in time, and all of them when it drains (`measured`, `stopLeasing`).
 *
 * Nothing runs before its `start` is committed; nothing is forgotten before its outcome is.
 */
export class Prefetch {
  readonly #slots: Slots
  readonly #limits: PrefetchLimits
  /** Jobs that are started on disk but not yet called, in order. They stay longer than a moment only if no slot is free. */
  #next: LeasedJob[] = []
  /** How many jobs the store was asked for in unanswered requests. */
  #asked = 0
  /** Whether the store's last answer had as many jobs as requested, so that there may be more. */
  #hasMore = false
  #leasing = true

  #outcomes: LeaseEvent[] = []
  /** The outcomes of each commit in progress, in the order in which the store answers. */
  readonly #committing: (readonly LeaseEvent[])[] = []
  #gathering = false

  /** How many slots became free in the last `rateMs`, and how many ever had by then. */
  #rate = 0
  #freedBefore = 0
  #measuring = false

  constructor(slots: Slots, limits: PrefetchLimits) {
    this.#slots = slots
    this.#limits = limits
  }

  /**
   * The next request to the store, for at most one part of the slots; its jobs count as asked for. It prefetches only together with
   * outcomes, whose commit the request joins. It waits only if the last answer left nothing, and then only for free slots, because a
   * waiting request cannot be taken back. Null if there is nothing to ask for.
   */
  ask(): LeaseRequest | null {
    if (!this.#leasing) return null
    // A prefetched job serves a slot that has become free since then; otherwise two jobs would be leased for it.
    const unserved = this.#slots.freeCount - this.#next.length - this.#asked
    const ahead = this.#outcomes.length > 0 ? this.#prefetchMax : 0
    const limit = Math.min(unserved + ahead, this.#part)
    if (limit <= 0) return null
    this.#asked += limit
    return { limit, wait: !this.#hasMore }
  }

  /** The answer to a request for `asked` jobs: these are leased and started on disk. */
  started(asked: number, jobs: readonly LeasedJob[]): void {
    this.#asked -= asked
    this.#hasMore = jobs.length === asked
    this.#next.push(...jobs)
    if (!this.#leasing) this.#giveBack(0)
  }

  /** Assigns started jobs to free slots; returns what to send to their workers. */
  assign() {
    const jobs = this.#next.splice(0, this.#slots.freeCount)
    return jobs.map((job) => ({ type: 'run' as const, assigned: this.#slots.assign(job), job }))
  }

  /** Jobs that are started on disk and wait for a slot, in the order in which they run. */
  get next(): readonly LeasedJob[] {
    return this.#next
  }

  /** How many jobs to request beyond the free slots: enough for those that become free within `withinMs`, at the measured rate. */
  get #prefetchMax(): number {
    if (!this.#hasMore) return 0
    const { withinMs, mostAtLeast } = this.#limits
    const coming = Math.floor((Math.max(this.#rate, this.#freed) * withinMs) / rateMs)
    return Math.min(coming, Math.max(this.#slots.count, mostAtLeast))
  }

  /** How many outcomes are worth a separate commit before a turn ends, and how many jobs one request asks for. */
  get #part(): number {
    return Math.ceil((this.#slots.count + this.#prefetchMax) / parts)
  }

  /** A worker has an outcome (null: none, because the lease was lost). If `ended` is false, the slot stays taken. */
  settled(assigned: Assigned, event: LeaseEvent | null, ended: boolean): void {
    const isStuck = assigned.phase === 'stuck'
    // A job that was given back has no outcome any more.
    if (event && !isStuck) this.#outcomes.push(event)
    if (ended) this.#slots.move(assigned, isStuck ? 'end' : 'settle')
    // An attempt may give up a job that a drain has already given back.
    else if (!isStuck) this.#slots.move(assigned, 'giveUp')
  }

  /**
   * Whether to commit the outcomes at hand before this turn has ended: if no commit is in progress, if they make a part, or if handlers,
   * which may take long, are called next.
   */
  get isDue(): boolean {
    const isFirst = this.#committing.length === 0 && !this.#gathering
    const runsNext = this.#next.length > 0 && this.#slots.freeCount > 0
    return this.#outcomes.length >= (isFirst || runsNext ? 1 : this.#part)
  }

  /** Whether to start gathering outcomes, to be committed at the end of this turn; false if gathering has started. */
  beginGathering(): boolean {
    if (this.#gathering) return false
    this.#gathering = true
    return true
  }

  /** The outcomes to commit next; null if there are none. */
  takeCommit(): LeaseEvent[] | null {
    this.#gathering = false
    if (this.#outcomes.length === 0) return null
    const events = this.#outcomes
    this.#committing.push(events)
    this.#outcomes = []
    return events
  }

  /** The oldest commit is on disk. */
  committed(): void {
    this.#committing.shift()
  }

  /** Outcomes that are not known to be on disk. */
  get uncommitted(): readonly LeaseEvent[] {
    return [...this.#committing.flat(), ...this.#outcomes]
  }

  /** Whether to call `measured` in `rateMs`; false if a call is already planned, or there is nothing to measure. */
  beginMeasuring(): boolean {
    if (this.#measuring || this.#rate + this.#freed + this.#next.length === 0) return false
    this.#measuring = true
    return true
  }

  /**
   * `rateMs` have passed, or `tookMs` if the loop was late. Gives back the next jobs beyond the number of slots that become free in
   * `rateMs`, so that none waits long behind long attempts.
   */
  measured(tookMs: number): void {
    this.#measuring = false
    this.#rate = Math.round((this.#freed * rateMs) / Math.max(tookMs, rateMs))
    this.#freedBefore = this.#slots.freedTotal
    this.#giveBack(this.#rate)
  }

  /** How many slots became free since the last measurement. */
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

  /** Gives back what still runs, and no longer waits for its handlers. */
  giveUpRunning(): void {
    for (const assigned of this.#slots.running()) {
      this.#outcomes.push(release(assigned.job))
      this.#slots.move(assigned, 'giveUp')
    }
  }

  /** Returns the jobs that hold a slot here, for leases that are gone, to be aborted. Forgets the prefetched ones. */
  lost(leases: readonly Lease[]): Assigned[] {
    const nameOf = ({ id, leaseToken }: Lease) => `${id} ${leaseToken}`
    const gone = new Set(leases.map(nameOf))
    this.#next = this.#next.filter((job) => !gone.has(nameOf(job)))
    return this.#slots.assigned().filter(({ job }) => gone.has(nameOf(job)))
  }

  /** Whether no job is leased, about to be leased, running or to be committed; stuck handlers do not count. */
  get idle(): boolean {
    const committed = this.#committing.length === 0 && this.#outcomes.length === 0
    const leased = this.#next.length + this.#asked
    return committed && leased === 0 && this.#slots.noneRuns
  }
}

function release({ id, leaseToken }: Lease): LeaseEvent {
  return { id, leaseToken, event: 'release' }
}
