import type { Prefetch } from '../../machines/prefetch.ts'
import type { Slots } from '../../machines/slots.ts'
import type { ServerFacts } from './facts.ts'

/** What is known without looking at the slots. */
type Known = Omit<ServerFacts, 'slots' | 'busy' | 'stuck' | 'attempts'>

/** The dispatcher, as far as it is looked at. */
interface Dispatching {
  readonly slots: Slots
  readonly prefetch: Prefetch
}

/** What a server's dispatcher knows of one job, and of the workers that it may need. */
export function serverFacts(jobId: number, known: Known, { slots, prefetch }: Dispatching): ServerFacts {
  const assigned = slots.assigned().filter(({ job }) => job.id === jobId)
  const next = prefetch.next.filter(({ id }) => id === jobId)
  return {
    ...known,
    slots: slots.count,
    busy: slots.activeCount,
    stuck: slots.stuck().length,
    attempts: [
      ...next.map(({ leaseToken }) => ({ leaseToken, phase: 'next', timeoutMs: null, aborted: null }) as const),
      ...assigned.map(({ job, phase, attempt }) => ({
        leaseToken: job.leaseToken,
        phase: phase === 'stuck' ? phase : ('called' as const),
        timeoutMs: attempt?.timeoutMs ?? null,
        aborted: attempt?.aborted ?? null,
      })),
    ],
  }
}
