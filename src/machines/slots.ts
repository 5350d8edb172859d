import type { LeasedJob } from './lease.ts'
import { nextPhase, type SlotEventType } from './slot.ts'
import type { Assigned } from './worker.ts'

/** The slots of all workers, and which job holds each. A slot changes as its machine says and in no other way. */
export class Slots {
  /** The worker of each slot. */
  readonly #workers: readonly number[]
  /**
   * What holds each slot; null if it is free. Not a Map by job: V8's leaves its old tables behind, and what they held outlives collections of
   * the young generation with them.
   */
  readonly #assigned: (Assigned | null)[]
  readonly #free: number[]
  #stuckCount = 0
  #freedTotal = 0

  /** `slots`: how many attempts each worker makes at once. */
  constructor(slots: readonly number[]) {
    this.#workers = slots.flatMap((n, worker) => new Array<number>(n).fill(worker))
    this.#assigned = this.#workers.map(() => null)
    this.#free = [...this.#workers.keys()].reverse()
  }

  /** Gives a free slot to a job that is started on disk, to be run now. */
  assign(job: LeasedJob): Assigned {
    const slot = this.#free.pop()!
    const assigned: Assigned = { job, worker: this.#workers[slot]!, slot, phase: 'free', attempt: null }
    this.move(assigned, 'assign')
    return assigned
  }

  /** The one way in which a slot changes: a transition of its machine, the counts with it. */
  move(assigned: Assigned, event: SlotEventType): void {
    const from = assigned.phase
    const to = nextPhase(from, event)
    assigned.phase = to
    if (from === 'free') this.#assigned[assigned.slot] = assigned
    if (from === 'stuck') this.#stuckCount--
    if (to === 'stuck') this.#stuckCount++
    if (to !== 'free') return
    this.#assigned[assigned.slot] = null
    this.#freedTotal++
    this.#free.push(assigned.slot)
  }

  /** Every job that holds a slot, in the order of the slots. */
  assigned(): Assigned[] {
    return this.#assigned.filter((each) => each !== null)
  }

  /** Every attempt that runs, in the order of the slots. */
  running(): Assigned[] {
    return this.assigned().filter(({ phase }) => phase === 'running')
  }

  /** Jobs whose handlers continue after they were given up. */
  stuck(): Assigned[] {
    return this.assigned().filter(({ phase }) => phase === 'stuck')
  }

  /** Attempts that can be made at once. */
  get count(): number {
    return this.#workers.length
  }

  get freeCount(): number {
    return this.#free.length
  }

  /** How many times a slot came free, since the start. */
  get freedTotal(): number {
    return this.#freedTotal
  }

  /** Attempts that hold a slot, stuck ones included. */
  get activeCount(): number {
    return this.count - this.#free.length
  }

  /** No slot is left that could ever run a job. */
  get allStuck(): boolean {
    return this.#stuckCount === this.count
  }

  /** No attempt runs; stuck ones do not count. */
  get noneRuns(): boolean {
    return this.#stuckCount === this.activeCount
  }

  /** Of the attempts that hold a slot, in ms; 0 if none does. */
  get longestTimeoutMs(): number {
    return this.assigned().reduce((longest, { attempt }) => Math.max(longest, attempt?.timeoutMs ?? 0), 0)
  }
}
