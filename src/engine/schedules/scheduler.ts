import { performance } from 'node:perf_hooks'
import type { DuePage, DueSchedule, ScheduleMove, ScheduleMoveResult, ScheduleStore } from '../../persistence/store.ts'
import { timers } from '../../runtime/timers.ts'
import { logFailure } from '../engine-log.ts'
import type { SystemLog } from '../job-system.ts'
import type { JobFactory } from './job-factory.ts'
import { type SchedulePlans, type Step, steps } from './plans.ts'

/** Schedules that one transaction moves: some milliseconds of the store's time, and of the loop's. */
const pageMax = 250
/** How long moves are planned before they are stored, in ms: counting the ticks that one schedule missed takes some ms. */
const planMs = 10
/** The longest sleep in ms: a suspended machine stops timers, and its clock may be set; other nodes may have changed schedules. */
const sleepMaxMs = 1_000
/** How long a tick waits after it found no room for its job, in ms: twice as long each time. */
const fullWaitMs = { first: 1_000, most: 30_000 }
/** How long all wait after the store refused, in ms. */
const refusedWaitMs = 1_000

interface Parts {
  readonly store: ScheduleStore
  readonly plans: SchedulePlans
  readonly jobs: JobFactory
  readonly log: SystemLog
}

/** A tick that found no room for its job. */
interface Waiting {
  readonly tick: number
  /** When it was first tried: it is not missed, however long it waits. */
  readonly since: number
  readonly until: number
  readonly waitMs: number
}

/** Plans the ticks of all schedules, with one timer for the next. Another process may do the same: each tick is stored once. */
export class Scheduler {
  readonly #parts: Parts
  readonly #waiting = new Map<number, Waiting>()
  /** Schedules whose tick is skipped next, since that job holds the unique key of its job. */
  readonly #holders = new Map<number, number>()
  #timer: NodeJS.Timeout | undefined
  /** The round that runs now, if one does. */
  #round: Promise<void> | null = null
  #isRunning = false
  #isWoken = false
  /** It was reported, and is not over. */
  #isFailing = false

  constructor(parts: Parts) {
    this.#parts = parts
  }

  start(): void {
    this.#isRunning = true
    void this.wake()
  }

  /** Resolves when nothing of it is under way. */
  async stop(): Promise<void> {
    this.#isRunning = false
    timers.clearTimeout(this.#timer)
    await this.#round
  }

  /** Looks at once: a schedule was changed, or the clock. Resolves when nothing is due any more. */
  async wake(): Promise<void> {
    if (!this.#isRunning) return
    this.#isWoken = true
    this.#round ??= this.#goRound().finally(() => {
      this.#round = null
      if (this.#isWoken) return this.wake()
    })
    await this.#round
  }

  async #goRound(): Promise<void> {
    let sleepMs = 0
    while (this.#isRunning && (this.#isWoken || sleepMs === 0)) {
      this.#isWoken = false
      try {
        sleepMs = await this.#moveDue()
        this.#report(null)
      } catch (error) {
        this.#report(error)
        sleepMs = refusedWaitMs
      }
    }
    timers.clearTimeout(this.#timer)
    if (!this.#isRunning || sleepMs === Number.POSITIVE_INFINITY) return
    this.#timer = timers.setTimeout(() => this.wake(), Math.min(sleepMs, sleepMaxMs))
  }

  /** Once when it begins to fail and once when that is over: an outage may take hours. */
  #report(error: unknown): void {
    const isFailing = error !== null
    if (isFailing === this.#isFailing) return
    this.#isFailing = isFailing
    const { log } = this.#parts
    if (isFailing) logFailure(log, error, 'schedules could not be planned; they are tried again, and no tick is lost')
    else log.info({}, 'schedules are planned again')
  }

  /** One step of each schedule that is due, so that none waits for the many ticks of another. Returns how long to sleep after that, in ms. */
  async #moveDue(): Promise<number> {
    const { store } = this.#parts
    const { last, moved } = await this.#movePages()
    if (moved > 0) return 0
    const waits = [...this.#waiting.values()].map(({ until }) => until)
    const next = Math.min(last.nextTick ?? Number.POSITIVE_INFINITY, ...waits)
    if (next === Number.POSITIVE_INFINITY) return store.isShared ? sleepMaxMs : next
    return Math.max(1, next - last.now)
  }

  /** While one page is stored, the next is read and planned: together they take as long as the slower of both. */
  async #movePages(): Promise<{ readonly last: DuePage; readonly moved: number }> {
    const { store } = this.#parts
    let page = await store.due(null, pageMax)
    let moved = 0
    let storing = Promise.resolve(0)
    while (page.next !== null && this.#isRunning) {
      const sent = this.#movePage(page)
      // It is awaited with the next page.
      sent.catch(() => {})
      try {
        const [read, stored] = await Promise.all([store.due(page.next, pageMax), storing])
        page = read
        moved += stored
      } catch (error) {
        await Promise.allSettled([storing, sent])
        throw error
      }
      storing = sent
    }
    return { last: page, moved: moved + (await storing) }
  }

  /** Returns how many schedules it moved. */
  async #movePage({ due, now }: DuePage): Promise<number> {
    let ready = due.filter(({ id }) => (this.#waiting.get(id)?.until ?? now) <= now)
    let moved = 0
    while (ready.length > 0 && this.#isRunning) {
      const moves = this.#plan(ready, now)
      const results = await this.#parts.store.move(moves)
      for (const [index, result] of results.entries()) this.#settle(ready[index]!, moves[index]!, result, now)
      moved += results.filter(({ outcome }) => outcome !== 'full').length
      ready = ready.slice(moves.length)
    }
    return moved
  }

  /** The moves of the first of them, of one at least, so that the event loop goes on in between. */
  #plan(ready: readonly DueSchedule[], now: number): ScheduleMove[] {
    const endsAt = performance.now() + planMs
    const moves: ScheduleMove[] = []
    for (const row of ready) {
      moves.push(this.#toMove(row, now))
      if (performance.now() >= endsAt) break
    }
    return moves
  }

  #toMove(row: DueSchedule, now: number): ScheduleMove {
    const { plans, jobs } = this.#parts
    const waiting = this.#waiting.get(row.id)
    const planned = plans.step(row, waiting?.tick === row.nextTick ? waiting.since : now)
    const holder = this.#holders.get(row.id)
    const step = holder !== undefined && planned.makesJob ? steps.skipped(planned, 'unique', holder) : planned
    try {
      return toMove(row, step, step.makesJob ? jobs.ofTick(plans.read(row).schedule, row.id, step) : null)
    } catch (error) {
      return toMove(row, steps.broken(row, error), null)
    }
  }

  #settle(
    { id, nextTick }: DueSchedule,
    { event, name, plan }: ScheduleMove,
    result: ScheduleMoveResult,
    now: number,
  ): void {
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    this.#holders.delete(id)
    if (result.outcome === 'held') this.#holders.set(id, result.holder)
    if (result.outcome === 'full') {
      const waitMs = waiting ? Math.min(2 * waiting.waitMs, fullWaitMs.most) : fullWaitMs.first
      if (!waiting)
        this.#parts.log.warn({ schedule: name, queue: result.queue }, 'a tick waits: too many jobs are waiting')
      const since = waiting?.tick === nextTick ? waiting.since : now
      this.#waiting.set(id, { tick: nextTick ?? 0, since, until: now + waitMs, waitMs })
    } else if (result.outcome === 'moved' && event === 'break')
      this.#parts.log.error(
        { schedule: name, problem: plan.problem },
        'a schedule is broken and has no ticks until it is edited or resumed',
      )
  }
}

/** A step as the store makes it. */
export function toMove(
  { id, name, seq }: Pick<ScheduleMove, 'id' | 'name' | 'seq'>,
  { event, plan, tick, details }: Step,
  job: ScheduleMove['job'],
): ScheduleMove {
  return { id, name, seq, event, plan, tick, details: details && JSON.stringify(details), job }
}
