import assert from 'node:assert/strict'
import type { Lease, LeasedJob, LeaseEvent } from './lease.ts'
import { nextPhase, type SlotEventType, type SlotPhase } from './slot.ts'

/** Into which the slots are divided under load: while the store commits what one part has done, the loop runs the other. */
const parts = 2

/** A job that was handed out, and the slot that it holds. */
export interface Assigned {
  readonly job: LeasedJob
  readonly worker: number
  /** The slot's, as its machine has it; `free` once it has been given back. */
  phase: SlotPhase
}

/**
 * The dispatcher's books: which slots are free, which jobs run, what is to be committed next. Pure accounting, without actors or I/O. A slot
 * moves as its machine says and in no other way. Nothing runs before its `start` is committed; nothing is forgotten before its outcome is.
 */
export class Ledger {
  /** One entry for each free slot: its worker. */
  readonly #free: number[] = []
  readonly #slots: number
  /** Events that are worth a message of their own while a commit is under way. */
  readonly #part: number
  /** By attempt, not by job: a job may be leased anew while the handler of an earlier attempt still holds its slot. */
  readonly #assigned = new Map<LeasedJob, Assigned>()
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
    this.#slots = slots.reduce((sum, n) => sum + n, 0)
    this.#part = Math.ceil(this.#slots / parts)
    for (const [worker, n] of slots.entries()) for (let i = 0; i < n; i++) this.#free.push(worker)
    this.#free.reverse()
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
      const assigned: Assigned = { job, worker: this.#free.pop()!, phase: 'free' }
      this.#move(assigned, 'assign')
      return assigned
    })
  }

  /** Leases no more. */
  stopLeasing(): void {
    this.#leasing = false
  }

  /**
   * The outcomes to commit next. Null where there are none, or where a commit is under way and it is better to let more gather.
   */
  takeCommit(): LeaseEvent[] | null {
    this.#gathering = false
    const size = this.#outcomes.length
    if (size === 0 || (this.#committing > 0 && size < this.#part)) return null
    this.#committing++
    const events = this.#outcomes
    this.#outcomes = []
    return events
  }

  /** Whether the outcomes at hand are worth a commit before all of this turn's are there. */
  get hasPart(): boolean {
    return this.#outcomes.length >= this.#part
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
  settled(job: LeasedJob, event: LeaseEvent | null, ended: boolean): void {
    const assigned = this.#slotOf(job)
    const isStuck = assigned.phase === 'stuck'
    // One that was given back has no outcome any more.
    if (event && !isStuck) this.#outcomes.push(event)
    if (ended) this.#move(assigned, isStuck ? 'end' : 'settle')
    // Its attempt may give up what a drain has given back.
    else if (!isStuck) this.#move(assigned, 'giveUp')
  }

  /** A stuck handler has ended after all. */
  ended(job: LeasedJob): void {
    this.#move(this.#slotOf(job), 'end')
  }

  /** Of leases that are gone those that are held here, to be aborted. */
  lost(leases: readonly Lease[]): Assigned[] {
    const gone = new Set(leases.map(({ leaseToken, id }) => `${id} ${leaseToken}`))
    return this.assigned().filter(({ job }) => gone.has(`${job.id} ${job.leaseToken}`))
  }

  /** Every attempt that runs, in the order in which they started. */
  running(): Assigned[] {
    return [...this.#assigned.values()].filter(({ phase }) => phase === 'running')
  }

  /** Jobs whose handlers go on after they were given up. */
  stuck(): Assigned[] {
    return [...this.#assigned.values()].filter(({ phase }) => phase === 'stuck')
  }

  /** No slot is left that could ever run a job. */
  get allStuck(): boolean {
    return this.#stuckCount === this.#slots
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
    return committed && this.#asked === 0 && this.#stuckCount === this.#assigned.size
  }

  /** Attempts that hold a slot, stuck ones included. */
  get activeCount(): number {
    return this.#assigned.size
  }

  /** Every job handed out that holds a slot. */
  assigned(): Assigned[] {
    return [...this.#assigned.values()]
  }

  /** Attempts that can be made at once. */
  get slotCount(): number {
    return this.#slots
  }

  #slotOf(job: LeasedJob): Assigned {
    const assigned = this.#assigned.get(job)
    assert(assigned, `job ${job.id} holds no slot`)
    return assigned
  }

  /** The one way in which a slot changes: by a move of its machine, the books with it. */
  #move(assigned: Assigned, event: SlotEventType): void {
    const from = assigned.phase
    const to = nextPhase(from, event)
    assigned.phase = to
    if (from === 'free') this.#assigned.set(assigned.job, assigned)
    if (from === 'stuck') this.#stuckCount--
    if (to === 'stuck') this.#stuckCount++
    if (to !== 'free') return
    this.#assigned.delete(assigned.job)
    this.#free.push(assigned.worker)
  }
}

function release({ id, leaseToken }: Lease): LeaseEvent {
  return { id, leaseToken, event: 'release' }
}
