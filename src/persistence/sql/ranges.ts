import { causeOf } from '../../machines/events.ts'
import type { LeaseEvent } from '../store.ts'

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

/** `leaseToken`: of the lease that must be held for the transition, if it needs one. `everyCause`: for each job without a note; JSON text. */
export function intoRanges(
  jobs: Iterable<Pick<LeaseEvent, 'id'> & Partial<Omit<LeaseEvent, 'id'>>>,
  everyCause: string | null = null,
): JobRange[] {
  const ranges: JobRange[] = []
  let range: [...JobRange] | undefined
  for (const { id, leaseToken = null, delayMs = 0, error: thrown, event, note } of jobs) {
    const error = thrown ? JSON.stringify(thrown) : null
    const cause = note === undefined ? everyCause : JSON.stringify({ ...causeOf(event!), note })
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
  const sets: { event: LeaseEvent['event']; jobs: LeaseEvent[] }[] = []
  const round = new Map<LeaseEvent['event'], LeaseEvent[]>()
  const seen = new Set<number>()
  for (const event of events) {
    if (seen.has(event.id)) {
      round.clear()
      seen.clear()
    }
    seen.add(event.id)
    const jobs = round.get(event.event)
    if (jobs) jobs.push(event)
    else {
      const begun = [event]
      round.set(event.event, begun)
      sets.push({ event: event.event, jobs: begun })
    }
  }
  // By their ids, because jobs of many queues end in another order.
  return sets.map(({ event, jobs }) => ({ event, ranges: intoRanges(jobs.sort((a, b) => a.id - b.id)) }))
}
