import { namePattern, pageSizes, shown } from '../../config.ts'
import {
  BackpressureError,
  InvalidInputError,
  ScheduleNotFoundError,
  ScheduleStateError,
  UnavailableError,
  UniqueConflictError,
} from '../../errors.ts'
import { causeText } from '../../job/cause.ts'
import type { Naming } from '../../job/fields.ts'
import type { EventCause } from '../../machines/cause.ts'
import type { ScheduleEventType } from '../../machines/schedule.ts'
import { hasScheduleTag, scheduleAfter, scheduleEventsFrom } from '../../machines/schedule-edges.ts'
import type {
  ScheduleEntry,
  ScheduleMove,
  ScheduleMoveResult,
  ScheduleSource,
  ScheduleStore,
} from '../../persistence/store.ts'
import { changeOfTiming } from '../../schedule/change.ts'
import type { NewSchedule, Schedule } from '../../schedule/fields.ts'
import { previewTicks, timingWarnings } from '../../schedule/preview.ts'
import { parseSchedule } from '../../schedule/request.ts'
import { ticksOf } from '../../schedule/ticks.ts'
import { assertOptions, byLibrary, type CallerOptions } from '../caller-options.ts'
import { assertWithin, badCursor } from '../reads.ts'
import type { JobFactory } from './job-factory.ts'
import { type SchedulePlans, type Step, steps, tzVersion } from './plans.ts'
import { type Scheduler, toMove } from './scheduler.ts'
import type { ScheduleHistoryEvent, ScheduleInfo, ScheduleList, SchedulePreview, Schedules } from './schedules.ts'
import { changedFields, specOf, toHistoryEvent, toScheduleInfo } from './views.ts'

/** How often a change is decided anew because others change the same schedule meanwhile. */
const triesMax = 20
const retryAfterMs = 1_000

interface Parts {
  readonly store: ScheduleStore
  readonly plans: SchedulePlans
  readonly jobs: JobFactory
  readonly scheduler: Scheduler
  /** Throws if this process does not serve, or stops. */
  assertMayChange(): void
}

/** What is to be done to a schedule as it is; null: nothing. */
type Decide = (schedule: ScheduleEntry | null, now: number) => Step | null

/** What users do with schedules; `Schedules` documents each method. */
export class ScheduleCommands implements Schedules {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  async list(page: Parameters<Schedules['list']>[0] = {}): Promise<ScheduleList> {
    assertOptions('schedules.list', page, ['cursor', 'limit', 'ended'])
    const { cursor, limit = pageSizes.list.byDefault, ended = false } = page
    assertWithin('limit', limit, 1, pageSizes.list.max)
    if (cursor !== undefined && !(typeof cursor === 'string' && namePattern.test(cursor)))
      throw new InvalidInputError([badCursor])
    if (typeof ended !== 'boolean')
      throw new InvalidInputError([{ path: 'ended', message: `must be true or false; got ${shown(ended)}` }])
    const { schedules, next } = await this.#parts.store.list({ after: cursor ?? null, limit, ended })
    return { schedules: schedules.map(toScheduleInfo), nextCursor: next }
  }

  async find(name: string): Promise<ScheduleInfo | undefined> {
    const { schedule } = await this.#kept(name)
    return schedule ? toScheduleInfo(schedule) : undefined
  }

  async put(schedule: NewSchedule, options: CallerOptions = {}): Promise<ScheduleInfo> {
    return this.#found(await this.write(schedule, 'camelCase', callerOf('schedules.put', options), 'api'))
  }

  async submit(body: unknown, options: CallerOptions = {}): Promise<ScheduleInfo> {
    return this.#found(await this.write(body, 'snake_case', callerOf('schedules.submit', options), 'api'))
  }

  /** Creates the schedule, or changes the one of its name; returns that. A user's must have a tick left; one that the program declares may have ended. */
  async write(input: unknown, naming: Naming, by: EventCause, source: ScheduleSource): Promise<string> {
    const given = this.parse(input, naming)
    const spec = specOf(given)
    await this.#change(given.name, 'edit', by, (kept, now) => {
      const next = { source, spec, overlap: given.overlap, tzVersion, problem: null }
      if (!kept || !hasScheduleTag(kept.state, 'live')) return created(given, next, by, now, naming)
      const isSame = kept.spec === spec && kept.state !== 'broken'
      if (isSame && (kept.source === source || source === 'api')) return null
      if (source === 'api') assertNotInCode(kept, 'edit')
      return this.#edited(kept, given, next, by, now, naming)
    })
    return given.name
  }

  /** Checks what a caller wrote; throws with every fault. */
  parse(input: unknown, naming: Naming): Schedule {
    return parseSchedule(input, naming, (job) => this.#parts.jobs.check(job, naming))
  }

  end(name: string, options: CallerOptions = {}): Promise<ScheduleInfo> {
    return this.#command('end', name, options, (kept, by) => {
      assertNotInCode(kept, 'end')
      return steps.ended(kept, 'a user ended it', by)
    })
  }

  /** Ends one that the program no longer declares. */
  async endUndeclared(name: string): Promise<void> {
    await this.#change(name, 'end', byLibrary, (kept) =>
      kept?.source === 'code' && hasScheduleTag(kept.state, 'live')
        ? steps.ended(kept, 'the program no longer declares it', byLibrary)
        : null,
    )
  }

  pause(name: string, options: CallerOptions = {}): Promise<ScheduleInfo> {
    return this.#command('pause', name, options, (kept, by) => ({
      event: 'pause',
      plan: { ...steps.planOf(kept), nextTick: null },
      tick: null,
      details: { by },
      makesJob: false,
    }))
  }

  resume(name: string, options: CallerOptions = {}): Promise<ScheduleInfo> {
    return this.#command('resume', name, options, (kept, by, now) => {
      const lastTick = Math.max(kept.lastTick, now)
      const nextTick = this.#read(kept).ticks.next(lastTick)
      const plan = { ...steps.planOf(kept), lastTick, nextTick, tzVersion, problem: null }
      return { event: 'resume', plan, tick: null, details: { by }, makesJob: false }
    })
  }

  async trigger(name: string, options: CallerOptions = {}): Promise<{ readonly jobId: number }> {
    const by = callerOf('schedules.trigger', options)
    const jobId = await this.#change(name, 'trigger', by, (kept) => {
      const live = assertAllowed(kept, name, 'trigger')
      return { event: 'trigger', plan: steps.planOf(live), tick: null, details: { by }, makesJob: true }
    })
    return { jobId: jobId! }
  }

  async preview(name: string, options: Parameters<Schedules['preview']>[1] = {}): Promise<SchedulePreview> {
    const count = previewCount('schedules.preview', options)
    const { now, schedule } = await this.#kept(name)
    if (!schedule) throw new ScheduleNotFoundError(name)
    const { timing } = this.#read(schedule).schedule
    const after = schedule.state === 'active' ? schedule.lastTick : Math.max(schedule.lastTick, now)
    return { ticks: previewTicks(timing, schedule.since, after, count), warnings: timingWarnings(timing, now) }
  }

  async previewNew(body: unknown, options: Parameters<Schedules['previewNew']>[1] = {}): Promise<SchedulePreview> {
    const count = previewCount('schedules.previewNew', options)
    const given = this.parse(body, 'snake_case')
    const { now, schedule } = await this.#parts.store.find(given.name)
    const isLive = schedule !== null && hasScheduleTag(schedule.state, 'live')
    const { since, lastTick } = isLive ? this.#phaseOf(schedule, given, now) : { since: now, lastTick: now }
    const isTicking = schedule !== null && hasScheduleTag(schedule.state, 'ticking')
    const after = isTicking ? lastTick : Math.max(lastTick, now)
    const ticks = previewTicks(given.timing, since, after, count)
    if (ticks.length === 0) throw noTickLeft('snake_case')
    return { ticks, warnings: timingWarnings(given.timing, now) }
  }

  async history(
    name: string,
    page: Parameters<Schedules['history']>[1] = {},
  ): Promise<readonly ScheduleHistoryEvent[]> {
    assertOptions('schedules.history', page, ['before', 'limit'])
    const { before = Number.MAX_SAFE_INTEGER, limit = pageSizes.history.byDefault } = page
    assertWithin('before', before, 1, Number.MAX_SAFE_INTEGER)
    assertWithin('limit', limit, 1, pageSizes.history.max)
    const { schedule } = await this.#kept(name)
    if (!schedule) throw new ScheduleNotFoundError(name)
    const rows = await this.#parts.store.history(schedule.id, { before, limit })
    return rows.map(toHistoryEvent)
  }

  /** An event that a user sends. */
  async #command(
    event: ScheduleEventType,
    name: string,
    options: CallerOptions,
    decide: (kept: ScheduleEntry, by: EventCause, now: number) => Step,
  ): Promise<ScheduleInfo> {
    const by = callerOf(`schedules.${event}`, options)
    await this.#change(name, event, by, (kept, now) => decide(assertAllowed(kept, name, event), by, now))
    return this.#found(name)
  }

  #edited(
    kept: ScheduleEntry,
    given: Schedule,
    written: Pick<Step['plan'], 'source' | 'spec' | 'overlap' | 'tzVersion' | 'problem'>,
    by: EventCause,
    now: number,
    naming: Naming,
  ): Step {
    const { since, lastTick } = this.#phaseOf(kept, given, now)
    const isPaused = kept.state === 'paused'
    const next = ticksOf(given.timing, since).next(isPaused ? Math.max(lastTick, now) : lastTick)
    if (next === null && written.source === 'api') throw noTickLeft(naming)
    const nextTick = isPaused ? null : next
    const details = { by, changed: changedFields(kept.spec, written.spec) }
    return { event: 'edit', plan: { ...written, since, lastTick, nextTick }, tick: null, details, makesJob: false }
  }

  /** From where the ticks of an edited schedule count. */
  #phaseOf(kept: ScheduleEntry, given: Schedule, now: number): { since: number; lastTick: number } {
    const { since, lastTick } = kept
    if (kept.state === 'broken') return { since: now, lastTick: Math.max(lastTick, now) }
    const { timing, missed } = this.#read(kept).schedule
    return changeOfTiming({ timing, missed, since, lastTick }, given.timing, now) ?? { since, lastTick }
  }

  /**
   * Makes the step that is decided for what is stored, and decides again if somebody else was first. Ticks that are due are dealt with
   * before, by the schedule as it is. Returns the id of the job that was made.
   */
  async #change(name: string, event: ScheduleEventType, by: EventCause, decide: Decide): Promise<number | null> {
    const { store, scheduler, assertMayChange } = this.#parts
    assertMayChange()
    // Throws if it says too much of the caller.
    causeText(by)
    for (let tries = 0; tries < triesMax; ) {
      const { now, schedule } = await this.#kept(name)
      const wanted = decide(schedule, now)
      if (!wanted) return null
      const owed = schedule && owesTicks(schedule, wanted, now) ? this.#parts.plans.step(schedule, now) : null
      const at = wanted.event === 'create' ? { id: null, name, seq: 0 } : schedule!
      let [result] = await store.move([this.#toMove(at, schedule, owed ?? wanted)])
      // A full queue must not prevent its cause from being stopped, and a unique key is not a reason to wait.
      const instead = owed && insteadOf(owed, event, result!)
      if (instead) [result] = await store.move([this.#toMove(at, schedule, instead)])
      const { outcome, jobId } = accepted(name, result!)
      if (outcome === 'stale') tries++
      else if (!owed) {
        void scheduler.wake()
        return jobId
      }
    }
    throw new UnavailableError(`the schedule ${name} is being changed by others all the time`)
  }

  #toMove(at: Pick<ScheduleMove, 'id' | 'name' | 'seq'>, kept: ScheduleEntry | null, step: Step): ScheduleMove {
    const { jobs } = this.#parts
    if (!step.makesJob || !kept) return toMove(at, step, null)
    const { schedule } = this.#read(kept)
    const by = step.details?.by ?? byLibrary
    return toMove(
      at,
      step,
      step.event === 'trigger' ? jobs.triggered(schedule, by) : jobs.ofTick(schedule, kept.id, step),
    )
  }

  #read(kept: ScheduleEntry): ReturnType<SchedulePlans['read']> {
    try {
      return this.#parts.plans.read(kept)
    } catch (error) {
      throw new ScheduleStateError(kept.name, kept.state, `has a rule that cannot be read: ${(error as Error).message}`)
    }
  }

  /** What is stored under a name. A text that cannot be a name is not looked for: a store may refuse to look for it. */
  async #kept(name: string): ReturnType<ScheduleStore['find']> {
    if (typeof name !== 'string')
      throw new InvalidInputError([
        { path: 'name', message: `must be the name of a schedule, a text; got ${shown(name)}` },
      ])
    return namePattern.test(name) ? this.#parts.store.find(name) : { now: 0, schedule: null }
  }

  async #found(name: string): Promise<ScheduleInfo> {
    const { schedule } = await this.#parts.store.find(name)
    return toScheduleInfo(schedule!)
  }
}

function created(
  { timing }: Schedule,
  next: Pick<Step['plan'], 'source' | 'spec' | 'overlap' | 'tzVersion' | 'problem'>,
  by: EventCause,
  now: number,
  naming: Naming,
): Step | null {
  const nextTick = ticksOf(timing, now).next(now)
  if (nextTick === null && next.source === 'code') return null
  if (nextTick === null) throw noTickLeft(naming)
  return {
    event: 'create',
    plan: { ...next, since: now, lastTick: now, nextTick },
    tick: null,
    details: { by },
    makesJob: false,
  }
}

function noTickLeft(naming: Naming): InvalidInputError {
  const path = naming === 'camelCase' ? 'endsAt' : 'ends_at'
  return new InvalidInputError([{ path, message: 'must be after the next tick: none is left' }])
}

/** Whether ticks are due that the step would pass over. */
function owesTicks({ state, nextTick, lastTick }: ScheduleEntry, { event, plan }: Step, now: number): boolean {
  const passesOver = event === 'pause' || event === 'end' || plan.lastTick > lastTick
  return state === 'active' && passesOver && nextTick !== null && nextTick <= now
}

/** The skip of a tick whose job was refused; null if it was not, or if the tick must be tried again. */
function insteadOf(owed: Step, event: ScheduleEventType, result: ScheduleMoveResult): Step | null {
  if (result.outcome === 'held') return steps.skipped(owed, 'unique', result.holder)
  return result.outcome === 'full' && event !== 'edit' ? steps.skipped(owed, 'full') : null
}

/** Throws if the job was refused. */
function accepted(name: string, result: ScheduleMoveResult): { outcome: 'moved' | 'stale'; jobId: number | null } {
  switch (result.outcome) {
    case 'full':
      throw fullError(name, result.queue, result.depth)
    case 'held':
      throw new UniqueConflictError(`job ${result.holder} holds the unique key`, result.holder)
    case 'stale':
      return { outcome: 'stale', jobId: null }
    case 'moved':
      return result
  }
}

function assertAllowed(kept: ScheduleEntry | null, name: string, event: ScheduleEventType): ScheduleEntry {
  if (!kept) throw new ScheduleNotFoundError(name)
  if (scheduleAfter(kept.state, event) !== undefined) return kept
  const allowed = scheduleEventsFrom(kept.state).filter((each) => userEvents.includes(each))
  const legal = allowed.length > 0 ? `it allows ${allowed.join(', ')}` : 'nothing leaves that state'
  throw new ScheduleStateError(name, kept.state, `is ${kept.state}, which does not allow ${event}; ${legal}`)
}

/** The events that a user may send. */
const userEvents: readonly ScheduleEventType[] = ['pause', 'resume', 'trigger', 'edit', 'end']

function assertNotInCode({ name, state, source }: ScheduleEntry, event: ScheduleEventType): void {
  if (source !== 'code') return
  const advice = 'change it there, or pause it'
  throw new ScheduleStateError(name, state, `is declared by the program, which does not allow ${event}: ${advice}`)
}

function fullError(name: string, queue: string | null, depth: number): BackpressureError {
  const where = queue === null ? '' : ` in the queue ${queue}`
  return new BackpressureError(
    `${depth} jobs are waiting already${where}: there is no room for a job of the schedule ${name}`,
    retryAfterMs,
  )
}

function callerOf(call: string, options: CallerOptions): EventCause {
  assertOptions(call, options, ['by'])
  const { by = byLibrary } = options
  return by
}

function previewCount(call: string, options: { readonly limit?: number }): number {
  assertOptions(call, options, ['limit'])
  const { limit = pageSizes.preview.byDefault } = options
  assertWithin('limit', limit, 1, pageSizes.preview.max)
  return limit
}
