import type { Actor } from 'xstate'
import type { Activity } from './job-system.ts'
import type { dispatcherMachine } from './machines/dispatcher.ts'

/** What a dispatcher and its workers do at this moment; null: there is none. */
export function activityOf(dispatcher: Actor<typeof dispatcherMachine> | null): Activity {
  if (!dispatcher) return { mode: null, slots: 0, workers: [] }
  const { value, context } = dispatcher.getSnapshot()
  return {
    mode: value,
    slots: context.workers,
    workers: context.ledger.assigned().map(({ job, worker, phase }) => ({
      worker,
      jobId: job.id,
      type: job.type,
      attempt: job.attempt + 1,
      phase,
      since: null,
    })),
  }
}
