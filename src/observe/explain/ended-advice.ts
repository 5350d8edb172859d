import { eventsFrom, hasTag } from '../../machines/edges.ts'
import { type HistoryEvent, processEnded } from '../../persistence/store.ts'
import type { Facts } from './facts.ts'
import { wasRunning } from './happened.ts'
import { adviceAfterSuccess } from './succeeded.ts'
import { counted, cut, number, sayInstant } from './text.ts'

/** What to do about a job that has ended: whether a requeue helps, what must be corrected first, and what it would do. */
export function adviceAfterEnd(facts: Facts): string {
  const { state } = facts.jobFacts.job
  if (!hasTag(state, 'expendable')) return givenUp(facts.jobFacts)
  return eventsFrom(state).length > 0 ? stopped(facts) : adviceAfterSuccess(facts)
}

type JobFacts = Facts['jobFacts']

/** Cancelled by a user. */
function stopped(facts: Facts): string {
  const { job, lastEvent } = facts.jobFacts
  const isEarly = job.runAt > facts.now
  const runs = isEarly
    ? `If it is still wanted, edit and requeue it for its time (${sayInstant(job.runAt, facts.now)}). A plain requeue runs it at once, with the same payload.`
    : 'Requeue it if it is still wanted: it runs at once, with the same payload and all its attempts.'
  const effect = wasRunning(lastEvent) ? ` Its handler was running when it was stopped: ${mayRepeat}.` : ''
  return `${askFirst(lastEvent)}${runs}${effect}${sayBulk(facts)}`
}

const mayRepeat = 'check first whether its effect has happened, because a requeue may repeat it'

function askFirst({ actor, reason }: HistoryEvent): string {
  const why = reason === undefined ? null : `whether the reason (${JSON.stringify(cut(reason))}) still holds`
  if (actor === undefined) return why ? `First check ${why}. ` : ''
  return `First ask ${actor}, who stopped it${why ? `, ${why}` : ''}. `
}

function sayBulk({ jobFacts: { lastEvent }, server }: Facts): string {
  // It counts a job a little after it was stopped.
  const moved = Math.max(server?.bulk?.moved ?? 0, 1)
  if (lastEvent.bulk === undefined || (server?.bulk && moved === 1)) return ''
  const others = server?.bulk ? counted({ count: moved - 1, more: false }, 'other job') : 'others'
  return ` The same bulk action stopped ${others}; a bulk requeue brings them back in the same way.`
}

function givenUp({ job, lastEvent, lastFailure }: JobFacts): string {
  const failure = lastEvent.error ? lastEvent : lastFailure
  const advice = failure?.error && byError[failure.error.name]
  if (advice) return advice(failure)
  if (lastEvent.event === 'reject') return rejected(lastEvent.error?.message ?? '')
  return `Correct the cause of the failure first, then requeue it: it starts over with ${number(job.maxAttempts)} ${job.maxAttempts === 1 ? 'attempt' : 'attempts'}. Otherwise it fails in the same way.`
}

function rejected(message: string): string {
  const wrong = /recipient/i.test(message)
    ? "find the recipient's right address, then edit and requeue it"
    : 'if its payload is wrong, edit and requeue it with a correct one'
  return `Do not requeue it as it is: ${wrong}. Its handler says that no retry helps. Requeue it unchanged only if something outside was wrong and is now corrected.`
}

/** By the error's name, for the engine's errors. */
const byError: Readonly<Record<string, (failure: HistoryEvent) => string>> = {
  [processEnded]: () =>
    'Find out first why the process ended (its log, its exit code, memory, a kill from outside) and correct the handler. Requeue it only then: otherwise it ends the process again, and it may repeat what it has done.',
  PayloadError: () =>
    'Edit and requeue it with a payload that the handler accepts, and correct the program that enqueues it. A requeue without changes does not help, unless the handler is changed first to accept this payload.',
  ResultError: () =>
    'Its handler ran to its end, so its effect has probably happened. Correct what the handler returns. Requeue this job only if its result is needed and its handler may run again.',
  UnknownTypeError: () => 'Start a server with a handler for its type, then requeue it.',
  AttemptTimeoutError: ({ error }) =>
    /event loop was blocked/.test(error?.message ?? '')
      ? `Check first whether its effect has happened; if not, requeue it. Then find the handler that blocked the event loop, its own or one that ran beside it, and move its work to a worker thread or another process: no handler could continue meanwhile. A longer timeout alone hides the cause.`
      : `Find out what its handler waited for, or give it more time (\`timeoutMs\` of the handler, or JOB_TIMEOUT_MS). Then requeue it, but ${mayRepeat}. If the job's own timeout is too short, enqueue a new job: a timeout cannot be changed.`,
}
