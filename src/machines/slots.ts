import assert from 'node:assert/strict'
import { type SnapshotFrom, setup, transition } from 'xstate'
import type { LeasedJob } from './lease.ts'

/** All events of a worker's slot. */
type SlotEvent =
  /** It got a job that is leased and started on disk. */
  | { readonly type: 'assign' }
  /** The handler has ended. */
  | { readonly type: 'settle' }
  /** The handler was aborted, is still running, and is no longer waited for. */
  | { readonly type: 'giveUp' }
  /** An abandoned handler has finally ended. */
  | { readonly type: 'end' }

/** The lifecycle of one slot of a worker: pure. `Slots` moves each slot by the table below only. */
export const slotMachine = setup({ types: { events: {} as SlotEvent, tags: {} as SlotTag } }).createMachine({
  id: 'worker',
  initial: 'free',
  states: {
    free: {
      description: 'has nothing to do, waits for a job',
      tags: 'waiting',
      on: { assign: 'running' },
    },
    running: {
      description: 'the start is on disk, the handler called',
      tags: ['held', 'executing'],
      on: { settle: 'free', giveUp: 'stuck' },
    },
    stuck: {
      description: 'the attempt is over, but its handler is still running',
      tags: 'stuck',
      on: { end: 'free' },
    },
  },
})

type SlotTag = 'waiting' | 'held' | 'executing' | 'stuck'
type SlotPhase = SnapshotFrom<typeof slotMachine>['value']
type SlotEventType = SlotEvent['type']

const phases = Object.keys(slotMachine.states) as SlotPhase[]

/** The phase of a slot that holds a job. */
type TakenPhase = Exclude<SlotPhase, 'free'>
export const takenPhases: readonly TakenPhase[] = Object.freeze(
  phases.filter((phase): phase is TakenPhase => phase !== 'free'),
)

/** Where each event leads from each phase. XState is asked once, at import, as in `edges.ts`: two look-ups instead of microseconds. */
const moves = Object.freeze(
  Object.fromEntries(phases.map((phase) => [phase, Object.freeze(movesFrom(phase))])),
) as Readonly<Record<SlotPhase, Readonly<Partial<Record<SlotEventType, SlotPhase>>>>>

/** The phase after `event`. An event that the machine does not allow is a broken invariant. */
function nextPhase(phase: SlotPhase, event: SlotEventType): SlotPhase {
  return moves[phase][event] ?? assert.fail(`a slot that is ${phase} does not allow ${event}`)
}

function movesFrom(phase: SlotPhase): Partial<Record<SlotEventType, SlotPhase>> {
  const before = slotMachine.resolveState({ value: phase })
  const taken = (slotMachine.events as SlotEventType[])
    .map((type) => [type, transition(slotMachine, before, { type })[0].value] as const)
    .filter(([, to]) => to !== phase)
  return Object.fromEntries(taken)
}

/** For how long an attempt could not go on, in ms: the whole process did not run, or its event loop alone was blocked. */
export interface Stall {
  readonly stoppedMs: number
  readonly blockedMs: number
}

/** One running attempt. */
export interface RunningAttempt {
  /** When its handler was called, in epoch ms. */
  readonly startedAt: number
  readonly timeoutMs: number
  /** When its handler was told to stop, in epoch ms, and why; null before that. */
  readonly aborted: { readonly at: number; readonly reason: Error } | null
  readonly stall: Stall
  /** Fires the handler's signal. `lost`: the lease is gone, and only the end is to be reported. */
  abort(reason: Error, lost: boolean): void
}

/** A job with its slot, one for each attempt: a job may be leased again while an earlier handler is still running. */
export interface Assigned {
  readonly job: Omit<LeasedJob, 'payload'>
  readonly worker: number
  /** Its index among all slots. */
  readonly slot: number
  /** The slot's state in its machine; `free` once it was given back. */
  phase: SlotPhase
  /** Set by the worker that makes the attempt; null before that. */
  attempt: RunningAttempt | null
}

/** The slots of all workers, and which job holds each. A slot changes only as its machine says. */
export class Slots {
  /** The worker of each slot. */
  readonly #workers: readonly number[]
  /**
   * What holds each slot; null if it is free. Not a Map by job: V8's Map leaves its old tables behind, and with them what they held
   * survives collections of the young generation.
   */
  readonly #assigned: (Assigned | null)[]
  readonly #free: number[]
  #stuckCount = 0
  #freedTotal = 0

  /** `slots`: how many simultaneous attempts each worker makes. */
  constructor(slots: readonly number[]) {
    this.#workers = slots.flatMap((n, worker) => new Array<number>(n).fill(worker))
    this.#assigned = this.#workers.map(() => null)
    this.#free = [...this.#workers.keys()].reverse()
  }

  /** Gives a free slot to a job that is started on disk and now runs. */
  assign(job: Assigned['job']): Assigned {
    const slot = this.#free.pop()!
    const assigned: Assigned = { job, worker: this.#workers[slot]!, slot, phase: 'free', attempt: null }
    this.move(assigned, 'assign')
    return assigned
  }

  /** The only way in which a slot changes: a transition of its machine, together with the counts. */
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

  /** The most simultaneous attempts. */
  get count(): number {
    return this.#workers.length
  }

  get freeCount(): number {
    return this.#free.length
  }

  /** How many times a slot has become free since the start. */
  get freedTotal(): number {
    return this.#freedTotal
  }

  /** Attempts that hold a slot, stuck ones included. */
  get activeCount(): number {
    return this.count - this.#free.length
  }

  /** Whether no slot is left that could ever run a job. */
  get allStuck(): boolean {
    return this.#stuckCount === this.count
  }

  /** Whether no attempt runs; stuck ones do not count. */
  get noneRuns(): boolean {
    return this.#stuckCount === this.activeCount
  }

  /** The longest timeout of the attempts that hold a slot, in ms; 0 if there is none. */
  get longestTimeoutMs(): number {
    return this.assigned().reduce((longest, { attempt }) => Math.max(longest, attempt?.timeoutMs ?? 0), 0)
  }
}
