import type { Lease, LeaseEvent } from '../store.ts'

/** The leases that this process holds: handed to its dispatcher, without an outcome yet. What is not here is not renewed. */
export class HeldLeases {
  readonly #held = new Map<number, { readonly leaseToken: number; running: boolean }>()

  add(leases: readonly Lease[]): void {
    for (const { id, leaseToken } of leases) this.#held.set(id, { leaseToken, running: false })
  }

  /** Follows what was applied; an event that was refused names a lease that is no longer ours. */
  follow(events: readonly LeaseEvent[], refused: readonly LeaseEvent[]): void {
    const lost = new Set(refused)
    for (const event of events) {
      const lease = this.#held.get(event.id)
      if (lease?.leaseToken !== event.leaseToken) continue
      if (event.event === 'start' && !lost.has(event)) lease.running = true
      else this.#held.delete(event.id)
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
