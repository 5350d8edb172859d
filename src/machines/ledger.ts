import type { Lease, LeasedJob, LeaseEvent } from './lease.ts'
import { nextPhase, type SlotEventType } from './slot.ts'
import type { Assigned } from './worker.ts'

/** Into which jobs are divided under load: while the store commits what one part has done, the loop runs the other. */
const parts = 2
/** How often it is looked at how many slots came free, in ms. */
export const paceMs = 100
/** Jobs are leased ahead for a tenth of those: each finds a slot within 10 ms. */
const aheadShare = 0.1

/** For how many jobs the store is asked, and whether it waits until there is one. */
export interface Room {
  readonly room: number
  readonly wait: boolean
}

/**
 * The dispatcher's books: which slots are free, which jobs run or are next, what is to be committed. Pure accounting, without actors or I/O. A
 * slot moves as its machine says and in no other way. Nothing runs before its `start` is committed; nothing is forgotten before its outcome is.
 */
export class Ledger {
  /** Whose each slot is. */
  readonly #workers: readonly number[]
  /**
   * What holds each slot; null where it is free. No Map by job: V8's leaves its old tables behind, and what they held outlives collections of
   * the young generation with them.
   */
  readonly #assigned: (Assigned | null)[]
  readonly #free: number[]
  #outcomes: LeaseEvent[] = []
  /** Started on disk and not called, in the order in which they will be: more than a moment only where no slot is free. */
  #next: LeasedJob[] = []
  /** For how many the store was asked, and has not answered. */
  #asked = 0
  /** The store's last answer was all that was asked for, so there may be more. */
  #hasMore = false
  /** Slots that come free in `paceMs`, as it was seen last; and those that have since. */
  #pace = 0
  #freed = 0
  #pacing = false
  #leasing = true
  /** Commits under way. */
  #committing = 0
  #gathering = false
  #stuckCount = 0

  /** `slots`: how many attempts each worker makes at once. */
  constructor(slots: readonly number[]) {
    this.#workers = slots.flatMap((n, worker) => new Array<number>(n).fill(worker))
    this.#assigned = this.#workers.map(() => null)
    this.#free = [...this.#workers.keys()].reverse()
  }

  /**
   * For how many jobs to ask the store next, at most one part; they count as asked for. Ahead only beside outcomes, whose commit they join.
   * It waits only where the last answer left nothing, and then for free slots alone: what waits cannot be taken back. Null where there is no
   * room left to ask for.
   */
  takeRoom(): Room | null {
    if (!this.#leasing) return null
    // What was asked ahead serves a slot that has come free since: else two would be leased for it, one of them whenever there is one.
    const unserved = this.#free.length - this.#next.length - this.#asked
    const ahead = this.#outcomes.length > 0 ? this.#aheadMax : 0
    const room = Math.min(unserved + ahead, this.#part)
    if (room <= 0) return null
    this.#asked += room
    return { room, wait: !this.#hasMore }
  }

  /** The store has answered a request for `asked` jobs with these, leased and started on disk. */
  started(asked: number, jobs: readonly LeasedJob[]): void {
    this.#asked -= asked
    this.#hasMore = jobs.length === asked
    this.#next.push(...jobs)
    if (!this.#leasing) this.#giveBackNext(0)
  }

  /** Gives started jobs to the slots that are free, to be run now. */
  assign(): Assigned[] {
    return this.#next.splice(0, this.#free.length).map((job) => {
      const slot = this.#free.pop()!
      const assigned: Assigned = { job, worker: this.#workers[slot]!, slot, phase: 'free', attempt: null }
      this.#move(assigned, 'assign')
      return assigned
    })
  }

  /** Leases no more, and gives back what waits for a slot. */
  stopLeasing(): void {
    this.#leasing = false
    this.#giveBackNext(0)
  }

  /** Whether `paced` is to be called `paceMs` from now; false where it will be already, or there is no pace to be followed. */
  beginPacing(): boolean {
    if (this.#pacing || this.#pace + this.#freed + this.#next.length === 0) return false
    this.#pacing = true
    return true
  }

  /**
   * `paceMs` are over, or `tookMs` where the loop was late: gives back more of the next jobs than slots come free in `paceMs`, so that none waits
   * long behind long attempts.
   */
  paced(tookMs: number): void {
    this.#pacing = false
    this.#pace = Math.round((this.#freed * paceMs) / Math.max(tookMs, paceMs))
    this.#freed = 0
    this.#giveBackNext(this.#pace)
  }

  /** The outcomes to commit next; null where there are none. */
  takeCommit(): LeaseEvent[] | null {
    this.#gathering = false
    if (this.#outcomes.length === 0) return null
    this.#committing++
    const events = this.#outcomes
    this.#outcomes = []
    return events
  }

  /**
   * Whether the outcomes at hand go to the store before all of this turn's are there: it has none to commit, they are a part, or handlers are
   * to be called next, which may take long.
   */
  get isDue(): boolean {
    const isFirst = this.#committing === 0 && !this.#gathering
    const runsNext = this.#next.length > 0 && this.#free.length > 0
    return this.#outcomes.length >= (isFirst || runsNext ? 1 : this.#part)
  }

  /** Whether outcomes begin to gather now, to be committed at the end of this turn; false where they do already. */
  beginGathering(): boolean {
    if (this.#gathering) return false
    this.#gathering = true
    return true
  }

  /** A commit is on disk. */
  committed(): void {
    this.#committing--
  }

  /** A worker has an outcome (null: none, the lease was lost); `ended` false: the slot stays taken. */
  settled(assigned: Assigned, event: LeaseEvent | null, ended: boolean): void {
    const isStuck = assigned.phase === 'stuck'
    // One that was given back has no outcome any more.
    if (event && !isStuck) this.#outcomes.push(event)
    if (ended) this.#move(assigned, isStuck ? 'end' : 'settle')
    // Its attempt may give up what a drain has given back.
    else if (!isStuck) this.#move(assigned, 'giveUp')
  }

  /** A stuck handler has ended after all. */
  ended(assigned: Assigned): void {
    this.#move(assigned, 'end')
  }

  /** Of leases that are gone those that are held here, to be aborted. */
  lost(leases: readonly Lease[]): Assigned[] {
    const nameOf = ({ id, leaseToken }: Lease) => `${id} ${leaseToken}`
    const gone = new Set(leases.map(nameOf))
    this.#next = this.#next.filter((job) => !gone.has(nameOf(job)))
    return this.assigned().filter(({ job }) => gone.has(nameOf(job)))
  }

  /** Every attempt that runs, in the order of the slots. */
  running(): Assigned[] {
    return this.assigned().filter(({ phase }) => phase === 'running')
  }

  /** Jobs whose handlers go on after they were given up. */
  stuck(): Assigned[] {
    return this.assigned().filter(({ phase }) => phase === 'stuck')
  }

  /** No slot is left that could ever run a job. */
  get allStuck(): boolean {
    return this.#stuckCount === this.slotCount
  }

  /** Gives back what still runs; its handlers are not waited for any more. */
  giveUpRunning(): void {
    for (const assigned of this.running()) {
      this.#outcomes.push(release(assigned.job))
      this.#move(assigned, 'giveUp')
    }
  }

  /** Nothing leased, about to be leased, running or to be committed is left; stuck handlers do not count. */
  get idle(): boolean {
    const committed = this.#committing === 0 && this.#outcomes.length === 0
    const leased = this.#next.length + this.#asked
    return committed && leased === 0 && this.#stuckCount === this.activeCount
  }

  /** Attempts that hold a slot, stuck ones included. */
  get activeCount(): number {
    return this.slotCount - this.#free.length
  }

  /** Jobs that are started on disk and wait for a slot, in the order in which they run. */
  get next(): readonly LeasedJob[] {
    return this.#next
  }

  /** Every job handed out that holds a slot, in the order of the slots. */
  assigned(): Assigned[] {
    return this.#assigned.filter((each) => each !== null)
  }

  /** Of the attempts that hold a slot, in ms; 0 where none does. */
  get longestTimeoutMs(): number {
    return this.assigned().reduce((longest, { attempt }) => Math.max(longest, attempt?.timeoutMs ?? 0), 0)
  }

  /** Attempts that can be made at once. */
  get slotCount(): number {
    return this.#workers.length
  }

  /** For how many slots beyond those that are free the store may be asked: those that come free in about 10 ms, by what was seen. */
  get #aheadMax(): number {
    if (!this.#hasMore) return 0
    return Math.min(Math.floor(Math.max(this.#pace, this.#freed) * aheadShare), this.slotCount)
  }

  /** Outcomes that are worth a message of their own before a turn ends, and jobs that are asked for at once. */
  get #part(): number {
    return Math.ceil((this.slotCount + this.#aheadMax) / parts)
  }

  /** All of the next jobs `but` the first so many. */
  #giveBackNext(but: number): void {
    this.#outcomes.push(...this.#next.splice(but).map(release))
  }

  /** The one way in which a slot changes: by a move of its machine, the books with it. */
  #move(assigned: Assigned, event: SlotEventType): void {
    const from = assigned.phase
    const to = nextPhase(from, event)
    assigned.phase = to
    if (from === 'free') this.#assigned[assigned.slot] = assigned
    if (from === 'stuck') this.#stuckCount--
    if (to === 'stuck') this.#stuckCount++
    if (to !== 'free') return
    this.#assigned[assigned.slot] = null
    this.#freed++
    this.#free.push(assigned.slot)
  }
}

function release({ id, leaseToken }: Lease): LeaseEvent {
  return { id, leaseToken, event: 'release' }
}
