import type { LeaseEvent } from '../../store.ts'
import type { AttemptTraces, RefusedEvent } from './protocol.ts'

/** The traces of the attempts that ended; null if none is traced, as usual. */
export function attemptsOf(events: readonly LeaseEvent[]): AttemptTraces | null {
  if (!events.some(({ traceparent }) => traceparent !== undefined)) return null
  return events.flatMap(({ id, traceparent }) => (traceparent === undefined ? [] : [[id, traceparent]]))
}

/** What the handlers of those returned that succeeded; null if none returned anything. */
export function resultsOf(events: readonly LeaseEvent[]): (string | null)[] | null {
  if (!events.some(({ result }) => result !== undefined)) return null
  return events.flatMap(({ event, result }) => (event === 'succeed' ? [result ?? null] : []))
}

/** Those of the events that were refused. Of two equal ones the first was accepted, if any. */
export function eventsOf(refused: readonly RefusedEvent[], events: readonly LeaseEvent[]): LeaseEvent[] {
  if (refused.length === 0) return []
  const nameOf = ({ event, id, leaseToken }: RefusedEvent) => `${event} ${id} ${leaseToken}`
  const left = new Map<string, number>()
  for (const each of refused) left.set(nameOf(each), (left.get(nameOf(each)) ?? 0) + 1)
  const found = events.toReversed().filter((event) => {
    const count = left.get(nameOf(event)) ?? 0
    left.set(nameOf(event), count - 1)
    return count > 0
  })
  return found.reverse()
}
