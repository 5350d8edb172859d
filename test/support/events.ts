import { eventTypes } from '../../src/machines/edges.ts'
import type { JobEvent } from '../../src/machines/job.ts'

/** What some events come with. */
const told: Readonly<Record<string, string>> = { enqueue: 'delayed', expire: 'crashed' }

/** Every event, with everything that it may come with. */
export const allEvents: readonly JobEvent[] = eventTypes.flatMap((type) => {
  const name = told[type]
  return (
    name
      ? [
          { type, [name]: true },
          { type, [name]: false },
        ]
      : [{ type }]
  ) as JobEvent[]
})
