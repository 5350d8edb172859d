import type { Cause, EventCause } from './cause.ts'
import { edges, eventTypes, hasTag } from './edges.ts'
import type { EventType, JobState } from './job.ts'

/** An event of the job machine, as readers see it. */
interface JobEventFacts {
  /** Who usually causes it, as far as its type says. One that has happened may name another cause. */
  readonly cause: Cause
  /** What has happened to the job. */
  readonly what: string
  /** Who caused it, in more words than `cause`. */
  readonly who: string
  /** The same as a clause about the future. */
  readonly next: string
  /** Set if a user or a client may send it. */
  readonly command?: CommandFacts
}

/** How a command is shown to those who may send it. */
interface CommandFacts {
  /** What a user has done to the job with it. */
  readonly done: string
  /** What it does to one job, in the words of the API description, and the description of its answer. */
  readonly summary: string
  readonly description: string
  readonly answer: string
  /** It throws work away, so its button warns. */
  readonly isDangerous: boolean
}

/** Every event of the job machine, described once: its usual cause, the words of charts and explanations, and its command. */
export const jobEvents = {
  enqueue: {
    cause: 'client',
    what: 'was accepted and is on disk',
    who: 'a client, over HTTP or by the library',
    next: 'a client enqueues it',
  },
  unblock: {
    cause: 'store',
    what: 'the job that it waited for has ended',
    who: 'the store, in the commit that ended that job',
    next: 'the job that holds its unique key ends',
  },
  due: {
    cause: 'clock',
    what: 'its run_at was reached',
    who: 'the store, as time passes',
    next: 'its time comes',
  },
  lease: {
    cause: 'dispatcher',
    what: 'was claimed, with a token and an expiry',
    who: 'the dispatcher, for a slot that is free or soon will be',
    next: 'the dispatcher claims it for a worker',
  },
  start: {
    cause: 'dispatcher',
    what: 'its handler is to be called next',
    who: 'the dispatcher, by the commit that leased it',
    next: 'a worker calls its handler',
  },
  succeed: {
    cause: 'handler',
    what: 'the handler is done',
    who: 'the handler, by returning',
    next: 'its handler finishes',
  },
  fail: {
    cause: 'handler',
    what: 'the handler threw, or took too long',
    who: 'the handler, or its timeout',
    next: 'its handler throws, or takes longer than its timeout',
  },
  reject: {
    cause: 'handler',
    what: 'the handler threw an error that no retry can correct',
    who: 'the handler, by a `PermanentError` or a schema that refuses the payload',
    next: 'its handler throws an error that no further attempt can correct',
  },
  snooze: {
    cause: 'handler',
    what: 'the handler asked to be run later',
    who: 'the handler, by a `SnoozeError`',
    next: 'its handler asks to be run later',
  },
  release: {
    cause: 'dispatcher',
    what: 'was given back before its handler was done',
    who: 'the dispatcher, while it drains, or if no slot became free in time',
    next: 'a server that stops, or has no worker free for it, gives it back',
  },
  expire: {
    // If the lease expired, or if recovery finds its owner dead.
    cause: 'store',
    what: 'the process that held its lease has ended, or the lease ran out',
    who: 'the store, at the start after a crash, or after `LEASE_MS` of silence',
    next: 'its lease runs out, or its holder is found dead',
  },
  cancel: {
    cause: 'person',
    what: 'was stopped',
    who: 'a user',
    next: 'a user stops it',
    command: {
      done: 'cancelled',
      summary: 'Cancel a job',
      description:
        'The signal of a running handler fires, and the handler can no longer record a result. The request has no body.',
      answer: 'The job, cancelled.',
      isDangerous: true,
    },
  },
  requeue: {
    cause: 'person',
    what: 'runs again from the beginning',
    who: 'a user',
    next: 'a user runs it again',
    command: {
      done: 'requeued',
      summary: 'Run a dead or cancelled job again',
      description:
        'Its attempts start over. A body may change it in the same commit, as `PATCH` does: edit and requeue.',
      answer: 'The job, to be run.',
      isDangerous: false,
    },
  },
  amend: {
    cause: 'person',
    what: 'its payload, `run_at`, priority or retries were changed',
    who: 'a user',
    next: 'a user changes it',
  },
} as const satisfies Readonly<Record<EventType, JobEventFacts>>

/** An event that a user or a client may send: a command. */
export type Command = {
  [Event in EventType]: (typeof jobEvents)[Event] extends { command: CommandFacts } ? Event : never
}[EventType]

/** Who causes an event, or caused it; `kept` is what the history has about it. */
export function causeOf(event: EventType, kept: EventCause | null = null): EventCause {
  return kept ?? { cause: jobEvents[event].cause }
}

/** The commands in the machine's order; `eventsFrom` says which of them a state allows. */
export const commands: readonly Command[] = Object.freeze(eventTypes.filter(isCommand))

export function isCommand(event: string): event is Command {
  return event in jobEvents && 'command' in jobEvents[event as EventType]
}

/** How a command is shown to those who may send it. */
export function commandFacts(command: Command): CommandFacts {
  return jobEvents[command].command
}

/** The ways from a state to a run, as clauses: `its time comes`. */
export function waysOn(state: JobState): string {
  const ways = edges.filter(({ from, to }) => from === state && !hasTag(to, 'ended'))
  return [...new Set(ways.map(({ event }) => jobEvents[event].next))].join(' or ')
}
