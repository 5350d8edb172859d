import type { Lease, StoreNotice } from '../store.ts'
import { isStorageTrouble } from './connection.ts'
import type { Part } from './group-commit.ts'
import type { HeldLeases } from './held-leases.ts'
import type { Writer } from './writer.ts'

/** Between one batch of retention and the next, and between walks, in ms. */
const retainPaceMs = 100
const retainRestMs = 60_000
/** Renewals within one lease, so that one may fail. */
const renewalsPerLease = 3

/** What a server's store does by itself as time passes: each a bounded part of a transaction, taken when its instant has come. */
export class Housekeeping {
  readonly #writer: Writer
  readonly #held: HeldLeases
  readonly #leaseMs: number
  readonly #notify: (notice: Extract<StoreNotice, { type: 'lost' }>) => void
  #renewAt = 0
  #retainAt = 0
  #unparking = true
  /** When the next job is due; null where none waits. */
  nextDueAt: number | null = null

  constructor(
    writer: Writer,
    held: HeldLeases,
    leaseMs: number,
    notify: (notice: Extract<StoreNotice, { type: 'lost' }>) => void,
  ) {
    this.#writer = writer
    this.#held = held
    this.#leaseMs = leaseMs
    this.#notify = notify
  }

  /** To be called after commits that may have changed it, also those of other processes. */
  lookForDue(): void {
    this.nextDueAt = this.#writer.nextDueAt()
  }

  /** What is to be done at `now`; all but what is due, whether its instant has come or not, where it was `asked` for. */
  parts(now: number, asked: boolean): Part[] {
    const due = this.nextDueAt !== null && this.nextDueAt <= now
    return [
      ...(due ? [this.#promotion()] : []),
      ...(asked || now >= this.#renewAt ? [this.#renewal()] : []),
      ...(asked || now >= this.#retainAt ? [this.#retention()] : []),
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
        return { now, lost }
      },
      ({ now, lost }: { now: number; lost: Lease[] }) => {
        this.#renewAt = now + this.#leaseMs / renewalsPerLease
        this.#held.drop(lost)
        if (lost.length > 0)
          this.#notify({ type: 'lost', leases: lost.map((lease) => ({ ...lease, cancelled: false })) })
      },
    )
  }

  #retention(): Part {
    return part(
      (now) => ({ now, goesOn: this.#writer.retain(now) }),
      ({ now, goesOn }: { now: number; goesOn: boolean }) => {
        this.#retainAt = now + (goesOn ? retainPaceMs : retainRestMs)
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
