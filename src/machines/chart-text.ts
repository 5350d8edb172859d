import type { EventFrom } from 'xstate'
import type { GuardName } from './job.ts'
import type { slotMachine } from './slots.ts'

/** The words for an event. */
interface EventText {
  /** What has happened to the job, the dispatcher or the slot. */
  readonly what: string
  readonly who: string
}

/** The words for a guard that holds, and for one that does not. */
interface GuardText {
  readonly holds: string
  readonly not: string
}

/** The guards of all machines. */
export const guardText = {
  job: {
    attemptsRemain: { holds: 'attempts remain', not: 'last attempt' },
    isBlocked: { holds: 'unique key held', not: 'no other' },
    runAtLiesAhead: { holds: 'run_at ahead', not: 'now' },
    mayCrashAgain: { holds: 'crash', not: 'no crash' },
    crashed: { holds: 'fourth crash', not: 'no crash' },
  } satisfies Readonly<Record<GuardName, GuardText>>,
  dispatcher: {
    idle: { holds: 'nothing is left', not: 'something is left' },
    allStuck: { holds: 'every slot is stuck', not: 'a slot is left' },
  } as Readonly<Record<string, GuardText>>,
}

/** The events of the other machines; for the dispatcher only those that lead to another mode. */
export const eventText = {
  dispatcher: {
    recovered: { what: 'the jobs of a dead process were requeued', who: 'the store' },
    drain: { what: 'a stop was requested', who: '`stop()`, which SIGTERM calls' },
  } as Readonly<Record<string, EventText>>,
  worker: {
    assign: { what: 'got a job whose start is on disk', who: 'the dispatcher' },
    settle: { what: 'the handler has ended', who: 'the handler' },
    giveUp: {
      what: 'the handler was aborted and did not end; it is no longer waited for',
      who: 'the attempt, when its grace has passed, or a drain that ran out of time',
    },
    end: { what: 'a handler that was aborted has ended after all', who: 'the handler' },
  } satisfies Readonly<Record<EventFrom<typeof slotMachine>['type'], EventText>>,
}
