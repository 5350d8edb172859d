import type { Settings } from '../../config.ts'
import { InvalidInputError } from '../../errors.ts'
import type { Registry } from '../../handlers/registry.ts'
import { causeText } from '../../job/cause.ts'
import type { Naming } from '../../job/fields.ts'
import { toRow } from '../../job/request.ts'
import type { NewJobRow } from '../../job/row.ts'
import type { EventCause } from '../../machines/cause.ts'
import type { Schedule } from '../../schedule/fields.ts'
import { jitterDelay } from '../../schedule/jitter.ts'
import type { Step } from './plans.ts'

/** Makes the jobs of schedules. */
export class JobFactory {
  readonly #settings: Settings
  readonly #registry: Registry | null
  /** The job of each schedule that was read, without its instant and cause. */
  readonly #rows = new WeakMap<Schedule, NewJobRow>()

  constructor(settings: Settings, registry: Registry | null) {
    this.#settings = settings
    this.#registry = registry
  }

  /** Checks the job of a new schedule as `enqueue` would, with the caller's names; throws its errors. */
  check(job: unknown, naming: Naming): void {
    const { unique } = toRow(job, naming, '', { settings: this.#settings, registry: this.#registry })
    if (!unique || unique.onConflict === 'return' || unique.onConflict === 'refuse') return
    const path = naming === 'camelCase' ? 'unique.onConflict' : 'unique.on_conflict'
    throw new InvalidInputError([{ path, message: 'must be return or refuse in the job of a schedule' }])
  }

  /** The job of a tick. It may wait for its jitter. */
  ofTick(schedule: Schedule, id: number, { tick, plan, details }: Step): NewJobRow {
    const { count = 1, first } = details?.missed ?? {}
    const others = count > 1 && { missed: count, firstMissed: first! }
    const cause = causeText({ cause: 'schedule' }, { schedule: schedule.name, tick: tick!, ...others })
    const delay = schedule.jitterMs > 0 ? jitterDelay(`${id}`, tick!, schedule.jitterMs, plan.nextTick) : 0
    return { ...this.#rowOf(schedule), cause, runAt: delay > 0 ? tick! + delay : null }
  }

  /** A job that a user asked for beside the ticks. */
  triggered(schedule: Schedule, by: EventCause): NewJobRow {
    return { ...this.#rowOf(schedule), cause: causeText(by, { schedule: schedule.name }) }
  }

  /** What was checked when the schedule was made is stored, even if its handler is gone now or has another schema: its run will say so. */
  #rowOf(schedule: Schedule): NewJobRow {
    const known = this.#rows.get(schedule)
    if (known) return known
    const registry = {
      check: (type: string) => {
        const maxRetries = this.#registry?.find(type)?.maxRetries
        return maxRetries === undefined ? {} : { maxRetries }
      },
    }
    const row = toRow(schedule.job, 'camelCase', '', { settings: this.#settings, registry })
    this.#rows.set(schedule, row)
    return row
  }
}
