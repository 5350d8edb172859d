import type { LeasedFacts } from '../../leased-facts.ts'
import type { EventSet } from '../../sql/ranges.ts'
import type { Lease } from '../../store.ts'
import type { RefusedEvent } from './protocol.ts'

interface HeldLease extends Lease {
  running: boolean
  next: HeldLease | null
}

/** The number of lists over which the leases are spread by their jobs' ids: usually no two share one. */
const listCount = 1_024

/** The leases that this process holds: handed to its dispatcher, without an outcome yet. Other leases are not renewed. */
export class HeldLeases {
  /**
   * Not a Map by job: V8's Map leaves its old tables behind, and with them what they held survives collections of the young generation (110
   * bytes a job).
   */
  readonly #lists: (HeldLease | null)[] = new Array(listCount).fill(null)

  add(leased: readonly LeasedFacts[], running: boolean): void {
    for (const [id, leaseToken] of leased) {
      this.#remove(id)
      const at = id % listCount
      this.#lists[at] = { id, leaseToken, running, next: this.#lists[at]! }
    }
  }

  /** Updates the leases after an `apply`; a rejected event names a lease that this process no longer holds. */
  follow(sets: readonly EventSet[], refused: readonly RefusedEvent[]): void {
    const isRefused = (id: number) => refused.some((each) => each.event === 'start' && each.id === id)
    for (const { event, ranges } of sets) {
      for (const [first, last, leaseToken] of ranges) {
        for (let id = first; id <= last; id++) {
          const lease = this.#find(id)
          if (lease?.leaseToken !== leaseToken) continue
          if (event === 'start' && !isRefused(id)) lease.running = true
          else this.#remove(id)
        }
      }
    }
  }

  drop(leases: readonly Lease[]): void {
    for (const { id, leaseToken } of leases) if (this.#find(id)?.leaseToken === leaseToken) this.#remove(id)
  }

  /** The lease of one job, if it is held here. */
  of(id: number): Lease | undefined {
    const lease = this.#find(id)
    return lease && { id, leaseToken: lease.leaseToken }
  }

  all(): Lease[] {
    return this.#all().map(({ id, leaseToken }) => ({ id, leaseToken }))
  }

  /** Jobs whose `start` is on disk. */
  runningIds(): number[] {
    return this.#all().flatMap(({ id, running }) => (running ? [id] : []))
  }

  #find(id: number): HeldLease | undefined {
    let lease = this.#lists[id % listCount]
    while (lease && lease.id !== id) lease = lease.next
    return lease ?? undefined
  }

  #remove(id: number): void {
    const at = id % listCount
    const lease = this.#lists[at]
    if (!lease) return
    if (lease.id === id) {
      this.#lists[at] = lease.next
      return
    }
    for (let before = lease; before.next; before = before.next) {
      if (before.next.id !== id) continue
      before.next = before.next.next
      return
    }
  }

  #all(): HeldLease[] {
    return this.#lists.flatMap((first) => {
      const leases: HeldLease[] = []
      for (let lease = first; lease; lease = lease.next) leases.push(lease)
      return leases
    })
  }
}
