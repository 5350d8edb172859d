import type { Ledger } from '../../machines/ledger.ts'
import type { ServerFacts } from './facts.ts'

/** What is known without looking into the books. */
type Known = Omit<ServerFacts, 'slots' | 'busy' | 'stuck' | 'attempts'>

/** What a server's books tell of one job, and of the workers that it may need. */
export function serverFacts(jobId: number, known: Known, ledger: Ledger): ServerFacts {
  const assigned = ledger.assigned().filter(({ job }) => job.id === jobId)
  const next = ledger.next.filter(({ id }) => id === jobId)
  return {
    ...known,
    slots: ledger.slotCount,
    busy: ledger.activeCount,
    stuck: ledger.stuck().length,
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
