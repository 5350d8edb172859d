import { eventsFrom, hasTag } from '../../machines/edges.ts'
import { type HistoryEvent, processEnded } from '../../persistence/store.ts'
import type { Facts } from './facts.ts'
import { number } from './text.ts'

/** What to do about a job that has ended: whether a requeue helps, and what must be corrected first. */
export function adviceAfterEnd({ jobFacts }: Facts): string {
  const { state } = jobFacts.job
  if (!hasTag(state, 'expendable')) return givenUp(jobFacts)
  return eventsFrom(state).length > 0 ? stopped(jobFacts) : done(jobFacts)
}

type JobFacts = Facts['jobFacts']

/** Cancelled by a user. */
function stopped({ lastEvent: { actor, bulk } }: JobFacts): string {
  const ask = actor === undefined ? '' : ` (ask ${actor}, who stopped it)`
  const many = bulk === undefined ? '' : ' The same action stopped others; a bulk requeue brings all of them back.'
  return `Requeue it if it is still wanted${ask}: it then runs at once, with all its attempts.${many}`
}

function done({ lastEvent: { note = '' }, replays }: JobFacts): string {
  const slow = / did not run for /.test(note)
    ? ' If it took too long, find what stopped the whole process: a suspended machine, SIGSTOP, a debugger.'
    : / loop stood still for /.test(note)
      ? ' If it took too long, find the handler that blocks the event loop, or what stopped the process.'
      : ''
  const missing = / redirects? from /.test(note)
    ? 'call the right address, and leave out "redirects": "any_origin", so that no redirect leads to another host'
    : note === '' || slow !== ''
      ? 'check what its handler does and logs, since it returned without an error'
      : 'look for it where the answer came from'
  const key = replays
    ? 'A caller that used its key again made no new job: use another key for each new one.'
    : 'With an idempotency key, use another one.'
  return `Nothing, if its effect is there.${slow} If its effect is missing, ${missing}; then enqueue a new job, since one that succeeded cannot be requeued. ${key}`
}

function givenUp({ job, lastEvent, lastFailure }: JobFacts): string {
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
