import type { Settings } from '../../config.ts'
import { ConfigError, InvalidInputError } from '../../errors.ts'
import type { Registry } from '../../handlers/registry.ts'
import type { SchedulePage, ScheduleRow, ScheduleStore } from '../../persistence/store.ts'
import { timers } from '../../runtime/timers.ts'
import type { Schedule } from '../../schedule/fields.ts'
import { byLibrary } from '../caller-options.ts'
import { logFailure } from '../engine-log.ts'
import type { SystemLog } from '../job-system.ts'
import { ScheduleCommands } from './commands.ts'
import { JobFactory } from './job-factory.ts'
import { SchedulePlans, tzVersion } from './plans.ts'
import { Scheduler, toMove } from './scheduler.ts'

/** Schedules that are read at once at the start. */
const pageMax = 250
/** How long a start that could not write its schedules waits before it tries again, in ms. */
const retryMs = 1_000

interface Parts {
  readonly store: ScheduleStore
  readonly settings: Settings
  readonly registry: Registry | null
  readonly log: SystemLog
  /** The schedules that the program declares; undefined: it says nothing about schedules. */
  readonly declared: readonly unknown[] | undefined
  assertMayChange(): void
}

/** The schedules of a system, and what makes their jobs. */
export class Scheduling {
  readonly commands: ScheduleCommands
  readonly #parts: Parts
  readonly #plans = new SchedulePlans()
  readonly #scheduler: Scheduler
  readonly #declared: readonly Schedule[] | undefined
  #retry: NodeJS.Timeout | undefined
  #isStopped = false

  /** Throws `ConfigError` with every fault of the declared schedules. */
  constructor(parts: Parts) {
    const jobs = new JobFactory(parts.settings, parts.registry)
    this.#parts = parts
    this.#scheduler = new Scheduler({ ...parts, plans: this.#plans, jobs })
    this.commands = new ScheduleCommands({ ...parts, plans: this.#plans, jobs, scheduler: this.#scheduler })
    this.#declared = parts.declared && this.#check(parts.declared)
  }

  /** Brings the stored schedules in line with the program and its time zones, then begins with the ticks. */
  async start(): Promise<void> {
    await this.#reconcile()
    if (!this.#isStopped) this.#scheduler.start()
  }

  wake(): Promise<void> {
    return this.#scheduler.wake()
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    timers.clearTimeout(this.#retry)
    await this.#scheduler.stop()
  }

  #check(declared: readonly unknown[]): Schedule[] {
    const problems: string[] = []
    const schedules = declared.flatMap((given, index) => {
      try {
        return this.commands.parse(given, 'camelCase')
      } catch (error) {
        if (!(error instanceof InvalidInputError)) throw error
        problems.push(
          ...error.issues.map(({ path, message }) => `schedules[${index}]${path && `.${path}`}: ${message}`),
        )
        return []
      }
    })
    const names = schedules.map(({ name }) => name)
    const twice = new Set(names.filter((name, index) => names.indexOf(name) !== index))
    problems.push(...[...twice].map((name) => `schedules has more than one with the name ${JSON.stringify(name)}`))
    if (problems.length > 0) throw new ConfigError(problems)
    return schedules
  }

  /** What cannot be stored now is tried again until it can be; meanwhile the stored schedules go on. */
  async #reconcile(): Promise<void> {
    try {
      await this.#writeDeclared()
      await this.#replanForZones()
    } catch (error) {
      if (this.#isStopped) return
      logFailure(this.#parts.log, error, 'the schedules of the program could not be stored yet; this is tried again')
      this.#retry = timers.setTimeout(() => this.#reconcile(), retryMs)
    }
  }

  async #writeDeclared(): Promise<void> {
    const { declared } = this.#parts
    if (!declared) return
    for (const given of declared) await this.commands.write(given, 'camelCase', byLibrary, 'code')
    const names = new Set(this.#declared!.map(({ name }) => name))
    for await (const { name, source } of this.#live())
      if (source === 'code' && !names.has(name)) await this.commands.endUndeclared(name)
  }

  /** Another version of the time zones may have another next tick; the last one counts, so none is lost or doubled. */
  async #replanForZones(): Promise<void> {
    const others: ScheduleRow[] = []
    for await (const row of this.#live()) if (row.state === 'active' && row.tzVersion !== tzVersion) others.push(row)
    if (others.length === 0) return
    const moves = others.map((row) => toMove(row, this.#plans.replan(row), null))
    for (let first = 0; first < moves.length; first += pageMax)
      await this.#parts.store.move(moves.slice(first, first + pageMax))
    const changed = others
      .filter(({ nextTick }, index) => nextTick !== moves[index]!.plan.nextTick)
      .map(({ name }) => name)
    this.#parts.log.info(
      {
        schedules: others.length,
        from: [...new Set(others.map((row) => row.tzVersion))],
        to: tzVersion,
        changed: changed.slice(0, 100),
      },
      'the time zones have another version: the next ticks were computed again',
    )
  }

  async *#live(): AsyncGenerator<ScheduleRow> {
    let after: string | null = null
    for (;;) {
      const { schedules, next }: SchedulePage = await this.#parts.store.list({ after, limit: pageMax })
      yield* schedules
      if (next === null) return
      after = next
    }
  }
}
