import type { EventCause } from '../../machines/cause.ts'
import type { JobState } from '../../machines/job.ts'
import type { ScheduleEventType, ScheduleState } from '../../machines/schedule.ts'
import type { ScheduleSource } from '../../persistence/store.ts'
import type { NewSchedule, ScheduledJob } from '../../schedule/fields.ts'
import type { MissedPolicy, MissedTicks } from '../../schedule/missed.ts'
import type { CallerOptions } from '../caller-options.ts'

/** A stored schedule. Instants are epoch ms; values that do not apply are null. */
export interface ScheduleInfo {
  readonly name: string
  readonly state: ScheduleState
  /** Why it is broken. */
  readonly problem: string | null
  /** `code`: it is one of the option `schedules`, and only a new start with other ones changes or ends it. */
  readonly source: ScheduleSource
  readonly cron: string | null
  readonly everyMs: number | null
  readonly zone: string
  readonly startsAt: number | null
  readonly endsAt: number | null
  /** The job of each tick, with the fields that were given. */
  readonly job: ScheduledJob
  readonly overlap: 'allow' | 'skip'
  readonly missed: MissedPolicy
  readonly jitterMs: number
  /** Null if it is not active. */
  readonly nextTick: number | null
  /** The newest tick that made a job. The state is null if that was removed. */
  readonly lastJob: { readonly id: number; readonly tick: number; readonly state: JobState | null } | null
  /** The number of its newest event. */
  readonly seq: number
  readonly createdAt: number
  readonly updatedAt: number
}

/** By name. Pass `nextCursor` as `cursor` to continue; it is null at the end. */
export interface ScheduleList {
  readonly schedules: readonly ScheduleInfo[]
  readonly nextCursor: string | null
}

/** What an event of a schedule keeps besides its tick and its job. */
export interface ScheduleDetails {
  /** Who caused it; left out if time did. */
  readonly by?: EventCause
  /** Why ticks made no job (`missed`, `overlap`, `unique`, `full`), or why it ended or broke. */
  readonly reason?: string
  /** The missed ticks that it dealt with. */
  readonly missed?: MissedTicks
  /** How many of them make no job. */
  readonly skipped?: number
  /** The job that had not ended, for a tick that was skipped because of it. */
  readonly unended?: number
  /** The fields that an edit changed. */
  readonly changed?: readonly string[]
}

/** Something that happened to a schedule. `from` is null for the first. */
export interface ScheduleHistoryEvent extends ScheduleDetails {
  readonly seq: number
  readonly event: ScheduleEventType
  readonly from: ScheduleState | null
  readonly to: ScheduleState
  readonly at: number
  /** The tick that it dealt with, the last if several; null if it is about none. */
  readonly tick: number | null
  /** The job that it made; null if it made none. */
  readonly jobId: number | null
  /** The state of that job now; null if it was removed, or if there is none. */
  readonly jobState: JobState | null
}

/** The ticks to come, in UTC and in the zone of the schedule, and what may surprise about its timing, in sentences. */
export interface SchedulePreview {
  readonly ticks: readonly { readonly tick: number; readonly utc: string; readonly local: string }[]
  readonly warnings: readonly string[]
}

/**
 * The schedules of a system. What a call has changed is on disk when it resolves. Calls that name one reject with `ScheduleNotFoundError`; those
 * that change one with `ScheduleStateError` if its state does not allow it or the program declares it.
 */
export interface Schedules<Job = ScheduledJob> {
  /** Those that have not ended, by name; with `ended` also the last of each other name. `limit` is 1 to 500. */
  list(page?: { readonly cursor?: string; readonly limit?: number; readonly ended?: boolean }): Promise<ScheduleList>
  /** The one that has not ended, else the last one of that name. */
  find(name: string): Promise<ScheduleInfo | undefined>
  /**
   * Creates the schedule or changes the one of its name; the same again changes nothing. What an old timing owes is settled first. Rejects
   * with `InvalidInputError` with every fault, also if its handler refuses the payload.
   */
  put(schedule: NewSchedule<Job>, options?: CallerOptions): Promise<ScheduleInfo>
  /** The same for front doors: takes an unchecked JSON value with field names in snake_case. */
  submit(body: unknown, options?: CallerOptions): Promise<ScheduleInfo>
  /** No more ticks; its jobs stay. The name is free again. */
  end(name: string, options?: CallerOptions): Promise<ScheduleInfo>
  /** Ticks during a pause are not missed. */
  pause(name: string, options?: CallerOptions): Promise<ScheduleInfo>
  /** Of a paused or broken one. */
  resume(name: string, options?: CallerOptions): Promise<ScheduleInfo>
  /** Makes a job now, beside the ticks. Rejects with `BackpressureError` if too many jobs are waiting. */
  trigger(name: string, options?: CallerOptions): Promise<{ readonly jobId: number }>
  /** The next ticks; `limit` is 1 to 100, 5 by default; of a paused one those after a resume now. */
  preview(name: string, options?: { readonly limit?: number }): Promise<SchedulePreview>
  /** The same for a schedule as `submit` takes it, new or changed, which is not stored. Rejects with `InvalidInputError` with every fault. */
  previewNew(body: unknown, options?: { readonly limit?: number }): Promise<SchedulePreview>
  /** Newest first; `before` is a `seq`, `limit` 1 to 1,000. At least the newest 1,000 events are kept. */
  history(
    name: string,
    page?: { readonly before?: number; readonly limit?: number },
  ): Promise<readonly ScheduleHistoryEvent[]>
}
