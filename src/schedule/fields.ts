import { z } from 'zod'
import { fields as jobFields, type Naming, type NewJob, name as nameSchema, snakeCase } from '../job/fields.ts'
import type { MissedPolicy } from './missed.ts'
import type { Timing } from './ticks.ts'

/** A schedule to create or change, as the library accepts it. It needs either `cron` or `everyMs`. */
export interface NewSchedule<Job = ScheduledJob> {
  /** 1 to 64 letters, digits and `. _ : -`. It identifies the schedule: writing the same name again changes it. */
  readonly name: string
  /** Five fields, or six with seconds first, or a macro such as `@daily`; see docs/schedules.md. */
  readonly cron?: string
  /** An interval, from 1,000 to 31,622,400,000 ms (366 days), counted from `startsAt`, otherwise from the creation. */
  readonly everyMs?: number
  /** An IANA time zone such as `Europe/Berlin`; `UTC` by default. */
  readonly zone?: string
  /** The job of each tick. */
  readonly job: Job
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
export type ScheduledJob<Job = NewJob> = Job extends unknown ? Omit<Job, 'runAt' | 'delayMs' | 'idempotencyKey'> : never

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

const everyMinMs = 1_000
const everyMaxMs = 31_622_400_000
const jitterMaxMs = 86_400_000

const duration = (min: number, max: number) => {
  const takes = `must be a whole number of ms from ${min} to ${max}`
  return z.int(takes).min(min, takes).max(max, takes)
}
const oneOf = <const Values extends readonly string[]>(values: Values) =>
  z.enum(values, `must be one of: ${values.join(', ')}`)

/** A field of a schedule that a caller may set. Its description, default and examples are those of the HTTP API. */
interface Field {
  readonly takes: z.ZodType
  /** The same in JSON, if that differs. */
  readonly inJson?: z.ZodType
}

/** Every field, in the order in which errors list them. `NewSchedule` documents what each means to callers. */
const fields = {
  name: {
    takes: nameSchema.meta({ description: 'What identifies the schedule: 1 to 64 letters, digits and `. _ : -`.' }),
  },
  cron: {
    takes: z
      .string('must be a text')
      .optional()
      .meta({ description: 'A cron expression. Either this or `every_ms`.', examples: ['30 9 * * 1-5'] }),
  },
  everyMs: {
    takes: duration(everyMinMs, everyMaxMs)
      .optional()
      .meta({ description: 'An interval in ms, counted from `starts_at`, otherwise from the creation.' }),
  },
  zone: {
    takes: z
      .string('must be a text')
      .optional()
      .meta({ description: 'An IANA time zone.', default: 'UTC', examples: ['Europe/Berlin'] }),
  },
  job: {
    takes: z
      .looseObject({}, 'must be an object that describes one job')
      .meta({ description: 'The job of each tick: its type, payload, queue and so on.' }),
  },
  overlap: {
    takes: oneOf(['allow', 'skip'])
      .optional()
      .meta({ description: 'Whether a tick makes a job while the last one has not ended.', default: 'allow' }),
  },
  missed: {
    takes: oneOf(['skip', 'one', 'all'])
      .optional()
      .meta({ description: 'Whether missed ticks get no job, one for all, or one each.', default: 'one' }),
  },
  jitterMs: {
    takes: duration(0, jitterMaxMs)
      .optional()
      .meta({ description: 'Delays each job by up to this many ms, the same for the same tick.', default: 0 }),
  },
  startsAt: {
    takes: jobFields.runAt.takes,
    inJson: jobFields.runAt.inJson.describe('The first instant at which it may tick: RFC 3339 with an offset.'),
  },
  endsAt: {
    takes: jobFields.runAt.takes,
    inJson: jobFields.runAt.inJson.describe('The instant from which it no longer ticks: RFC 3339 with an offset.'),
  },
} satisfies Readonly<Record<keyof NewSchedule, Field>>

/** The fields with the names that callers use, in their order. */
export const scheduleFields = (
  naming: Naming,
): readonly (readonly [field: keyof NewSchedule, name: string, takes: z.ZodType])[] =>
  Object.entries(fields).map(([field, about]: [string, Field]) =>
    naming === 'camelCase'
      ? [field as keyof NewSchedule, field, about.takes]
      : [field as keyof NewSchedule, snakeCase(field), about.inJson ?? about.takes],
  )

/** Describes a schedule as HTTP accepts it. Its expression, zone and job are checked separately. */
export const newScheduleSchema: z.ZodObject = z.strictObject(
  Object.fromEntries(scheduleFields('snake_case').map(([, name, takes]) => [name, takes])),
)
