import type { Naming, NewJob } from '../job/fields.ts'
import type { MissedPolicy } from './missed.ts'
import type { Timing } from './ticks.ts'

/** A schedule to create or change, as the library accepts it. It needs either `cron` or `everyMs`. */
export interface NewSchedule {
  /** 1 to 64 letters, digits and `. _ : -`. It identifies the schedule: writing the same name again changes it. */
  readonly name: string
  /** Five fields, or six with seconds first, or a macro such as `@daily`; see docs/schedules.md. */
  readonly cron?: string
  /** An interval, from 1,000 to 31,622,400,000 ms (366 days), counted from `startsAt`, otherwise from the creation. */
  readonly everyMs?: number
  /** An IANA time zone such as `Europe/Berlin`; `UTC` by default. */
  readonly zone?: string
  /** The job of each tick. */
  readonly job: ScheduledJob
  /** Whether a tick makes a job while the last one has not ended: `allow` (default) or `skip`. */
  readonly overlap?: 'allow' | 'skip'
  /** What ticks that were missed by more than a minute become: no job, one for all (default), or one each. */
  readonly missed?: MissedPolicy
  /** Delays each job by up to this many ms, at most half of the way to the next tick; 0 by default, at most 86,400,000. */
  readonly jitterMs?: number
  /** The first instant at which it may tick: epoch ms, a Date, or RFC 3339 with an offset. */
  readonly startsAt?: number | Date | string
  /** The instant from which it no longer ticks. */
  readonly endsAt?: number | Date | string
}

/** The job that a schedule makes at each tick. The tick decides when it may run. */
export type ScheduledJob = Omit<NewJob, 'runAt' | 'delayMs' | 'idempotencyKey'>

/** A schedule whose fields were checked and completed. */
export interface Schedule {
  readonly name: string
  readonly timing: Timing
  /** The fields that were given. */
  readonly job: ScheduledJob
  readonly overlap: 'allow' | 'skip'
  readonly missed: MissedPolicy
  readonly jitterMs: number
}

/**
 * Checks a caller's input and completes it. `checkJob` checks the job as `toRow` does, with the caller's names. Throws `InvalidInputError`
 * with every fault.
 */
export function parseSchedule(_input: unknown, _naming: Naming, _checkJob: (job: unknown) => unknown): Schedule {
  throw new Error('not yet')
}
