import type { HistoryEvent } from '../../persistence/store.ts'
import { processEnded } from '../../persistence/store.ts'
import type { Facts } from './facts.ts'
import { number } from './text.ts'

/** What to do about a job that was given up: whether a requeue helps, and what must be corrected first. */
export function mend({ jobFacts: { job, lastEvent, lastFailure } }: Facts): string {
  const failure = lastEvent.error ? lastEvent : lastFailure
  const advice = failure?.error && byError[failure.error.name]
  if (advice) return advice(failure)
  if (lastEvent.event === 'reject') {
    return 'Do not requeue it unchanged: its handler says that no retry helps. If the payload is wrong, enqueue a new job with a correct one (a payload cannot be changed); if something outside was wrong, correct that, then requeue it.'
  }
  return `Correct the cause of the failure first, then requeue it: it starts over with ${number(job.maxAttempts)} ${job.maxAttempts === 1 ? 'attempt' : 'attempts'}. Otherwise it fails in the same way.`
}

/** By the error's name, for the engine's errors. */
const byError: Readonly<Record<string, (failure: HistoryEvent) => string>> = {
  [processEnded]: () =>
    'Find out first why the process ended (its log, its exit code, memory) and correct the handler; only then requeue it, or it ends the process again.',
  PayloadError: () =>
    'Do not requeue it unchanged: its handler refuses the payload. Enqueue a new job with a payload that the handler accepts, or correct the handler, restart, and requeue it.',
  UnknownTypeError: () => 'Start a server with a handler for its type, then requeue it.',
  AttemptTimeoutError: ({ error }) =>
    /event loop was blocked/.test(error?.message ?? '')
      ? 'Find what blocked the event loop, and move it to a worker thread or another process: no handler could continue meanwhile, and this one may be innocent. Then requeue it; a longer timeout alone hides the cause.'
      : "Find out what its handler waited for, or give it more time (`timeoutMs` of the handler, or JOB_TIMEOUT_MS), then requeue it. If the job's own timeout is too short, enqueue a new job: it cannot be changed.",
}
