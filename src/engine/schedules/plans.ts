import type { EventCause } from '../../machines/cause.ts'
import type { ScheduleEventType } from '../../machines/schedule.ts'
import type { DueSchedule, SchedulePlan, ScheduleRow } from '../../persistence/store.ts'
import type { Schedule } from '../../schedule/fields.ts'
import { dueTicks } from '../../schedule/missed.ts'
import { type Ticks, ticksOf } from '../../schedule/ticks.ts'
import type { ScheduleDetails } from './schedules.ts'

/** What is to happen to a schedule next. */
export interface Step {
  readonly event: ScheduleEventType | null
  readonly plan: SchedulePlan
  readonly tick: number | null
  readonly details: ScheduleDetails | null
  /** Whether it makes a job. */
  readonly makesJob: boolean
}

/** A schedule that was read, and its ticks. */
interface Compiled {
  readonly spec: string
  readonly since: number
  readonly schedule: Schedule
  readonly ticks: Ticks
}

/** Up to this age, in ms, a tick is late, not missed. */
const graceMs = 60_000
/** Compiled schedules that are kept. */
const compiledMax = 20_000
/** Characters of the reason for which a schedule is broken. */
const problemLengthMax = 1_000

/** The version of the rules of all time zones, which come with Node.js. */
export const tzVersion: string = process.versions.tz ?? 'unknown'

/** Decides what is next for each schedule. Pure but for what it keeps to be quick. */
export class SchedulePlans {
  readonly #compiled = new Map<number, Compiled>()

  /** The parsed text of a schedule and its ticks. Throws if an earlier version, or another program, wrote what this one cannot read. */
  read({ id, spec, since }: Pick<ScheduleRow, 'id' | 'spec' | 'since'>): Compiled {
    const known = this.#compiled.get(id)
    if (known?.spec === spec && known.since === since) return known
    const schedule = JSON.parse(spec) as Schedule
    const compiled = { spec, since, schedule, ticks: ticksOf(schedule.timing, since) }
    if (this.#compiled.size >= compiledMax) this.#compiled.clear()
    this.#compiled.set(id, compiled)
    return compiled
  }

  /** One step of an active schedule whose next tick has come. An error in its rule breaks it, and no other. */
  step(row: DueSchedule, now: number): Step {
    try {
      return this.#step(row, now)
    } catch (error) {
      return broken(row, error)
    }
  }

  /** The same row with the next tick by this process's time zones; it is broken if there is an error in its rule. */
  replan(row: ScheduleRow): Step {
    try {
      const plan = { ...planOf(row), nextTick: this.read(row).ticks.next(row.lastTick), tzVersion }
      return { event: null, plan, tick: null, details: null, makesJob: false }
    } catch (error) {
      return broken(row, error)
    }
  }

  #step(row: DueSchedule, now: number): Step {
    const { schedule, ticks } = this.read(row)
    const plan = (tick: number) => ({ ...planOf(row), lastTick: tick, nextTick: ticks.next(tick), tzVersion })
    if (row.nextTick === null) return ended(row, 'no tick is left')
    if (now - row.nextTick <= graceMs) return withOverlap(row, 'tick', row.nextTick, null, plan)
    const { run, missed, skipped } = dueTicks(ticks, row.lastTick, now, schedule.missed)
    const [first] = run
    // Other rules of time zones than those by which it was planned.
    if (!missed) return first ? withOverlap(row, 'tick', first.tick, null, plan) : this.replan(row)
    if (!first || first.tick > missed.last) {
      const details = { reason: 'missed', missed, skipped }
      return { event: 'skip', plan: plan(missed.last), tick: missed.last, details, makesJob: false }
    }
    const details = first.missed && { missed: first.missed, skipped }
    return withOverlap(row, 'catch_up', first.tick, details, plan)
  }
}

/** What of a row its events may change. */
function planOf({ source, spec, overlap, since, lastTick, nextTick, tzVersion, problem }: ScheduleRow): SchedulePlan {
  return { source, spec, overlap, since, lastTick, nextTick, tzVersion, problem }
}

/** The event by which a schedule ends. */
function ended(row: ScheduleRow, reason: string, by?: EventCause): Step {
  const plan = { ...planOf(row), nextTick: null, problem: null }
  return { event: 'end', plan, tick: null, details: { ...(by && { by }), reason }, makesJob: false }
}

/** A tick that makes no job after all. `unended`: because of that job. */
function skipped(step: Step, reason: string, unended?: number): Step {
  const details = { ...step.details, reason, ...(unended !== undefined && { unended }) }
  return { ...step, event: 'skip', details, makesJob: false }
}

/** A tick that makes its job, unless the last one has not ended and may not overlap it. */
function withOverlap(
  { unended }: DueSchedule,
  event: 'tick' | 'catch_up',
  tick: number,
  details: ScheduleDetails | null,
  plan: (tick: number) => SchedulePlan,
): Step {
  const step = { event, plan: plan(tick), tick, details, makesJob: true }
  return unended === null ? step : skipped(step, 'overlap', unended)
}

/** The event by which an error in its rule breaks a schedule. */
function broken(row: ScheduleRow, error: unknown): Step {
  const problem = String(error instanceof Error ? error.message : error).slice(0, problemLengthMax)
  const plan = { ...planOf(row), nextTick: null, problem }
  return { event: 'break', plan, tick: null, details: { reason: problem }, makesJob: false }
}

/** Steps that follow from no rule. */
export const steps = { planOf, ended, broken, skipped }
