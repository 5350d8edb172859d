import { snakeCase } from '../../job/fields.ts'
import { type EventCause, whoOf } from '../../machines/cause.ts'
import { hasTag } from '../../machines/edges.ts'
import { type Command, commandFacts, isCommand } from '../../machines/events.ts'
import type { EventType } from '../../machines/job.ts'
import { type HistoryEvent, processEnded, type StoredError } from '../../persistence/store.ts'
import { dateGivenAsDelay } from './delay.ts'
import type { Facts } from './facts.ts'
import { ago, counted, cut, duration, instant, number, oneLine, sentence } from './text.ts'

/** Something that happened to a job. */
export interface Happened extends EventCause {
  /** The number of its row in the history. */
  readonly seq: number
  readonly event: EventType
  /** Epoch ms. */
  readonly at: number
  /** After it, and of how many. */
  readonly attempt: number
  readonly maxAttempts: number
  /** Without its stack. */
  readonly error: StoredError | null
  readonly sentence: string
}

/** One row of a job's history, in words. */
export function toHappened(event: HistoryEvent, facts: Facts): Happened {
  return {
    ...withoutPlace(event),
    maxAttempts: facts.jobFacts.job.maxAttempts,
    error: event.error && withoutStack(event.error),
    sentence: sentence(recount(event, facts)),
  }
}

/** Other members say where it led from and to. */
function withoutPlace({ from: _, to: __, ...event }: HistoryEvent): Omit<HistoryEvent, 'from' | 'to'> {
  return event
}

function withoutStack({ stack: _, ...error }: StoredError): StoredError {
  return error
}

/** What happened, as a clause: `a client enqueued it 12 s ago`. */
export function recount(event: HistoryEvent, facts: Facts): string {
  const { event: type } = event
  const when = ago(event.at, facts.now)
  const clause = isCommand(type) ? commanded(type, event, facts, when) : clauses[type](event, facts, when)
  return `${clause}${why(event, facts)}`
}

const clauses: Readonly<
  Record<Exclude<EventType, Command>, (event: HistoryEvent, facts: Facts, ago: string) => string>
> = {
  enqueue: (event, facts, ago) => `${whoOf(event)} enqueued it ${ago}${withDelay(event, facts)}`,
  unblock: (event, facts, ago) => `the job that it waited for ended ${ago}${withDelay(event, facts)}`,
  amend: (event, _facts, ago) => `${whoOf(event)} changed ${sayChanges(event)}, ${ago}`,
  due: (event, facts, ago) =>
    `its time came ${ago}${withDelay(event, facts)}${hasFailed(event, facts, 1) ? afterFailure(facts) : ''}`,
  lease: (_event, _facts, ago) => `the dispatcher claimed it ${ago} for a worker`,
  start: (event, facts, ago) =>
    `${startedBy(facts)} ${ago}, for ${attemptOf(event, facts)}${hasFailed(event, facts, 2) ? afterFailure(facts) : ''}`,
  succeed: (event, facts, ago) => `its handler finished ${ago}, in ${attemptOf(event, facts)}${withNote(event)}`,
  fail: (event, facts, ago) => `${attemptOf(event, facts)} failed ${ago}${withError(event)}${withNote(event)}`,
  reject: (event, facts, ago) =>
    `${attemptOf(event, facts)} failed ${ago}${withError(event)}, which no further attempt can correct${withNote(event)}`,
  snooze: (event, _facts, ago) =>
    `its handler snoozed it ${ago}${withNote(event)}${withFault(event)}, which counts as no attempt`,
  release: (event, _facts, ago) =>
    event.cause === 'recovery'
      ? `the server that held it ended while it stopped, and it was put back in line ${ago}`
      : wasRunning(event)
        ? `the server that had started it gave it back ${ago}, since it stopped or had no worker free in time, and that attempt does not count`
        : `the server that had claimed it stopped ${ago} and gave it back`,
  expire: (event, facts, ago) =>
    isLastCrash(event)
      ? `it was given up ${ago}${withReason(event)}`
      : wasRunning(event)
        ? `${attemptOf(event, facts)} broke off ${ago}${withReason(event)}${isCrash(event) ? ', and that attempt does not count' : ''}`
        : `the process that had claimed it ${event.cause === 'recovery' ? 'ended' : 'ended or fell silent'}, and it was put back in line ${ago}`,
}

/** What a user did. */
function commanded(command: Command, event: HistoryEvent, facts: Facts, ago: string): string {
  const circumstance = wasRunning(event)
    ? `, during ${attemptOf(event, facts)}`
    : beginsAnew(event)
      ? afterFailure(facts)
      : ''
  return `${whoOf(event)} ${commandFacts(command).done} it ${ago}${circumstance}${withNote(event)}`
}

/** `its payload, and its priority from 0 to 5`. */
function sayChanges({ changes = {} }: HistoryEvent): string {
  const said = Object.entries(changes).map(([name, change]) => {
    const shown = (value: number) => (name === 'runAt' ? instant(value) : `${value}`)
    return change === true ? `its ${name}` : `its ${snakeCase(name)} from ${shown(change.from)} to ${shown(change.to)}`
  })
  return said.length === 0 ? 'it' : said.join(' and ')
}

/** What else is known about it. */
function why({ seq, reason, bulk }: HistoryEvent, { jobFacts, server }: Facts): string {
  const known = seq === jobFacts.lastEvent.seq && server?.bulk?.moved ? server.bulk : null
  const size = known ? ` that changed ${counted({ count: known.moved, more: false }, 'job')}` : ''
  const part = bulk === undefined ? '' : `, in a bulk action${size}`
  return reason === undefined ? part : `${part}, with the reason ${JSON.stringify(cut(reason))}`
}

function attemptOf(event: HistoryEvent, { jobFacts }: Facts): string {
  return `attempt ${number(attemptNumber(event))} of ${number(jobFacts.job.maxAttempts)}`
}

/** Who started it, and whether its handler was called. */
function startedBy(facts: Facts): string {
  return facts.isNext ? 'the dispatcher chose it to be next' : 'a worker called its handler'
}

/** Whether it ended or interrupted an attempt. */
export function wasRunning({ from }: HistoryEvent): boolean {
  return from !== null && hasTag(from, 'executing')
}

function beginsAnew({ from }: HistoryEvent): boolean {
  return from !== null && hasTag(from, 'ended')
}

function withError({ error }: HistoryEvent): string {
  return error ? ` with ${sayError(error)}` : ''
}

function sayError({ name, message }: StoredError): string {
  return oneLine(`${name}: ${message}`)
}

/** How long it had to wait when it was enqueued; empty if it had not, or if its `run_at` has changed since. */
function withDelay({ seq, event }: HistoryEvent, { jobFacts: { job, lastEvent } }: Facts): string {
  const delayMs = job.runAt - job.createdAt
  // Any later attempt, and a requeue, changes it.
  if (delayMs <= 0 || seq !== lastEvent.seq || seq !== { enqueue: 1, due: 2 }[event as string]) return ''
  const date = dateGivenAsDelay(job)
  const delay = `a delay of ${duration(delayMs)}${date === null ? '' : ` (read as a date, that is ${instant(date)})`}`
  return event === 'enqueue' ? `, with ${delay}` : `, as asked with ${delay}`
}

/** What the handler noted about the attempt. */
function withNote({ note }: HistoryEvent): string {
  return note === undefined ? '' : ` (${oneLine(note)})`
}

/** What was wrong with the delay that a snooze requested. */
function withFault(event: HistoryEvent): string {
  return event.error ? `, wrongly${withError(event)}` : ''
}

/** The store's own words for what it did, without the name that they have as an error. */
function withReason({ error }: HistoryEvent): string {
  return error ? `, because ${error.message}` : ''
}

function afterFailure({ jobFacts: { lastFailure } }: Facts): string {
  if (!lastFailure) return ''
  if (lastFailure.event === 'snooze') return `, after its handler had asked to be run later${withFault(lastFailure)}`
  if (isLastCrash(lastFailure)) return `, after it had been given up${withReason(lastFailure)}`
  const how = isCrash(lastFailure) ? `broken off${withReason(lastFailure)}` : `failed${withError(lastFailure)}`
  return `, after attempt ${number(attemptNumber(lastFailure))} had ${how}`
}

/** Whether an attempt had failed or broken off when this was the `first` one after it, or a later one. */
function hasFailed({ attempt }: HistoryEvent, { jobFacts: { job } }: Facts, first: number): boolean {
  return attempt >= first || job.crashes > 0
}

function isCrash({ error }: HistoryEvent): boolean {
  return error?.name === processEnded
}

/** Whether it was the job's last crash, whatever its attempts. */
function isLastCrash(event: HistoryEvent): boolean {
  return isCrash(event) && hasTag(event.to, 'ended')
}

/** The number of the event's attempt: one that a crash broke off was given back. */
function attemptNumber(event: HistoryEvent): number {
  return event.attempt + Number(isCrash(event) && wasRunning(event))
}
