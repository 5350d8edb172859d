import { eventTypes } from './edges.ts'
import type { EventType } from './job.ts'

/** Who makes an event happen; `person`: a person or a program, by a command. */
export type Cause = 'client' | 'clock' | 'dispatcher' | 'handler' | 'store' | 'person'

const causes = {
  enqueue: 'client',
  due: 'clock',
  lease: 'dispatcher',
  start: 'dispatcher',
  succeed: 'handler',
  fail: 'handler',
  reject: 'handler',
  snooze: 'handler',
  release: 'dispatcher',
  // Where the lease ran out, and where recovery finds its owner dead.
  expire: 'store',
  cancel: 'person',
  requeue: 'person',
} as const satisfies Record<EventType, Cause>

/** An event that a person or a program may send. */
export type PersonEvent = {
  [Event in EventType]: (typeof causes)[Event] extends 'person' ? Event : never
}[EventType]

/** Who makes an event happen. */
export function causeOf(event: EventType): Cause {
  return causes[event]
}

/** The commands, in the order in which the machine names them; `eventsFrom` tells which of them a state takes. */
export const personEvents: readonly PersonEvent[] = Object.freeze(
  eventTypes.filter((event): event is PersonEvent => causes[event] === 'person'),
)
