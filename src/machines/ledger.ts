import assert from 'node:assert/strict'
import type { Lease, LeasedJob, LeaseEvent } from './lease.ts'
import { nextPhase, type SlotEventType, type SlotPhase } from './slot.ts'

/** Attempts shorter than this make it worth leasing ahead: with longer ones a job would only wait where others cannot take its place. */
const shortAttemptMs = 10
/** Commits under way at once: one that the store works on, and one that waits for it. */
const commitsMax = 2

/** A job that was handed out, and the slot that it holds. */
export interface Assigned {
  readonly job: LeasedJob
  readonly worker: number
  /** The slot's, as its machine has it; `free` once it has been given back. */
  phase: SlotPhase
}

/**
 * The dispatcher's books: which slots are free, which jobs wait leased, which run, what is to be committed next. Pure accounting, without
 * actors or I/O. A slot moves as its machine says and in no other way. Nothing runs before its `start` is committed; nothing is forgotten
 * before its outcome is.
 */
export class Ledger {
  /** One entry for each free slot: its worker. */
  readonly #free: number[] = []
  readonly #slots: number
  #ahead: LeasedJob[] = []
  /** By attempt, not by job: a job may be leased anew while the handler of an earlier attempt still holds its slot. */
  readonly #assigned = new Map<LeasedJob, Assigned>()
  /** Those whose start is on its way to disk, by job id. */
  readonly #starting = new Map<number, Assigned>()
  #outcomes: LeaseEvent[] = []
  /** Room asked of the store and not answered. */
  #asked = 0
  /** Jobs to lease beyond the free slots. */
  #aheadTarget = 0
  #shortOutcomes = 0
  #leasing = true
  /** Commits under way. */
  #committing = 0
  #gathering = false
  #stuckCount = 0

  /** `slots`: how many attempts each worker makes at once. */
  constructor(slots: readonly number[]) {
    this.#slots = slots.reduce((sum, n) => sum + n, 0)
    for (const [worker, n] of slots.entries()) for (let i = 0; i < n; i++) this.#free.push(worker)
    this.#free.reverse()
  }

  /** Room to ask of the store now; it counts as asked for. */
  takeRoom(): number {
    if (!this.#leasing) return 0
    const room = this.#free.length + this.#aheadTarget - this.#ahead.length - this.#asked
    if (room <= 0) return 0
    this.#asked += room
    return room
  }

  /** The store has answered `asked` with `jobs`. */
  leased(asked: number, jobs: readonly LeasedJob[]): void {
    this.#asked -= asked
    if (this.#leasing) this.#ahead.push(...jobs)
    else this.#outcomes.push(...jobs.map(release))
  }

  /** Leases no more, and gives back what has not started. */
  stopLeasing(): void {
    this.#leasing = false
    this.#outcomes.push(...this.#ahead.map(release))
    this.#ahead = []
  }

  /**
   * The events of the next commit: the outcomes at hand, and starts for free slots, at most half of all. Their slots are taken from now
   * on. Null where it is better to let more gather: a commit is under way, and what there is would not fill the other half. So the store
   * commits one half while the loop runs the other, and neither waits.
   */
  takeCommit(): LeaseEvent[] | null {
    this.#gathering = false
    const half = Math.ceil(this.#slots / 2)
    const starts = Math.min(half, this.#free.length, this.#ahead.length)
    const size = this.#outcomes.length + starts
    if (size === 0 || this.#committing === commitsMax || (this.#committing > 0 && size < half)) return null
    this.#committing++
    const events = this.#outcomes
    this.#outcomes = []
    for (const job of this.#ahead.splice(0, starts)) {
      this.#move({ job, worker: this.#free.pop()!, phase: 'free' }, 'assign')
      events.push({ id: job.id, leaseToken: job.leaseToken, event: 'start' })
    }
    // Twice: one part to start with the next outcomes, one to be leased meanwhile.
    this.#aheadTarget = Math.min(2 * this.#shortOutcomes, this.#slots)
    this.#shortOutcomes = 0
    return events
  }

  /** Whether outcomes begin to gather now, to be committed at the end of this turn; false where they do already. */
  beginGathering(): boolean {
    if (this.#gathering) return false
    this.#gathering = true
    return true
  }

  /** The commit is on disk, less what was refused; gives the jobs to run now. */
  committed(events: readonly LeaseEvent[], refused: readonly LeaseEvent[]): Assigned[] {
    this.#committing--
    const failed = new Set(refused.filter(({ event }) => event === 'start').map(({ id }) => id))
    const toRun: Assigned[] = []
    for (const { id, leaseToken, event } of events) {
      if (event !== 'start') continue
      const assigned = this.#starting.get(id)
      // Lost between its start and now: its slot is free again, and the job may even have been leased anew.
      if (assigned?.job.leaseToken !== leaseToken) continue
      if (failed.has(id)) this.#move(assigned, 'refuse')
      else {
        this.#move(assigned, 'begin')
        toRun.push(assigned)
      }
    }
    return toRun
  }

  /** A worker has an outcome (null: none, the lease was lost); `ended` false: the slot stays taken. */
  settled(job: LeasedJob, event: LeaseEvent | null, tookMs: number, ended: boolean): void {
    const assigned = this.#slotOf(job)
    const isStuck = assigned.phase === 'stuck'
    // One that was given back has no outcome any more.
    if (event && !isStuck) this.#outcomes.push(event)
    if (tookMs < shortAttemptMs) this.#shortOutcomes++
    if (ended) this.#move(assigned, isStuck ? 'end' : 'settle')
    // Its attempt may give up what a drain has given back.
    else if (!isStuck) this.#move(assigned, 'giveUp')
  }

  /** A stuck handler has ended after all. */
  ended(job: LeasedJob): void {
    this.#move(this.#slotOf(job), 'end')
  }

  /** Leases that are gone: those not running are forgotten; gives the running ones, to be aborted. */
  lost(leases: readonly Lease[]): Assigned[] {
    return leases.flatMap(({ id, leaseToken }) => {
      this.#ahead = this.#ahead.filter((job) => job.id !== id || job.leaseToken !== leaseToken)
      const assigned = this.assigned().find(({ job }) => job.id === id && job.leaseToken === leaseToken)
      if (!assigned) return []
      if (assigned.phase !== 'starting') return [assigned]
      this.#move(assigned, 'lose')
      return []
    })
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
    const unleased = this.#asked === 0 && this.#ahead.length === 0
    return committed && unleased && this.#stuckCount === this.#assigned.size
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

  /** Jobs that are leased and wait for a slot, in the order in which they get one. */
  ahead(): readonly LeasedJob[] {
    return this.#ahead
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
    if (from === 'starting') this.#starting.delete(assigned.job.id)
    if (from === 'stuck') this.#stuckCount--
    if (to === 'starting') this.#starting.set(assigned.job.id, assigned)
    if (to === 'stuck') this.#stuckCount++
    if (to !== 'free') return
    this.#assigned.delete(assigned.job)
    this.#free.push(assigned.worker)
  }
}

function release({ id, leaseToken }: Lease): LeaseEvent {
  return { id, leaseToken, event: 'release' }
}
