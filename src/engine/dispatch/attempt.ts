import { AsyncLocalStorage } from 'node:async_hooks'
import { abortGraceMs } from '../../config.ts'
import {
  AttemptTimeoutError,
  InvalidInputError,
  PayloadError,
  PermanentError,
  RetryAfterError,
  ShutdownError,
  SnoozeError,
  UnavailableError,
  UnknownTypeError,
} from '../../errors.ts'
import type { Backoff } from '../../handlers/backoff.ts'
import type { AnyHandler } from '../../handlers/define.ts'
import { checkPayload, type JobContext } from '../../handlers/define.ts'
import { describeError, describeOwnError } from '../../handlers/describe-error.ts'
import type { Registry } from '../../handlers/registry.ts'
import { toResult } from '../../handlers/result.ts'
import type { TransactionClient } from '../../job/client.ts'
import { unreadable } from '../../job/row.ts'
import { traceIdOf } from '../../job/trace-context.ts'
import type { RunAttempt } from '../../machines/dispatcher-actors.ts'
import type { LeasedJob, LeaseEvent } from '../../machines/lease.ts'
import type { RunningAttempt, Stall } from '../../machines/slots.ts'
import type { Tracing } from '../../observe/tracing/tracing.ts'
import type { LogLine, Store } from '../../persistence/store.ts'
import type { ClockTimers } from '../../runtime/clock.ts'
import { AttemptTimer } from './attempt-timer.ts'
import { toLine } from './log-line.ts'
import type { LongPayloads } from './long-payloads.ts'
import type { AttemptReports, Reports } from './reports.ts'
import { handlerBackoff, requestedDelay } from './requested-delay.ts'

/** The shortest snooze, in ms: a job without a minimum ran 600 times a second. */
const snoozeMinMs = 1_000
/** Characters kept of what a handler notes. */
const noteMax = 1_000
/** A stall shorter than this, in ms, is not mentioned. */
const stallMin = 2_000

interface AttemptOptions {
  readonly registry: Registry
  /** The database's id at the time when the job was enqueued. */
  readonly databaseIdOf: (jobId: number) => string
  readonly transactions: Pick<Store, 'complete' | 'hasCompleted'>
  readonly longPayloads: Pick<LongPayloads, 'read'>
  readonly scheduleOf: (jobId: number) => ReturnType<JobContext['schedule']>
  /** The default in ms, if neither job nor handler sets one. */
  readonly timeoutMs: number
  readonly maxResultBytes: number
  readonly backoff: Backoff
  readonly random: () => number
  /** Epoch ms. */
  readonly now: () => number
  readonly tracing: Pick<Tracing, 'attempt'>
  /** `trace`: the trace fields of each line. */
  readonly log: (job: Pick<LeasedJob, 'id' | 'type' | 'attempt'>, trace: object) => JobContext['log']
  readonly reports: Pick<Reports, 'open'>
  /** Whether the log of a job is kept, unless its handler says that it is not. */
  readonly keepLogs: boolean
  readonly stats: {
    started(job: Pick<LeasedJob, 'type' | 'runAt'>, at: number, timeoutMs: number): void
    ended(job: Pick<LeasedJob, 'type'>, tookMs: number): void
  }
  readonly stalls: ConstructorParameters<typeof AttemptTimer>[1]
  readonly timers: ClockTimers
}

/** How long a job waits, and what was wrong with the delay that its handler requested. */
interface Delay {
  readonly delayMs: number
  readonly fault?: string
}

/** The job whose handler the running code belongs to, even in work that a handler left behind: for the log of an unhandled rejection. */
export const currentJob = new AsyncLocalStorage<Pick<LeasedJob, 'id' | 'type'>>()

/** Creates the function that makes attempts. It never throws into the dispatcher, whatever a handler throws, returns or never returns. */
export function createRunAttempt(options: AttemptOptions): RunAttempt {
  return (job, report) => new Attempt(job, report, options)
}

class Attempt implements RunningAttempt {
  readonly startedAt: number
  readonly timeoutMs: number
  aborted: RunningAttempt['aborted'] = null
  readonly #job: LeasedJob
  readonly #report: Parameters<RunAttempt>[1]
  readonly #options: AttemptOptions
  readonly #handler: AnyHandler | undefined
  readonly #span: ReturnType<Tracing['attempt']>
  #timer: AttemptTimer
  #controller: AbortController | undefined
  /** Its payload was there, and fits. */
  #isCalled = false
  #lost = false
  #settled = false
  #note: string | undefined
  #log: JobContext['log'] | undefined
  #reports: AttemptReports | undefined
  #hasToldOfProgress = false
  /** JSON text. */
  #result: string | undefined
  /** The handler has put the outcome into a transaction of its own, which may have been committed. */
  #isCompleting = false
  /** As it was when the handler was told to stop. */
  #stall: Stall | undefined
  /** Set if no retry can help: this job cannot be given to its handler, or what that returned cannot be kept. */
  #unfit: Error | undefined

  constructor(job: LeasedJob, report: Parameters<RunAttempt>[1], options: AttemptOptions) {
    this.#job = job
    this.#report = report
    this.#options = options
    this.#handler = options.registry.find(job.type)
    this.timeoutMs = job.timeoutMs ?? this.#handler?.timeoutMs ?? options.timeoutMs
    this.startedAt = options.now()
    this.#timer = this.#timeout()
    options.stats.started(job, this.startedAt, this.timeoutMs)
    this.#span = options.tracing.attempt(job)
    const run = () => currentJob.run(job, () => this.#callHandler())
    const running = this.#span ? this.#span.run(run) : run()
    running.then(
      () => this.#ended(() => (this.#isCompleting ? this.#uncommitted() : this.#success(this.#result))),
      (thrown) => this.#ended(() => this.#eventOf(thrown), thrown),
    )
  }

  get stall(): Stall {
    return this.#stall ?? this.#timer.stall
  }

  abort(reason: Error, lost: boolean): void {
    if (lost && this.#isCompleting) void this.#abortUnlessCompleted(reason)
    else this.#abort(reason, lost)
  }

  /** A lease that has ended with the handler's own transaction is gone, but not lost. */
  async #abortUnlessCompleted(reason: Error): Promise<void> {
    if (!(await this.#hasCompleted())) this.#abort(reason, true)
  }

  #abort(reason: Error, lost: boolean): void {
    this.#lost ||= lost
    if (this.aborted) return
    this.aborted = { at: this.#options.now(), reason }
    this.#timer.clear()
    this.#stall = this.#timer.stall
    const { stalls, timers } = this.#options
    this.#timer = new AttemptTimer(abortGraceMs, stalls, timers, () => this.#giveUp()).unref()
    this.#controller?.abort(reason)
  }

  async #callHandler(): Promise<void> {
    const handler = this.#handler
    // The store leases no job without a handler here.
    if (!handler) throw this.#isUnfit(new UnknownTypeError(this.#job.type, this.#options.registry.types))
    const { payload } = this.#job
    const read = payload === null ? await this.#longPayload() : null
    if (this.aborted) throw this.aborted.reason
    const given = this.#parsed(payload ?? read!.json)
    if (read) read.json = ''
    const checked = checkPayload(handler, given, 'payload')
    if (checked.issues) throw this.#isUnfit(new PayloadError(checked.issues))
    this.#isCalled = true
    const returned = await handler.run(
      checked.value,
      new Context(this, this.#job, this.#options.databaseIdOf(this.#job.id)),
    )
    const unrun = unrunIn(returned)
    if (unrun) throw new TypeError(`its handler returned ${unrun}, none of which has run`)
    if (!this.#isCompleting) this.#result = this.#kept(handler, returned)
  }

  /** The wait for it does not count against the timeout: it may be long if many jobs start together. */
  async #longPayload(): ReturnType<LongPayloads['read']> {
    this.#timer.clear()
    const read = await this.#options.longPayloads.read(this.#job)
    if (!this.aborted) this.#timer = this.#timeout()
    return read
  }

  #timeout(): AttemptTimer {
    const { stalls, timers } = this.#options
    const timedOut = (stoodStillMs: number) => this.abort(new AttemptTimeoutError(this.timeoutMs, stoodStillMs), false)
    return new AttemptTimer(this.timeoutMs, stalls, timers, timedOut)
  }

  #parsed(json: string): unknown {
    try {
      return JSON.parse(json)
    } catch {
      const { name, message } = unreadable('its payload cannot be read, so its handler was not called')
      throw this.#isUnfit(Object.assign(new Error(message), { name }))
    }
  }

  #kept(handler: AnyHandler, returned: unknown): string | undefined {
    if (returned === undefined && !handler.result) return
    try {
      return toResult(handler, returned, this.#options.maxResultBytes)
    } catch (error) {
      throw this.#isUnfit(error as Error)
    }
  }

  #success(result: string | undefined): LeaseEvent {
    return this.#event('succeed', result === undefined ? undefined : { result })
  }

  #isUnfit(error: Error): Error {
    this.#unfit = error
    return error
  }

  /** Created on first use: most handlers need none. */
  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController()
      if (this.aborted) this.#controller.abort(this.aborted.reason)
    }
    return this.#controller.signal
  }

  /** Created on first use, like `signal`. */
  get log(): JobContext['log'] {
    this.#log ??= this.#keepsLog ? this.#keptLog() : this.#processLog
    return this.#log
  }

  get #keepsLog(): boolean {
    return this.#options.keepLogs && this.#handler?.keepLog !== false
  }

  /** For what is not the handler's: its fault is in the history. */
  get #processLog(): JobContext['log'] {
    const { trace } = this.#job
    const comesFrom = trace?.traceparent ? { trace_id: traceIdOf({ traceparent: trace.traceparent }) } : {}
    return this.#options.log(this.#job, this.#span?.logFields ?? comesFrom)
  }

  #keptLog(): JobContext['log'] {
    const log = this.#processLog
    const kept = (level: LogLine['level']) => (fields: object, message: string) => {
      log[level](fields, message)
      this.#keepLine(level, fields, message)
    }
    // What else the logger has stays there.
    return Object.assign(Object.create(log), { info: kept('info'), warn: kept('warn'), error: kept('error') })
  }

  #keepLine(level: LogLine['level'], fields: object, message: string): void {
    try {
      this.#openReports()?.line(toLine(this.#options.now(), level, fields, message))
    } catch {
      // What cannot be read is not kept: a line must not fail a job.
    }
  }

  progress(value: unknown): void {
    const fault = this.#openReports()?.progress(value) ?? null
    if (fault === null || this.#hasToldOfProgress) return
    this.#hasToldOfProgress = true
    this.log.warn({ fault }, 'a handler called progress with a value that is not kept; the progress stays as it was')
  }

  /** Null once the lease has ended, or may have ended with a transaction of the handler, which has locked the job. */
  #openReports(): AttemptReports | null {
    if (this.#settled || this.#isCompleting) return null
    this.#reports ??= this.#options.reports.open(this.#job)
    return this.#reports
  }

  note(text: unknown): void {
    this.#note = typeof text === 'string' && text !== '' ? text.slice(0, noteMax).toWellFormed() : undefined
  }

  async complete(client: TransactionClient, result: unknown): Promise<void> {
    const success = this.#success(this.#kept(this.#handler!, result))
    const wasCompleting = this.#isCompleting
    // Also if no answer comes: the transaction may still be committed.
    this.#isCompleting = true
    await this.#reports?.flush()
    await this.#options.transactions.complete(client, success).catch((error) => {
      if (error instanceof InvalidInputError) this.#isCompleting = wasCompleting
      throw error
    })
  }

  schedule(): ReturnType<JobContext['schedule']> {
    return this.#options.scheduleOf(this.#job.id)
  }

  /** False also if it cannot be found out now: an outcome that is sent all the same is refused if there is one. */
  #hasCompleted(): Promise<boolean> {
    return this.#options.transactions.hasCompleted(this.#job).catch(() => false)
  }

  /** The handler has ended; `outcome` counts only if the attempt was not given up before. */
  #ended(outcome: () => LeaseEvent, thrown?: unknown): void {
    this.#timer.clear()
    this.#options.stats.ended(this.#job, this.#tookMs())
    if (this.#isCompleting && !this.#settled) void this.#endCompleting(outcome, thrown)
    else this.#end(outcome)
  }

  #end(outcome: () => LeaseEvent): void {
    if (this.#settled) {
      this.#report.ended()
      return
    }
    this.#settle(this.#lost ? null : (this.#eventOfAbort() ?? outcome()), true)
  }

  /** The outcome may be in the database. Otherwise this one ends the lease, and that transaction cannot be committed any more. */
  async #endCompleting(outcome: () => LeaseEvent, thrown: unknown): Promise<void> {
    const isDone = await this.#hasCompleted()
    if (!isDone || this.#settled) return this.#end(outcome)
    if (thrown !== undefined)
      this.#processLog.warn(
        { error: describeError(thrown).name },
        'the handler threw after its transaction was committed; the job has succeeded all the same',
      )
    this.#settled = true
    this.#reports?.end()
    this.#span?.end(this.#event('succeed'), undefined)
    this.#report.settled(null, true)
  }

  #uncommitted(): LeaseEvent {
    const { delayMs, fault } = this.#backoff()
    const message = 'its handler called complete and returned, but the transaction was not committed'
    const error = Object.assign(new Error(message), { name: 'NotCommittedError' })
    return this.#event('fail', { delayMs, error: describeOwnError(error, fault) })
  }

  /** Its grace has passed and the handler is still running: the attempt is over, but its slot stays taken. */
  #giveUp(): void {
    if (this.#settled) return
    const event = this.aborted?.reason instanceof ShutdownError ? this.#event('release') : this.#eventOfAbort()
    this.#settle(this.#lost ? null : event, false)
  }

  #settle(event: LeaseEvent | null, ended: boolean): void {
    this.#settled = true
    const report = this.#reports?.end()
    const outcome = event && report ? { ...event, report } : event
    this.#report.settled(this.#span ? this.#span.end(outcome, this.aborted?.reason) : outcome, ended)
  }

  /** Not negative if the clock was set back. */
  #tookMs(): number {
    return Math.max(this.#options.now() - this.startedAt, 0)
  }

  /** A timeout fails the attempt, whatever the handler does afterwards. */
  #eventOfAbort(): LeaseEvent | null {
    const reason = this.aborted?.reason
    if (!(reason instanceof AttemptTimeoutError)) return null
    const { delayMs, fault } = this.#backoff()
    return this.#event('fail', { delayMs, error: describeOwnError(reason, fault) })
  }

  #eventOf(thrown: unknown): LeaseEvent {
    if (this.aborted?.reason instanceof ShutdownError) return this.#event('release')
    // The payload cannot be read now.
    if (thrown instanceof UnavailableError && !this.#isCalled) return this.#event('release')
    if (thrown instanceof SnoozeError) return this.#snooze(thrown)
    // A PayloadError about another job, which the handler tried to enqueue, is a failure like any other.
    if (this.#unfit && thrown === this.#unfit) return this.#event('reject', { error: describeOwnError(this.#unfit) })
    if (thrown instanceof PermanentError) return this.#event('reject', { error: describeError(thrown) })
    const { delayMs, fault } = thrown instanceof RetryAfterError ? this.#orBackoff(thrown) : this.#backoff()
    // The fault of a delay is stored in the history, because without a log nobody would see it.
    return this.#event('fail', { delayMs, error: describeError(thrown, fault) })
  }

  /** A lease's token is the length of the job's history: the longer it is, the more slowly it grows. */
  #snooze(thrown: SnoozeError): LeaseEvent {
    const { delayMs, fault } = this.#orBackoff(thrown)
    if (thrown.reason) this.note(thrown.reason)
    const error = fault === undefined ? {} : { error: describeError(thrown, fault) }
    return this.#event('snooze', { delayMs: Math.max(delayMs, snoozeMinMs, this.#job.leaseToken), ...error })
  }

  #backoff(): Delay {
    const { backoff, random } = this.#options
    const attempt = this.#job.attempt + 1
    const handler = this.#handler
    const asked = handler?.backoffMs && handlerBackoff(() => handler.backoffMs?.(attempt, random))
    if (typeof asked === 'number') return { delayMs: asked }
    const delayMs = backoff(attempt, random)
    return asked === undefined ? { delayMs } : { delayMs, fault: this.#told(asked) }
  }

  /** The requested delay, or the backoff if the delay cannot be used. */
  #orBackoff(error: RetryAfterError | SnoozeError): Delay {
    const { delayMs, fault } = requestedDelay(error)
    const delay = delayMs === undefined ? this.#backoff() : { delayMs }
    return fault === undefined ? delay : { ...delay, fault: this.#told(fault) }
  }

  #told(fault: string): string {
    this.#processLog.warn(
      { fault },
      'a handler asked for a delay that cannot be used as it is; if it is not a number, the backoff is used instead',
    )
    return fault
  }

  #event(event: LeaseEvent['event'], more?: Partial<LeaseEvent>): LeaseEvent {
    const { id, leaseToken } = this.#job
    const ended = more ? { id, leaseToken, event, ...more } : { id, leaseToken, event }
    if (event === 'release') return ended
    const stood = sayStall(this.stall, this.aborted?.reason instanceof AttemptTimeoutError)
    if (stood === undefined && this.#note === undefined) return ended
    return { ...ended, note: [this.#note, stood].filter(Boolean).join('; ') }
  }
}

/**
 * What a handler gets. A class, not a literal with getters: V8 gives each of those its own shape, which costs 1 µs a job and keeps
 * everything that the attempt held alive through collections of the young generation.
 */
class Context implements JobContext {
  readonly jobId: number
  readonly attempt: number
  readonly maxAttempts: number
  readonly idempotencyToken: string
  readonly #of: Attempt

  constructor(
    of: Attempt,
    { id, attempt, maxAttempts }: Pick<LeasedJob, 'id' | 'attempt' | 'maxAttempts'>,
    databaseId: string,
  ) {
    this.#of = of
    this.jobId = id
    this.attempt = attempt + 1
    this.maxAttempts = maxAttempts
    this.idempotencyToken = `${databaseId}.${id}`
  }

  get signal(): AbortSignal {
    return this.#of.signal
  }

  get log(): JobContext['log'] {
    return this.#of.log
  }

  /** Handlers take it out of the context, as they do with the rest. */
  get note(): JobContext['note'] {
    return (text) => this.#of.note(text)
  }

  get progress(): JobContext['progress'] {
    return (value) => this.#of.progress(value)
  }

  get complete(): JobContext['complete'] {
    return (client, result) => this.#of.complete(client, result)
  }

  get schedule(): JobContext['schedule'] {
    return () => this.#of.schedule()
  }
}

/** What made an attempt long that its handler does not account for. `timedOut`: its error says for how long the loop was blocked. */
function sayStall({ stoppedMs, blockedMs }: Stall, timedOut: boolean): string | undefined {
  if (stoppedMs < stallMin && blockedMs < stallMin) return
  const seconds = (ms: number) => `${(ms / 1_000).toFixed(1)} s`
  const stopped = `the process did not run for ${seconds(stoppedMs)} meanwhile, which does not count against its timeout`
  // It is known only half a second later whether the whole process was stopped.
  const blocked = `the event loop stood still for ${seconds(blockedMs)} meanwhile: this or another handler blocked it, or the process did not run`
  const said = [stoppedMs >= stallMin && stopped, blockedMs >= stallMin && !timedOut && blocked]
  return said.filter(Boolean).join('; ') || undefined
}

/** Names the part of a returned value that represents work that was never run; undefined if there is none. */
function unrunIn(returned: unknown): string | undefined {
  if (typeof returned === 'function') return 'a function'
  const isIterator = typeof returned === 'object' && returned !== null && 'next' in returned && isIterable(returned)
  return isIterator ? 'an iterator' : undefined
}

/** A lazy iterable: arrays and the like have no `next`, nor do streams. */
function isIterable(value: object): boolean {
  return Symbol.iterator in value || Symbol.asyncIterator in value
}
