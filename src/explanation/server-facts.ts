import type { LeasedJob } from '../machines/lease.ts'
import type { Ledger } from '../machines/ledger.ts'
import type { RunStats } from '../telemetry/run-stats.ts'
import type { AttemptFacts, ServerFacts } from './facts.ts'

/** What is known without looking into the books. */
type Known = Omit<ServerFacts, 'slots' | 'busy' | 'stuck' | 'attempts'>

/** What a server's books tell of one job, and of the workers that it may need. */
export function serverFacts(jobId: number, known: Known, ledger: Ledger, stats: RunStats): ServerFacts {
  const toFacts = (job: LeasedJob, phase: AttemptFacts['phase']): AttemptFacts => ({
    leaseToken: job.leaseToken,
    phase,
    timeoutMs: stats.timeoutMsOf(job),
    aborted: stats.abortOf(job),
  })
  const assigned = ledger.assigned().filter(({ job }) => job.id === jobId)
  return {
    ...known,
    slots: ledger.slotCount,
    busy: ledger.activeCount,
    stuck: ledger.stuck().length,
    attempts: [...assigned.map(({ job, phase }) => toFacts(job, phase === 'stuck' ? phase : 'called'))],
  }
}
