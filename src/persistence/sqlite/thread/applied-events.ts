import type { LeaseEvent } from '../../store.ts'
import type { AttemptTraces, RefusedEvent } from './protocol.ts'

/** Characters after which results begin another text. */
const resultsLengthMax = 1_000_000

/** The traces of the attempts that ended; null if none is traced, as usual. */
export function attemptsOf(events: readonly LeaseEvent[]): AttemptTraces | null {
  if (!events.some(({ traceparent }) => traceparent !== undefined)) return null
  return events.flatMap(({ id, traceparent }) => (traceparent === undefined ? [] : [[id, traceparent]]))
}

/**
 * What the handlers of those returned that succeeded, as JSON objects by `resultKey`; null if none returned anything. An array or object is a
 * member as it is, anything else as a string that holds its JSON: SQLite reads the text of each. A message is faster with one string than
 * with many.
 */
export function resultsOf(events: readonly LeaseEvent[]): string[] | null {
  if (!events.some(({ result }) => result !== undefined)) return null
  const texts: string[] = []
  let members = ''
  for (const { id, leaseToken, event, result } of events) {
    if (event !== 'succeed' || result === undefined) continue
    const isAsItIs = result.startsWith('{') || result.startsWith('[')
    members += `,"${resultKey(id, leaseToken)}":${isAsItIs ? result : JSON.stringify(result)}`
    if (members.length < resultsLengthMax) continue
    texts.push(`{${members.slice(1)}}`)
    members = ''
  }
  if (members !== '') texts.push(`{${members.slice(1)}}`)
  return texts
}

/** It begins with the id, which SQLite casts it to. The same job may be in one call twice, by two leases. */
export function resultKey(id: number, leaseToken: number): string {
  return `${id} ${leaseToken}`
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
