import type { EventSet } from '../../sql/ranges.ts'
import type { Lease } from '../../store.ts'
import type { LeasedFacts, RefusedEvent } from './protocol.ts'

/** The leases that this process holds: handed to its dispatcher, without an outcome yet. What is not here is not renewed. */
export class HeldLeases {
  readonly #held = new Map<number, { readonly leaseToken: number; running: boolean }>()

  add(leased: readonly LeasedFacts[], started: ReadonlySet<number>): void {
    for (const [id, leaseToken] of leased) this.#held.set(id, { leaseToken, running: started.has(id) })
  }

  /** Follows what was applied; an event that was refused names a lease that is no longer ours. */
  follow(sets: readonly EventSet[], refused: readonly RefusedEvent[]): void {
    const notStarted = new Set(refused.flatMap(({ event, id }) => (event === 'start' ? [id] : [])))
    for (const { event, ranges } of sets) {
      for (const [first, last, leaseToken] of ranges) {
        for (let id = first; id <= last; id++) {
          const lease = this.#held.get(id)
          if (lease?.leaseToken !== leaseToken) continue
          if (event === 'start' && !notStarted.has(id)) lease.running = true
          else this.#held.delete(id)
        }
      }
    }
  }

  drop(leases: readonly Lease[]): void {
    for (const { id, leaseToken } of leases) if (this.#held.get(id)?.leaseToken === leaseToken) this.#held.delete(id)
  }

  /** The lease of one job, if it is held here. */
  of(id: number): Lease | undefined {
    const lease = this.#held.get(id)
    return lease && { id, leaseToken: lease.leaseToken }
  }

  all(): Lease[] {
    return [...this.#held].map(([id, { leaseToken }]) => ({ id, leaseToken }))
  }

  /** Jobs whose `start` is on disk. */
  runningIds(): number[] {
    return [...this.#held].filter(([, { running }]) => running).map(([id]) => id)
  }
}
