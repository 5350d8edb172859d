import type { Lease, LeaseEvent } from '../store.ts'

/** The leases that this node holds: handed to its dispatcher, without an outcome yet. */
export class HeldLeases {
  readonly #tokens = new Map<number, number>()

  /** Returns the earlier leases of these jobs that it still knew: they have ended. */
  add(leases: readonly Lease[]): Lease[] {
    const ended = this.of(leases.map(({ id }) => id))
    for (const { id, leaseToken } of leases) this.#tokens.set(id, leaseToken)
    return ended
  }

  /** Returns those that were held. */
  drop(leases: readonly Lease[]): Lease[] {
    return leases.filter(({ id, leaseToken }) => this.#tokens.get(id) === leaseToken && this.#tokens.delete(id))
  }

  /** After an `apply`; a rejected event names a lease that is no longer ours. */
  follow(events: readonly LeaseEvent[], refused: readonly LeaseEvent[]): void {
    this.drop(events.filter(({ event }) => event !== 'start'))
    this.drop(refused)
  }

  /** Those of the jobs that are held here. */
  of(ids: readonly number[]): Lease[] {
    return ids.flatMap((id) => {
      const leaseToken = this.#tokens.get(id)
      return leaseToken === undefined ? [] : [{ id, leaseToken }]
    })
  }

  all(): Lease[] {
    return [...this.#tokens].map(([id, leaseToken]) => ({ id, leaseToken }))
  }
}
