import type { EventFrom } from 'xstate'
import type { GuardName } from './job.ts'
import type { ScheduleEventType } from './schedule.ts'
import type { slotMachine } from './slots.ts'

/** The words for an event. */
interface EventText {
  /** What has happened to the job, the dispatcher, the slot or the schedule. */
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
  schedule: {
    create: { what: 'was declared', who: 'the program, a user or a client' },
    tick: { what: 'a tick made its job', who: 'time' },
    skip: { what: 'ticks made no job: they were missed, or their job could not be made', who: 'time' },
    catch_up: { what: 'missed ticks made a job', who: 'time' },
    trigger: { what: 'a job was made beside the ticks', who: 'a user or a client' },
    edit: { what: 'its timing, its job or its policies changed', who: 'the program, a user or a client' },
    pause: { what: 'was paused', who: 'a user or a client' },
    break: { what: 'its next tick could not be computed', who: 'the error' },
    end: { what: 'no tick is left, or it was ended', who: 'time, the program, a user or a client' },
    resume: { what: 'goes on', who: 'a user or a client' },
  } satisfies Readonly<Record<ScheduleEventType, EventText>>,
}
