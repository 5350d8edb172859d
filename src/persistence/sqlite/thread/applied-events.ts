import type { LeaseEvent } from '../../store.ts'
import type { AttemptTraces, RefusedEvent, ResultList, Results } from './protocol.ts'

/** The most results of a list, and characters after which none is added: a result is read by reading its list, which in ASCII fits into a page. */
const listMax = 128
const listLengthMax = 4_000

/** The traces of the attempts that ended; null if none is traced, as usual. */
export function attemptsOf(events: readonly LeaseEvent[]): AttemptTraces | null {
  if (!events.some(({ traceparent }) => traceparent !== undefined)) return null
  return events.flatMap(({ id, traceparent }) => (traceparent === undefined ? [] : [[id, traceparent]]))
}

/** What the handlers of those returned that succeeded; null if none returned anything. */
export function resultsOf(events: readonly LeaseEvent[]): Results | null {
  if (!events.some(({ result }) => result !== undefined)) return null
  const lists: [...ResultList][] = []
  const returned = events.filter(({ event, result }) => event === 'succeed' && result !== undefined)
  for (const { id, leaseToken, result } of returned.sort((a, b) => a.id - b.id)) {
    const list = lists.at(-1)
    if (list && list[0] + list[1] === id && list[2] === leaseToken && hasRoom(list, result!)) {
      list[1]++
      list[3] += `,${result}`
    } else lists.push([id, 1, leaseToken, result!])
  }
  const singles = lists.filter(([, length]) => length === 1)
  const shared = singles.length === 0 ? lists : lists.filter(([, length]) => length > 1)
  for (const list of shared) list[3] = `[${list[3]}]`
  return { shared, singles: singles.length === 0 ? null : `{${singles.map(toMember).join()}}` }
}

function hasRoom([, length, , text]: ResultList, result: string): boolean {
  return length < listMax && text.length + result.length < listLengthMax
}

/** An array or object as it is, anything else as a string that holds its JSON: SQLite reads the text of each. */
function toMember([id, , leaseToken, result]: ResultList): string {
  const isAsItIs = result.startsWith('{') || result.startsWith('[')
  return `"${resultKey(id, leaseToken)}":${isAsItIs ? result : JSON.stringify(result)}`
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
