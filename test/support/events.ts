import { eventTypes } from '../../src/machines/edges.ts'
import type { JobEvent } from '../../src/machines/job.ts'

/** The facts that some events carry. */
const told: Readonly<Record<string, string>> = { enqueue: 'delayed', amend: 'delayed', expire: 'crashed' }

/** Every event, with all the facts that it may carry. */
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
