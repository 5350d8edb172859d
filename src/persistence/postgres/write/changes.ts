import type { LeaseEvent } from '../../store.ts'
import type { Change } from './step.ts'

/** Changes of one event each, in order, made of events of several calls; `calls`: for each change, for each of its jobs, which event that was. */
interface BatchedChanges {
  readonly changes: readonly Change[]
  readonly places: readonly (readonly number[])[]
}

type Gathering = { event: LeaseEvent['event']; items: { job: LeaseEvent; place: number }[] }

/** A job that occurs again begins a new round, for it must see what its first event did. */
export function gatherEvents(events: readonly LeaseEvent[]): BatchedChanges {
  const found: Gathering[] = []
  const round = new Map<LeaseEvent['event'], Gathering>()
  const seen = new Set<number>()
  for (const [place, event] of events.entries()) {
    if (seen.has(event.id)) {
      round.clear()
      seen.clear()
    }
    seen.add(event.id)
    const gathering = round.get(event.event) ?? { event: event.event, items: [] }
    if (gathering.items.length === 0) {
      round.set(event.event, gathering)
      found.push(gathering)
    }
    gathering.items.push({ job: event, place })
  }
  for (const { items } of found) items.sort((a, b) => a.job.id - b.job.id)
  return {
    changes: found.map(({ event, items }) => ({ event, jobs: items.map(({ job }) => job) })),
    places: found.map(({ items }) => items.map(({ place }) => place)),
  }
}

/** The places of those that were refused, in order; `moved`: of each change, as a step answers. */
export function refusedPlaces(
  { changes, places }: BatchedChanges,
  moved: readonly (readonly number[] | null)[],
): number[] {
  return changes
    .flatMap(({ jobs }, index) => {
      const ids = moved[index]
      if (ids === null) return []
      const took = new Set(ids)
      return jobs.flatMap(({ id }, at) => (took.has(id) ? [] : [places[index]![at]!]))
    })
    .sort((a, b) => a - b)
}
