import type { SteadyClock } from '../../clock.ts'
import type { Lease, StoreNotice } from '../store.ts'
import { ClockWatch } from './clock-watch.ts'
import { isStorageTrouble } from './connection.ts'
import type { Part } from './group-commit.ts'
import type { HeldLeases } from './held-leases.ts'
import type { Writer } from './writer.ts'

/** Between one batch of retention and the next, and between walks, in ms. */
const retainPaceMs = 100
const retainRestMs = 60_000
/** Renewals within one lease, so that one may fail. */
const renewalsPerLease = 3

type Notice = Extract<StoreNotice, { type: 'lost' | 'clockJumped' }>

/** What a server's store does by itself as time passes: each a bounded part of a transaction, taken when its instant has come. */
export class Housekeeping {
  readonly #writer: Writer
  readonly #held: HeldLeases
  readonly #leaseMs: number
  readonly #notify: (notice: Notice) => void
  readonly #clock: SteadyClock
  readonly #clockWatch: ClockWatch
  /** By the steady clock: the other may be set back. */
  #renewAt = Number.NEGATIVE_INFINITY
  #retainAt = Number.NEGATIVE_INFINITY
  #unparking = true
  /** When the next job is due; null where none waits. */
  nextDueAt: number | null = null

  constructor(
    writer: Writer,
    held: HeldLeases,
    { leaseMs, retentionMs }: { readonly leaseMs: number; readonly retentionMs: number },
    clock: SteadyClock,
    notify: (notice: Notice) => void,
  ) {
    this.#writer = writer
    this.#held = held
    this.#leaseMs = leaseMs
    this.#clock = clock
    this.#notify = notify
    this.#clockWatch = new ClockWatch(clock, retentionMs, (ms) => notify({ type: 'clockJumped', ms }))
  }

  /** To be called after commits that may have changed it, also those of other processes. */
  lookForDue(): void {
    this.nextDueAt = this.#writer.nextDueAt()
  }

  /** What is to be done at `now`; all but what is due, whether its instant has come or not, where it was `asked` for. */
  parts(now: number, asked: boolean): Part[] {
    const due = this.nextDueAt !== null && this.nextDueAt <= now
    const passed = this.#clock.steady()
    const mayDelete = this.#clockWatch.look()
    return [
      ...(due ? [this.#promotion()] : []),
      ...(asked || passed >= this.#renewAt ? [this.#renewal()] : []),
      ...(mayDelete && (asked || passed >= this.#retainAt) ? [this.#retention()] : []),
      ...(this.#unparking ? [this.#unparked()] : []),
    ]
  }

  #promotion(): Part {
    return part(
      (now) => this.#writer.promoteDue(now),
      // Also where nothing was due any more: another process had moved it.
      () => this.lookForDue(),
    )
  }

  /** Live leases move on and the rest expires, in this order and in one transaction: no jump of the clock expires a live one. */
  #renewal(): Part {
    return part(
      (now) => {
        const lost = this.#writer.renew(this.#held.all(), now)
        this.#writer.expireLeases(now)
        return lost
      },
      (lost: Lease[]) => {
        this.#renewAt = this.#clock.steady() + this.#leaseMs / renewalsPerLease
        this.#held.drop(lost)
        if (lost.length > 0)
          this.#notify({ type: 'lost', leases: lost.map((lease) => ({ ...lease, cancelled: false })) })
      },
    )
  }

  #retention(): Part {
    return part(
      (now) => this.#writer.retain(now),
      (goesOn: boolean) => {
        this.#retainAt = this.#clock.steady() + (goesOn ? retainPaceMs : retainRestMs)
      },
    )
  }

  /** Once, after opening: what an earlier process had no handler for may have one now. */
  #unparked(): Part {
    return part(
      () => this.#writer.unpark(),
      (moved: number) => {
        this.#unparking = moved > 0
      },
    )
  }
}

/** A part that is taken again by itself where it could not be stored now. */
export function part<Result>(run: (now: number) => Result, done: (result: Result) => void): Part {
  return {
    run,
    done,
    failed(error) {
      if (!isStorageTrouble(error)) throw error
    },
  }
}
