import { RetentionRules } from '../../../job/retention.ts'
import type { MonotonicClock } from '../../../runtime/clock.ts'
import { ClockWatch } from '../../clock-watch.ts'
import type { Lease, StoreEvent } from '../../store.ts'
import { storageFailure } from '../file/storage-failure.ts'
import type { Writer } from '../write/writer.ts'
import type { Part } from './group-commit.ts'
import type { HeldLeases } from './held-leases.ts'
import type { WriterOptions } from './protocol.ts'
import { Throttle } from './throttle.ts'

/** Ms between two walks of retention. */
const retainRestMs = 60_000
/**
 * Queuing due jobs is waiting work, so it rests only to give other processes that write the file their gaps: at most three quarters of the
 * time.
 */
const promotionEffort = { stepMs: 5, rests: 1 / 3 }
/** Renewals within one lease, so that one may fail. */
const renewalsPerLease = 3

type MaintenanceEvent = Extract<StoreEvent, { type: 'lost' | 'clockJumped' }>

/** What a server's store does by itself as time passes: each kind is a bounded part of a transaction, taken when its time has come. */
export class Maintenance {
  readonly #writer: Writer
  readonly #held: HeldLeases
  readonly #leaseMs: number
  readonly #notify: (event: MaintenanceEvent) => void
  readonly #clock: MonotonicClock
  readonly #clockWatch: ClockWatch
  readonly #promotions: Throttle
  readonly #renewals: Throttle
  readonly #retentions: Throttle
  readonly #restores: Throttle
  /** Whether others are using the store. */
  #contended = false
  #restoring = true
  /** When the next job is due; null if none waits. */
  nextDueAt: number | null = null

  constructor(
    writer: Writer,
    held: HeldLeases,
    { leaseMs, retentionMs, retention }: Pick<WriterOptions, 'leaseMs' | 'retentionMs' | 'retention'>,
    clock: MonotonicClock,
    notify: (event: MaintenanceEvent) => void,
  ) {
    this.#writer = writer
    this.#held = held
    this.#leaseMs = leaseMs
    this.#clock = clock
    this.#notify = notify
    this.#promotions = new Throttle(clock, () => promotionEffort)
    this.#renewals = new Throttle(clock)
    this.#retentions = new Throttle(clock)
    this.#restores = new Throttle(clock)
    this.#clockWatch = new ClockWatch(clock, new RetentionRules(retentionMs, retention).shortestMs, (ms) =>
      notify({ type: 'clockJumped', ms }),
    )
  }

  /** Call it after commits that may have changed it, including those of other processes. */
  lookForDue(): void {
    this.nextDueAt = this.#writer.nextDueAt()
  }

  /**
   * The work to do at `now`, one step of each kind. If `asked`, all kinds except due jobs run even if their time has not come. `contended`:
   * others are using the store.
   */
  parts(now: number, asked: boolean, contended: boolean): Part[] {
    this.#contended = contended
    const due = this.nextDueAt !== null && this.nextDueAt <= now
    const mayDelete = this.#clockWatch.look()
    return [
      ...(due && (asked || this.#promotions.isDue) ? [this.#promotion()] : []),
      ...(asked || this.#renewals.isDue ? [this.#renewal()] : []),
      ...(mayDelete && (asked || this.#retentions.isDue) ? [this.#retention()] : []),
      ...(this.#restoring && this.#restores.isDue ? [this.#restored()] : []),
    ]
  }

  /** Ms from `now` until the next work that it knows of. */
  sleepMs(now: number): number {
    const monotonicNow = this.#clock.monotonic()
    const dueIn = this.nextDueAt === null ? Number.POSITIVE_INFINITY : this.nextDueAt - now
    return Math.min(
      Math.max(dueIn, this.#promotions.nextAt - monotonicNow),
      this.#renewals.nextAt - monotonicNow,
      this.#clockWatch.isSteady ? this.#retentions.nextAt - monotonicNow : Number.POSITIVE_INFINITY,
      this.#restoring ? this.#restores.nextAt - monotonicNow : Number.POSITIVE_INFINITY,
    )
  }

  #promotion(): Part {
    return part(
      (now) => this.#promotions.step(this.#contended, (goOn) => this.#writer.promoteDue(now, goOn)),
      (goesOn: boolean) => {
        if (goesOn) this.#promotions.rest()
        // Even if nothing was due any more, because another process had moved it.
        this.lookForDue()
      },
    )
  }

  /** Renews live leases and expires the rest, in this order and in one transaction, so that no jump of the clock expires a live one. */
  #renewal(): Part {
    return part(
      (now) => {
        const lost = this.#writer.renew(this.#held.all(), now)
        const goesOn = this.#renewals.step(this.#contended, (goOn) => this.#writer.expireLeases(now, goOn))
        return { lost, goesOn }
      },
      ({ lost, goesOn }: { lost: Lease[]; goesOn: boolean }) => {
        if (goesOn) this.#renewals.rest()
        else this.#renewals.wait(this.#leaseMs / renewalsPerLease)
        this.#held.drop(lost)
        if (lost.length > 0)
          this.#notify({ type: 'lost', leases: lost.map((lease) => ({ ...lease, cancelled: false })) })
      },
    )
  }

  #retention(): Part {
    return part(
      (now) => this.#retentions.step(this.#contended, (goOn) => this.#writer.retain(now, goOn)),
      (goesOn: boolean) => {
        if (goesOn) this.#retentions.rest()
        else this.#retentions.wait(retainRestMs)
      },
    )
  }

  /** Once, after opening: jobs that an earlier process had no handler for may have one now. */
  #restored(): Part {
    return part(
      () => this.#restores.step(this.#contended, (goOn) => this.#writer.restoreHandled(goOn)),
      (goesOn: boolean) => {
        this.#restores.rest()
        this.#restoring = goesOn
      },
    )
  }
}

/** A part that is repeated by itself if it could not be stored. */
export function part<Result>(run: (now: number) => Result, done: (result: Result) => void): Part {
  return {
    run,
    done,
    failed(error) {
      if (storageFailure(error) === null) throw error
    },
  }
}
