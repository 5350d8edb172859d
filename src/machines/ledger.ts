import type { Lease, LeasedJob, LeaseEvent } from './lease.ts'
import { nextPhase, type SlotEventType } from './slot.ts'
import type { Assigned } from './worker.ts'

/** Into which the slots are divided under load: while the store commits what one part has done, the loop runs the other. */
const parts = 2

/**
 * The dispatcher's books: which slots are free, which jobs run, what is to be committed next. Pure accounting, without actors or I/O. A slot
 * moves as its machine says and in no other way. Nothing runs before its `start` is committed; nothing is forgotten before its outcome is.
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
  /** Outcomes that are worth a message of their own before a turn ends. */
  readonly #part: number
  #outcomes: LeaseEvent[] = []
  /** Free slots that the store was asked to fill, and has not answered. */
  #asked = 0
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
    this.#part = Math.ceil(this.slotCount / parts)
  }

  /** For how many jobs to ask the store next, at most one part; they count as asked for. 0 where there is no room left to ask for. */
  takeRoom(): number {
    if (!this.#leasing) return 0
    const room = Math.min(this.#free.length - this.#asked, this.#part)
    this.#asked += room
    return room
  }

  /** The store has answered `asked` with `jobs`, leased and started on disk; gives them to be run now. */
  started(asked: number, jobs: readonly LeasedJob[]): Assigned[] {
    this.#asked -= asked
    if (!this.#leasing) {
      this.#outcomes.push(...jobs.map(release))
      return []
    }
    return jobs.map((job) => {
      const slot = this.#free.pop()!
      const assigned: Assigned = { job, worker: this.#workers[slot]!, slot, phase: 'free', attempt: null }
      this.#move(assigned, 'assign')
      return assigned
    })
  }

  /** Leases no more. */
  stopLeasing(): void {
    this.#leasing = false
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

  /** Whether the outcomes at hand go to the store before all of this turn's are there: it has none to commit, or they are a part. */
  get isDue(): boolean {
    const isFirst = this.#committing === 0 && !this.#gathering
    return this.#outcomes.length >= (isFirst ? 1 : this.#part)
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
    const gone = new Set(leases.map(({ leaseToken, id }) => `${id} ${leaseToken}`))
    return this.assigned().filter(({ job }) => gone.has(`${job.id} ${job.leaseToken}`))
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
    return committed && this.#asked === 0 && this.#stuckCount === this.activeCount
  }

  /** Attempts that hold a slot, stuck ones included. */
  get activeCount(): number {
    return this.slotCount - this.#free.length
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
    this.#free.push(assigned.slot)
  }
}

function release({ id, leaseToken }: Lease): LeaseEvent {
  return { id, leaseToken, event: 'release' }
}
