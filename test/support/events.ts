import { eventTypes } from '../../src/machines/edges.ts'
import type { JobEvent } from '../../src/machines/job.ts'

/** The facts that some events carry; no two of an event hold at once. */
const told: Readonly<Record<string, readonly string[]>> = {
  enqueue: ['delayed', 'blocked'],
  unblock: ['delayed'],
  amend: ['delayed'],
  expire: ['crashed'],
}

/** Every event, with all the facts that it may carry. */
export const allEvents: readonly JobEvent[] = eventTypes.flatMap((type) => {
  const names = told[type] ?? []
  const none = Object.fromEntries(names.map((name) => [name, false]))
  return [...names.map((name) => ({ type, ...none, [name]: true })), { type, ...none }] as unknown as JobEvent[]
})
