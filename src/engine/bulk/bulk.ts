import { type EventFrom, initialTransition, transition } from 'xstate'
import { BulkStateError } from '../../errors.ts'
import { causeText } from '../../job/cause.ts'
import { bulkMachine } from '../../machines/bulk.ts'
import type { Store } from '../../persistence/store.ts'
import type { Clock } from '../../runtime/clock.ts'
import { assertOptions } from '../caller-options.ts'
import type { Bulk, BulkCommand, BulkFilter, BulkPhase, CallerOptions, SystemLog } from '../job-system.ts'
import type { BulkThrottle } from './bulk-throttle.ts'
import { BulkIds } from './falling-ids.ts'

/** Jobs that one bulk action includes. */
const matchedMax = 1_000_000
/** Ids that one step of counting reads. */
const pageMax = 20_000
/** How long a counted action waits for confirmation. */
const expiryMs = 900_000

/** What a bulk action needs for its work. */
export interface BulkParts {
  readonly store: Pick<Store, 'matching' | 'command'>
  readonly throttle: BulkThrottle
  readonly clock: Clock
  readonly log: SystemLog
  /** Throws if nothing may be written now. */
  readonly assertWritable: () => void
  /** Runs a step when the earlier steps of all actions are done and the store has rested. */
  readonly inTurn: <T>(step: () => Promise<T>) => Promise<T>
}

/** See `Bulk`. Its phases are the machine's; this is what it does in each of them. */
export class PreparedBulk implements Bulk {
  readonly id: string
  readonly command: BulkCommand
  readonly filter: BulkFilter
  readonly createdAt: number
  /** Stored with each change, as JSON text. */
  #cause: string
  readonly #parts: BulkParts
  #snapshot = initialTransition(bulkMachine)[0]
  #ids = new BulkIds()
  #work: Promise<void>
  #readyAt = 0
  matched = 0
  more = false
  upTo: number | null = null
  lookedTo: number | null = null
  moved = 0
  refused = 0
  error: string | null = null

  constructor(id: string, command: BulkCommand, filter: BulkFilter, cause: string, parts: BulkParts) {
    this.id = id
    this.command = command
    this.filter = filter
    this.createdAt = parts.clock.now()
    this.#cause = cause
    this.#parts = parts
    this.#work = this.#until(() => this.#count())
  }

  get phase(): BulkPhase {
    this.#expire()
    return this.#snapshot.value
  }

  get expiresAt(): number | null {
    this.#expire()
    return this.#can('expire') ? this.#readyAt + expiryMs : null
  }

  /** Whether it may still change jobs, or begin to. */
  get isOpen(): boolean {
    this.#expire()
    return this.#snapshot.hasTag('open')
  }

  can(action: 'run' | 'stop'): boolean {
    this.#expire()
    return this.#can(action)
  }

  run(matched: number, options: CallerOptions = {}): void {
    assertOptions('run', options, ['by'])
    const { by } = options
    this.#parts.assertWritable()
    const { phase } = this
    if (!this.#can('run'))
      throw new BulkStateError(phase, this.matched, `it is ${phase}; it can only run once, when it is ready`)
    if (matched !== this.matched) {
      const message = `it matched ${this.matched} jobs, not the number that was confirmed`
      throw new BulkStateError(phase, this.matched, message)
    }
    // The user who confirms it causes the changes, not the one who counted.
    if (by !== undefined) this.#cause = causeText(by, { bulk: this.id })
    this.#take('run')
    this.#parts.log.info({ bulk: this.id, command: this.command, matched }, 'a bulk action begins')
    this.#work = this.#until(() => this.#move())
  }

  async stop(): Promise<void> {
    if (this.#can('stop')) this.#take('stop')
    await this.settled()
  }

  settled(): Promise<void> {
    return this.#work
  }

  /** Does the work of a phase to its end. */
  async #until(work: () => Promise<void>): Promise<void> {
    try {
      await work()
      if (this.#can('end')) this.#take('end')
    } catch (error) {
      if (!this.#can('fail')) return
      this.error = error instanceof Error ? error.message : String(error)
      this.#take('fail')
    }
  }

  async #count(): Promise<void> {
    const { command, filter } = this
    for (let before: number | undefined; ; ) {
      const limit = Math.min(pageMax, matchedMax - this.matched)
      const given = { ...filter, command, limit, ...(before === undefined ? {} : { before }) }
      const { ids, from, next } = await this.#parts.inTurn(() => this.#parts.store.matching(given))
      if (!this.#can('end')) return
      this.#ids.add(ids)
      this.matched += ids.length
      this.upTo ??= from
      this.lookedTo = next ?? 1
      this.more = next !== null && this.matched === matchedMax
      if (next === null || this.more) break
      before = next
    }
    this.#readyAt = this.#parts.clock.now()
  }

  async #move(): Promise<void> {
    const { throttle, inTurn } = this.#parts
    while (this.#can('stop')) {
      await throttle.untilNext(this.command, () => this.#can('stop'))
      if (!(await inTurn(() => throttle.step(() => this.#step())))) return
    }
  }

  /** Changes the next jobs; false if there are none, or if it was stopped while it waited for its turn. */
  async #step(): Promise<boolean> {
    const ids = this.#can('stop') ? this.#ids.take(this.#parts.throttle.jobsMax) : []
    if (ids.length === 0) return false
    const moved = await this.#parts.store.command(this.command, ids, this.filter.state, this.#cause)
    this.moved += moved.length
    this.refused += ids.length - moved.length
    return true
  }

  /** Needs no timer: expiry is checked when someone reads the action. */
  #expire(): void {
    if (this.#can('expire') && this.#parts.clock.now() >= this.#readyAt + expiryMs) this.#take('expire')
  }

  #can(type: EventFrom<typeof bulkMachine>['type']): boolean {
    return this.#snapshot.can({ type })
  }

  #take(type: EventFrom<typeof bulkMachine>['type']): void {
    ;[this.#snapshot] = transition(bulkMachine, this.#snapshot, { type })
    if (this.#snapshot.hasTag('open')) return
    this.#ids = new BulkIds()
    const { id: bulk, command, matched, moved, refused, error } = this
    const fields = { bulk, command, phase: this.#snapshot.value, matched, moved, refused, ...(error ? { error } : {}) }
    this.#parts.log.info(fields, 'a bulk action has ended')
  }
}
