import { causeOf } from '../../machines/events.ts'
import type { Lease, LeaseEvent } from '../store.ts'

/**
 * Jobs with consecutive ids that are otherwise the same. Sets of items are packed into them, because jobs that are leased together mostly
 * have consecutive ids, and end together.
 */
export type JobRange = readonly [
  first: number,
  last: number,
  leaseToken: number | null,
  delayMs: number,
  error: string | null,
  cause: string | null,
]

/** Jobs that take one event. */
export interface EventSet {
  readonly event: LeaseEvent['event']
  readonly ranges: readonly JobRange[]
}

/**
 * `leaseToken`: of the lease that must be held for the transition, if it needs one. `delayMs`: the time until the job may run again, if it
 * does; 0 by default. `error`, `cause`: JSON text. `everyCause`: for each item without its own cause.
 */
export function intoRanges(
  items: Iterable<{
    readonly id: number
    readonly leaseToken?: number
    readonly delayMs?: number
    readonly error?: string
    readonly cause?: string
  }>,
  everyCause: string | null = null,
): JobRange[] {
  const ranges: JobRange[] = []
  let range: [...JobRange] | undefined
  for (const { id, leaseToken = null, delayMs = 0, error = null, cause = everyCause } of items) {
    const isAlike = range && range[2] === leaseToken && range[3] === delayMs && range[4] === error && range[5] === cause
    if (range && isAlike && range[1] + 1 === id) range[1] = id
    else {
      range = [id, id, leaseToken, delayMs, error, cause]
      ranges.push(range)
    }
  }
  return ranges
}

export function countJobs(ranges: readonly JobRange[]): number {
  return ranges.reduce((sum, [first, last]) => sum + last - first + 1, 0)
}

/**
 * Sets of one event each, in order. A job that occurs again begins a new round, because its second event must see the effect of the first.
 */
export function intoSets(events: readonly LeaseEvent[]): EventSet[] {
  type Item = Lease & { delayMs?: number; error?: string; cause?: string }
  const sets: { event: LeaseEvent['event']; items: Item[] }[] = []
  const round = new Map<LeaseEvent['event'], (typeof sets)[number]['items']>()
  const seen = new Set<number>()
  // Each field by name: the rest of an object costs as much as everything else here.
  for (const { id, leaseToken, event, delayMs, error, note } of events) {
    if (seen.has(id)) {
      round.clear()
      seen.clear()
    }
    seen.add(id)
    const item: Item = { id, leaseToken }
    if (delayMs !== undefined) item.delayMs = delayMs
    if (error) item.error = JSON.stringify(error)
    if (note !== undefined) item.cause = JSON.stringify({ ...causeOf(event), note })
    const items = round.get(event)
    if (items) items.push(item)
    else {
      const begun = [item]
      round.set(event, begun)
      sets.push({ event, items: begun })
    }
  }
  return sets.map(({ event, items }) => ({ event, ranges: intoRanges(items) }))
}
