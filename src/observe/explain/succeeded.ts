import type { Facts } from './facts.ts'
import { ago, number, oneLine } from './text.ts'

/** What is odd about a job that has succeeded: what to say of it first, and what to do about it. */
interface Warning {
  /** Follows `Job 1 (mail) has succeeded`. */
  readonly lead: string
  readonly advice: string
}

/** By the sentences of the webhook handler and of the engine; whatever else a handler notes says nothing odd. */
const notes: readonly { readonly pattern: RegExp; readonly lead: string; readonly advice: string }[] = [
  {
    pattern: /^\S+ answered \d{3} to [A-Z]+, after (a|\d) redirects? from \S+/,
    lead: ', but another host answered: ',
    advice:
      'Correct the address: the receiver that was meant has probably received nothing, and the other host may have the payload. Leave out "redirects": "any_origin" as well, so that no redirect leads to another host. Then enqueue a new job',
  },
  {
    pattern: /\bthe process did not run for [^;]+ meanwhile\b/,
    lead: ', but ',
    advice:
      'Find out what stopped the whole process: a suspended machine, SIGSTOP, a debugger. This job needs nothing more. If its effect is missing all the same, enqueue a new job',
  },
  {
    pattern: /\bthe event loop stood still for [^;]+ meanwhile\b/,
    lead: ', but ',
    advice:
      'Find the handler that blocks the event loop, or what stopped the process. This job needs nothing more. If its effect is missing all the same, enqueue a new job',
  },
]

/** Says what is odd about a job that has succeeded; empty if nothing is. */
export function sayWarning(facts: Facts): string {
  return warningOf(facts)?.lead ?? ''
}

/** What to do about a job that has succeeded: it cannot be requeued. */
export function adviceAfterSuccess(facts: Facts): string {
  const { note = '' } = facts.jobFacts.lastEvent
  const where =
    note === ''
      ? 'check what its handler does and logs'
      : 'look for it where the answer came from, which is given above'
  const advice =
    warningOf(facts)?.advice ?? `Nothing: it has succeeded. If its effect is missing, ${where}; then enqueue a new job`
  const key = facts.jobFacts.job.idempotencyKey === null ? '' : ', with another idempotency key'
  return `${advice}${key}: one that has succeeded cannot be requeued.`
}

function warningOf(facts: Facts): Warning | null {
  const { note = '' } = facts.jobFacts.lastEvent
  const odd = notes.find(({ pattern }) => pattern.test(note))
  return odd ? { lead: `${odd.lead}${oneLine(note)}`, advice: odd.advice } : replayed(facts)
}

/** A caller who used its key again made no new job, and may think that it did. */
function replayed({ jobFacts: { replays }, now }: Facts): Warning | null {
  if (!replays) return null
  const times = replays.count === 1 ? 'once' : `${number(replays.count)} times, the last time`
  return {
    lead: `, and no new job was made when its idempotency key was used again ${times} ${ago(replays.lastAt, now)}`,
    advice:
      'Have the caller use another key for each new job: with the same key, and the same content, it gets this one back until that is removed. To run the work once more now, enqueue a new job',
  }
}
