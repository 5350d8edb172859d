import type { NewJobRow } from '../job/row.ts'
import type { JobState } from '../machines/job.ts'
import type { ScheduleEventType, ScheduleState } from '../machines/schedule.ts'

/** Who declared a schedule: the program, at its start, or a user or client while it runs. */
export type ScheduleSource = 'code' | 'api'

/** One stored schedule. Instants are epoch ms. */
export interface ScheduleRow {
  readonly id: number
  /** Unique among those that have not ended. */
  readonly name: string
  readonly state: ScheduleState
  /** The number of its newest event. */
  readonly seq: number
  readonly source: ScheduleSource
  /** Its timing, its job and its policies: a `Schedule` as JSON text. */
  readonly spec: string
  readonly overlap: 'allow' | 'skip'
  /** When it was created or its interval last changed. */
  readonly since: number
  /** The newest tick that was dealt with; when it was created, resumed or its timing changed, if that was later. */
  readonly lastTick: number
  /** Null if it is not active, or if no tick is left. */
  readonly nextTick: number | null
  /** The version of the time zones by which `nextTick` was computed. */
  readonly tzVersion: string
  /** Why it is broken; null if it is not. */
  readonly problem: string | null
  readonly createdAt: number
  readonly updatedAt: number
}

/** A schedule with what decides about its next tick. */
export interface DueSchedule extends ScheduleRow {
  /** A job of it that has not ended, if its `overlap` is `skip`; null if there is none. */
  readonly unended: number | null
}

/** A schedule as it is listed. */
export interface ScheduleEntry extends DueSchedule {
  /** The job of its newest tick that made one; null if there is none. Its state is null if it was removed. */
  readonly lastJob: { readonly id: number; readonly tick: number; readonly state: JobState | null } | null
}

/** One event of a schedule. */
export interface ScheduleHistoryRow {
  readonly seq: number
  readonly event: ScheduleEventType
  readonly from: ScheduleState | null
  readonly to: ScheduleState
  readonly at: number
  /** The tick that it dealt with, or the last of several; null if it is about none. */
  readonly tick: number | null
  /** The job that it made; null if it made none. */
  readonly jobId: number | null
  /** The state of that job now; null if it was removed, or if there is none. */
  readonly jobState: JobState | null
  /** What else is known, as JSON text. */
  readonly details: string | null
}

/** What the events of a schedule may change of its row. */
export type SchedulePlan = Pick<
  ScheduleRow,
  'source' | 'spec' | 'overlap' | 'since' | 'lastTick' | 'nextTick' | 'tzVersion' | 'problem'
>

/** One event of one schedule, with the job that it makes. */
export interface ScheduleMove {
  /** Null: it is created. */
  readonly id: number | null
  readonly name: string
  /** The number of the newest event when this was decided; 0 if it is created. If another came since, nothing is changed. */
  readonly seq: number
  /** Null: only its plan changes, by another version of the time zones. */
  readonly event: ScheduleEventType | null
  readonly plan: SchedulePlan
  readonly tick: number | null
  readonly details: string | null
  readonly job: NewJobRow | null
}

/**
 * What became of a move. `stale`: somebody else was first, or the state does not allow the event. `held`: the job `holder` has the unique key
 * of its job. `full`: there is no room for its job; as in `EnqueueResult`. Then nothing was changed.
 */
export type ScheduleMoveResult =
  | { readonly outcome: 'moved'; readonly id: number; readonly jobId: number | null }
  | { readonly outcome: 'stale' }
  | { readonly outcome: 'held'; readonly holder: number }
  | { readonly outcome: 'full'; readonly queue: string | null; readonly depth: number }

/** Schedules by name. Pass `next` as `after` to continue; it is null at the end. */
export interface SchedulePage {
  readonly schedules: readonly ScheduleEntry[]
  readonly next: string | null
}

/** The schedules that are due, in the order of their ticks. */
export interface DuePage {
  /** By the clock of the store. */
  readonly now: number
  readonly due: readonly DueSchedule[]
  /** Pass it to continue; null at the end. */
  readonly next: readonly [tick: number, id: number] | null
  /** The earliest tick that is not due; null if there is none. Only at the end. */
  readonly nextTick: number | null
}

/** The events of a schedule that are kept, the newest, and how many of the others are removed together. */
export const scheduleHistory = { kept: 1_000, removedAtOnce: 100 }

/** The part of the store that keeps schedules. */
export interface ScheduleStore {
  /** Whether other processes may change schedules. */
  readonly isShared: boolean
  /** Those that have not ended, by name; `ended`: also the last of each other name. A page also ends when it is long. */
  list(page: { readonly after: string | null; readonly limit: number; readonly ended?: boolean }): Promise<SchedulePage>
  /** The one that lives, else the newest of that name; null if there is none. `now` is by the clock of the store. */
  find(name: string): Promise<{ readonly now: number; readonly schedule: ScheduleEntry | null }>
  /** Newest first; `before` is a `seq`. */
  history(id: number, page: { readonly before: number; readonly limit: number }): Promise<readonly ScheduleHistoryRow[]>
  due(after: DuePage['next'], limit: number): Promise<DuePage>
  /**
   * Makes each of the moves, with its job, its event and the row of its schedule in one transaction, or nothing of it. At most one for each
   * schedule. Rejects as `enqueue` does.
   */
  move(moves: readonly ScheduleMove[]): Promise<readonly ScheduleMoveResult[]>
}
