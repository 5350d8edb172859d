import { type Cause, causeOf } from '../machines/cause.ts'
import { hasTag } from '../machines/edges.ts'
import type { EventType } from '../machines/job.ts'
import { type HistoryEvent, type StoredError, situationEventsMax } from '../persistence/store.ts'
import type { Facts } from './facts.ts'
import { isNext } from './held.ts'
import { ago, number, sayError, sentence } from './words.ts'

/** Something that happened to a job. */
export interface Happened {
  /** Which row of its history it is. */
  readonly seq: number
  readonly event: EventType
  readonly cause: Cause
  /** Epoch ms. */
  readonly at: number
  /** After it, and of how many. */
  readonly attempt: number
  readonly maxAttempts: number
  /** Without its stack. */
  readonly error: StoredError | null
  readonly sentence: string
}

/** One row of a job's history as people are told of it. */
export function tell(event: HistoryEvent, facts: Facts): Happened {
  return {
    seq: event.seq,
    event: event.event,
    cause: causeOf(event.event),
    at: event.at,
    attempt: event.attempt,
    maxAttempts: facts.situation.job.maxAttempts,
    error: event.error && withoutStack(event.error),
    sentence: sentence(recount(event, facts)),
  }
}

function withoutStack({ stack: _, ...error }: StoredError): StoredError {
  return error
}

/** What happened, as a clause: `a client enqueued it 12 s ago`. */
export function recount(event: HistoryEvent, facts: Facts): string {
  return clauses[event.event](event, facts, ago(event.at, facts.now))
}

const clauses: Readonly<Record<EventType, (event: HistoryEvent, facts: Facts, ago: string) => string>> = {
  enqueue: (_event, _facts, ago) => `a client enqueued it ${ago}`,
  due: (event, facts, ago) => `its time came ${ago}${event.attempt > 0 ? afterFailure(facts) : ''}`,
  lease: (_event, _facts, ago) => `the dispatcher claimed it ${ago} for a worker`,
  start: (event, facts, ago) =>
    `${startedBy(facts)} ${ago}, for ${attemptOf(event, facts)}${event.attempt > 1 ? afterFailure(facts) : ''}`,
  succeed: (event, facts, ago) => `its handler finished ${ago}, in ${attemptOf(event, facts)}`,
  fail: (event, facts, ago) => `${attemptOf(event, facts)} failed ${ago}${withError(event)}`,
  reject: (event, facts, ago) =>
    `${attemptOf(event, facts)} failed ${ago}${withError(event)}, which no further attempt can mend`,
  snooze: (event, facts, ago) =>
    `its handler asked ${ago} to be run later, and that attempt does not count${howOften(event, facts)}`,
  release: (event, _facts, ago) =>
    wasRunning(event)
      ? `the server that had started it gave it back ${ago}, since it stopped or had no worker free in time, and that attempt does not count`
      : `the server that had claimed it stopped ${ago} and gave it back`,
  expire: (event, facts, ago) =>
    wasRunning(event)
      ? `${attemptOf(event, facts)} broke off ${ago}${withReason(event)}${afterCrashes(event, facts)}`
      : `the process that had claimed it ended or fell silent, and it was put back in line ${ago}`,
  cancel: (event, facts, ago) =>
    `a person or a program cancelled it ${ago}${wasRunning(event) ? `, during ${attemptOf(event, facts)}` : ''}`,
  requeue: (_event, facts, ago) => `a person or a program requeued it ${ago}${afterFailure(facts)}`,
}

function attemptOf({ attempt }: HistoryEvent, { situation }: Facts): string {
  return `attempt ${number(attempt)} of ${number(situation.job.maxAttempts)}`
}

/** Who started it, and whether its handler was called. */
function startedBy(facts: Facts): string {
  return isNext(facts) ? 'the dispatcher chose it to be next' : 'a worker called its handler'
}

function wasRunning({ from }: HistoryEvent): boolean {
  return from !== null && hasTag(from, 'executing')
}

function withError({ error }: HistoryEvent): string {
  return error ? ` with ${sayError(error)}` : ''
}

/** The store's own words for what it did, without the name that they have as an error. */
function withReason({ error }: HistoryEvent): string {
  return error ? `, because ${error.message}` : ''
}

function afterFailure({ situation: { lastFailure } }: Facts): string {
  if (!lastFailure) return ''
  return `, after attempt ${number(lastFailure.attempt)} had failed${withError(lastFailure)}`
}

/** A job that is snoozed without end is seen by that. */
function howOften(event: HistoryEvent, { situation: { lastEvent, snoozes } }: Facts): string {
  if (event.seq !== lastEvent.seq || snoozes < 2) return ''
  return `; it has been snoozed ${event.seq > situationEventsMax ? 'at least ' : ''}${number(snoozes)} times`
}

/** From the second crash on a job waits longer than others do. */
function afterCrashes(event: HistoryEvent, { situation: { job, lastEvent, crashes } }: Facts): string {
  if (event.seq !== lastEvent.seq || crashes < 2 || job.runAt <= event.at) return ''
  return `; that has happened ${number(crashes)} times, so it comes back after the others, in case it is what ends the process`
}
