import type { Actor } from 'xstate'
import { abortGraceMs, type Settings } from '../config.ts'
import {
  IllegalTransitionError,
  InvalidInputError,
  JobNotFoundError,
  JobSystemError,
  UnavailableError,
  UniqueConflictError,
} from '../errors.ts'
import type { AnyHandler } from '../handlers/define.ts'
import type { JsonSchema, Registry } from '../handlers/registry.ts'
import { causeText } from '../job/cause.ts'
import type { NewJob } from '../job/fields.ts'
import type { RetentionRules } from '../job/retention.ts'
import { type EnqueuedJob, type Job, toJob } from '../job/row.ts'
import { parseTraceContext } from '../job/trace-context.ts'
import type { dispatcherMachine } from '../machines/dispatcher.ts'
import { eventsFrom, hasTag } from '../machines/edges.ts'
import { commandFacts, commands } from '../machines/events.ts'
import type { JobState } from '../machines/job.ts'
import { type Explanation, explain } from '../observe/explain/explain.ts'
import { type ServerFacts, serverFacts } from '../observe/explain/facts.ts'
import { Collector } from '../observe/telemetry/collector.ts'
import { toMetrics, toWaiting } from '../observe/telemetry/metrics.ts'
import { RunStats } from '../observe/telemetry/run-stats.ts'
import { Tracing } from '../observe/tracing/tracing.ts'
import type { CommandResult, EdgeCount, JobFacts, Store, StoreEvent } from '../persistence/store.ts'
import type { Clock } from '../runtime/clock.ts'
import { timers } from '../runtime/timers.ts'
import { Amends } from './amends.ts'
import { Bulks } from './bulk/bulks.ts'
import { assertOptions, byLibrary } from './caller-options.ts'
import { createDispatcher } from './dispatch/create-dispatcher.ts'
import { drain } from './drain.ts'
import { EngineLog } from './engine-log.ts'
import { Enqueues } from './enqueues.ts'
import { checkCall, isHandler } from './first-steps.ts'
import type {
  Activity,
  Bulk,
  BulkCommand,
  BulkFilter,
  CallerOptions,
  Census,
  EnqueueOptions,
  Health,
  Inspector,
  JobSystem,
  Metrics,
  ResultOptions,
  Sample,
  StopOptions,
  SystemLog,
  Telemetry,
} from './job-system.ts'
import { assertId, assertMs, StoreReads } from './reads.ts'
import { Results } from './results.ts'
import type { Schedules } from './schedules/schedules.ts'
import { Scheduling } from './schedules/scheduling.ts'

/** The parts of a system. Time, randomness and the store come from outside. */
interface SystemParts {
  readonly settings: Settings
  /** Null for a producer. */
  readonly registry: Registry | null
  /** The path of the database file, if it is one: for those who must look there. */
  readonly file: string | null
  readonly openStore: (notify: (event: StoreEvent) => void, longestTimeoutMs: () => number) => Promise<Store>
  readonly clock: Clock
  readonly random: () => number
  /** Returns a new id for a bulk action, never the same twice. */
  readonly newId: () => string
  readonly log: SystemLog
  readonly keepLogs: boolean
  readonly retention: RetentionRules
  readonly onFatal: (error: Error) => void
  /** Called when everything is closed. */
  readonly onStopped: () => void
  readonly inspect?: Inspector
  /** Undefined: the program says nothing about schedules. */
  readonly schedules: readonly unknown[] | undefined
}

/** The longest delay of `setTimeout`; with a longer one it fires at once. */
const timerMaxMs = 2 ** 31 - 1

/** Opens the store and creates the system on it; nothing runs before `start`. */
export async function createSystem(parts: SystemParts): Promise<JobSystem> {
  let system: System | undefined
  const early: StoreEvent[] = []
  const stats = new RunStats(parts.registry?.types)
  const notify = (event: StoreEvent) => (system ? system.onStoreEvent(event) : early.push(event))
  const store = await parts.openStore(notify, () => system?.longestTimeoutMs ?? 0)
  try {
    system = new System(parts, store, stats, await store.counts())
    for (const event of early) system.onStoreEvent(event)
    return withCommands(system)
  } catch (error) {
    await store.close()
    throw error
  }
}

/** A method for each command of the machine. All methods can be detached from the system: `const { enqueue } = system`. */
function withCommands(system: System): JobSystem {
  for (const method of [
    'submit',
    'start',
    'stop',
    'find',
    'list',
    'explain',
    'health',
    'result',
    'enqueueAndWait',
  ] as const)
    Object.defineProperty(system, method, { value: system[method].bind(system), writable: true, configurable: true })
  const methods = commands.map((command) => {
    return [
      command,
      (id: number, options?: Parameters<JobSystem['requeue']>[1]) => system.command(command, id, options),
    ] as const
  })
  return Object.assign(system, Object.fromEntries(methods) as Pick<JobSystem, BulkCommand>)
}

class System extends StoreReads implements Omit<JobSystem, BulkCommand> {
  readonly #amends: Amends
  readonly #parts: SystemParts
  readonly #store: Store
  readonly #stats: RunStats
  readonly #log: EngineLog
  readonly #enqueues: Enqueues
  readonly #tracing: Tracing
  /** The store's counts when it was opened; later changes happened during this process. */
  readonly #countsAtOpen: readonly EdgeCount[]
  readonly #dispatcher: Actor<typeof dispatcherMachine> | null
  readonly #collector: Collector
  readonly #bulks: Bulks
  readonly #results: Results
  readonly #scheduling: Scheduling
  #phase: ServerFacts['phase'] = 'created'
  #hasRecovered = false
  /** Epoch ms, once a stop has begun. */
  #abortsAt: number | null = null
  #trouble: ServerFacts['trouble'] = null
  readonly #warnings = new Map<string, string>()
  /** Why it failed; empty if it did not. */
  #failure = ''
  #stopped: Promise<void> | undefined

  constructor(parts: SystemParts, store: Store, stats: RunStats, counts: readonly EdgeCount[]) {
    super(store)
    this.#parts = parts
    this.#store = store
    this.#stats = stats
    this.#countsAtOpen = counts
    this.#log = new EngineLog(parts.log)
    this.#tracing = new Tracing((fields, message) => parts.log.warn(fields, message))
    this.#amends = new Amends({ ...parts, store })
    this.#enqueues = new Enqueues({
      ...parts,
      store,
      tracing: this.#tracing,
      assertWritable: () => this.#assertWritable(),
    })
    this.#dispatcher = parts.registry && this.#createDispatcher(parts.registry)
    const { clock, log } = parts
    const enqueue = (...given: unknown[]) => (this.enqueue as (...given: unknown[]) => Promise<EnqueuedJob>)(...given)
    this.#results = new Results({ store, clock, enqueue, explain: (id) => this.explain(id) })
    const look = async () => toWaiting(await store.counts())
    this.#bulks = new Bulks({ store, clock, log, look, assertWritable: () => this.#assertWritable() }, parts.newId)
    this.#scheduling = new Scheduling({
      ...parts,
      store: store.schedules,
      declared: parts.schedules,
      assertMayChange: () => {
        this.#assertServer('change schedules')
        this.#assertWritable()
      },
    })
    this.#collector = new Collector({
      store,
      stats,
      clock,
      countsAtOpen: counts,
      slots: parts.settings.workers,
      isReady: () => this.health().ready,
      dispatcher: this.#dispatcher,
    })
  }

  /** The longest timeout of the running attempts, in ms; 0 if there is none. */
  get longestTimeoutMs(): number {
    return this.#dispatcher?.getSnapshot().context.slots.longestTimeoutMs ?? 0
  }

  get durability(): string {
    return this.#store.durability
  }

  get runsJobs(): boolean {
    return this.#dispatcher !== null
  }

  get schedules(): Schedules {
    return this.#scheduling.commands
  }

  get types(): readonly string[] {
    return this.#parts.registry?.types ?? []
  }

  get payloadSchemas(): Readonly<Record<string, JsonSchema>> {
    return this.#parts.registry?.payloadSchemas ?? {}
  }

  async start(): Promise<void> {
    if (this.#phase !== 'created')
      throw new JobSystemError('already_started', `the system is ${this.#phase}; a system can only be started once`)
    if (!this.#dispatcher) {
      this.#parts.log.info(
        {},
        'no handlers were given, so this process only enqueues; the server of the file runs the jobs',
      )
      this.#phase = 'serving'
      return
    }
    this.#phase = 'recovering'
    const dispatcher = this.#dispatcher
    await new Promise<void>((resolve) => {
      dispatcher.on('ready', () => resolve())
      dispatcher.subscribe({ complete: resolve, error: () => resolve() })
      dispatcher.start()
    })
    if (this.#phase === 'recovering') this.#phase = 'serving'
    if (this.#phase !== 'serving') throw new UnavailableError(`the system is ${this.#phase}`)
    this.#collector.startSampling()
    await this.#scheduling.start()
    // Does at once what the move made due. A store that is closed meanwhile has nothing to do.
    this.#parts.clock.onMove?.(async () => {
      await this.#scheduling.wake()
      await this.#store.sweep().catch(() => {})
    })
  }

  stop(options: StopOptions = {}): Promise<void> {
    try {
      assertOptions('stop', options, ['graceMs', 'crashing'])
      assertMs('graceMs', options.graceMs)
    } catch (error) {
      return Promise.reject(error)
    }
    const { graceMs = this.#parts.settings.shutdownGraceMs, crashing = false } = options
    this.#stopped ??= this.#stop(Math.min(graceMs, timerMaxMs), crashing)
    return this.#stopped
  }

  readonly enqueue: JobSystem['enqueue'] = (
    given: NewJob | readonly NewJob[] | AnyHandler,
    second?: unknown,
    third?: Omit<NewJob, 'type' | 'payload'> & { readonly client?: unknown },
  ) => {
    const fault = checkCall(given, isHandler(given), second, third)
    const options = (isHandler(given) ? third : second) as typeof third
    const { client, ...fields } = options ?? {}
    const input = isHandler(given) ? { ...fields, type: given.type, payload: second } : given
    const answer = (jobs: readonly EnqueuedJob[]) => (Array.isArray(input) ? [...jobs] : jobs[0]!)
    const run = () => {
      if (fault !== null) throw new InvalidInputError([{ path: '', message: fault }])
      // Also if it is undefined, or what should be in a transaction would not be.
      const isInTransaction = options !== undefined && 'client' in options
      if (isInTransaction) return this.#enqueues.enqueueIn(client, input, byLibrary, answer)
      return this.#enqueues.enqueue(input, 'camelCase', byLibrary, null, answer)
    }
    if (isConnection(client)) return run() as never
    // Not in an async function: its answer would come some turns later, when the handler of the job may block the loop already.
    try {
      return run() as never
    } catch (error) {
      return Promise.reject(error) as never
    }
  }

  async submit(body: unknown, options: EnqueueOptions = {}): Promise<EnqueuedJob[]> {
    assertOptions('submit', options, ['by', 'traceparent', 'tracestate'])
    const { by = byLibrary, traceparent, tracestate } = options
    const trace = traceparent === undefined ? null : parseTraceContext(traceparent, tracestate)
    return this.#enqueues.enqueue(body, 'snake_case', by, trace, (jobs) => [...jobs])
  }

  readonly result: JobSystem['result'] = (...given: unknown[]): Promise<never> => {
    const [handler, id, options] = isHandler(given[0]) ? given : [undefined, ...given]
    return this.#results.of(id as number, options as ResultOptions, handler as AnyHandler | undefined) as Promise<never>
  }

  readonly enqueueAndWait: JobSystem['enqueueAndWait'] = (...given: unknown[]): Promise<never> =>
    this.#results.enqueueAndWait(...(given as Parameters<Results['enqueueAndWait']>)) as Promise<never>

  async explain(id: number): Promise<Explanation> {
    assertId(id)
    const jobFacts = await this.#store.jobFacts(id)
    if (!jobFacts) throw new JobNotFoundError(id)
    const [origin] = (await this.#store.history(id, { after: 0, limit: 1 })) ?? []
    return explain({ jobFacts, origin, server: this.#serverFacts(jobFacts), now: this.#parts.clock.now() })
  }

  async prepareBulk(command: BulkCommand, filter: BulkFilter = {}, options: CallerOptions = {}): Promise<Bulk> {
    assertOptions('prepareBulk', options, ['by'])
    const { by = byLibrary } = options
    this.#assertServer(`${command} jobs`)
    return this.#bulks.prepare(command, filter, by)
  }

  findBulk(id: string): Bulk | undefined {
    return this.#bulks.find(id)
  }

  bulks(): readonly Bulk[] {
    return this.#bulks.all()
  }

  async metrics(): Promise<Metrics> {
    return toMetrics(await this.#store.counts(), this.#countsAtOpen, this.#stats)
  }

  health(): Health {
    const reasons: Partial<Record<ServerFacts['phase'], string | null>> = {
      serving: this.#trouble?.message ?? null,
      created: 'not started',
      failed: `failed: ${this.#failure}`,
    }
    const { unreadable } = this.#log
    const reason = this.#phase in reasons ? reasons[this.#phase]! : this.#phase
    return {
      ready: reason === null,
      reason,
      ...(unreadable > 0 && { unreadableJobs: unreadable }),
      ...(this.#warnings.size > 0 && { warnings: [...this.#warnings.values()] }),
    }
  }

  activity(): Activity {
    return this.#collector.activity()
  }

  telemetry(): Promise<Telemetry> {
    return this.#collector.telemetry()
  }

  census(): Promise<Census | null> {
    return this.#collector.census()
  }

  series(options: { readonly after?: number } = {}): readonly Sample[] {
    assertOptions('series', options, ['after'])
    const { after = 0 } = options
    return this.#collector.series(after)
  }

  /** Handles what the store reports by itself. */
  onStoreEvent(event: StoreEvent): void {
    switch (event.type) {
      case 'lost':
        // Send it at once, because a job that was cancelled and requeued may be leased again by the same message. Send it again in a
        // separate turn, for jobs that were leased before and have not reached a slot yet: there it must not come ahead of them.
        this.#dispatcher?.send(event)
        timers.setImmediate(() => this.#dispatcher?.send(event))
        return
      case 'health':
        this.#trouble = event.error === null ? null : { message: event.error, cause: event.cause ?? null }
        break
      case 'warning':
        if (event.message === null) this.#warnings.delete(event.about)
        else this.#warnings.set(event.about, event.message)
        break
      case 'fatal':
        this.#fail(event.error)
        return
    }
    this.#log.storeEvent(event)
  }

  #createDispatcher(registry: Registry): Actor<typeof dispatcherMachine> {
    const dispatcher = createDispatcher({
      ...this.#parts,
      registry,
      store: this.#store,
      stats: this.#stats,
      tracing: this.#tracing,
      listener: {
        recovering: (moved) => this.#parts.log.info({ moved }, 'recovering'),
        recovered: (found) => {
          this.#hasRecovered = true
          this.#log.recovered(found)
        },
        committed: (events) => {
          this.#log.failed(events)
          this.#results.committed(events)
        },
      },
    })
    dispatcher.on('refused', ({ events }) => {
      this.#stats.refused += events.length
      this.#log.refused(events)
    })
    dispatcher.on('allStuck', () => this.#endStuck(dispatcher))
    dispatcher.subscribe({ error: (error) => this.#fail(error instanceof Error ? error : new Error(String(error))) })
    return dispatcher
  }

  /** What this process knows besides the file; null for a producer. */
  #serverFacts({ job, lastEvent }: JobFacts): ServerFacts | null {
    const { registry, retention, file } = this.#parts
    if (!registry || !this.#dispatcher) return null
    const known = {
      phase: this.#phase,
      hasRecovered: this.#hasRecovered,
      trouble: this.#trouble,
      warnings: [...this.#warnings.values()],
      abortsAt: this.#abortsAt,
      file,
      hasHandler: registry.find(job.type) !== undefined,
      types: registry.types,
      retentionMs: retention.msOf(job.state, job.type),
      bulk: (lastEvent.bulk !== undefined && this.#bulks.find(lastEvent.bulk)) || null,
    }
    return serverFacts(job.id, known, this.#dispatcher.getSnapshot().context)
  }

  /** Nothing can run any more: only a restart helps. */
  #endStuck(dispatcher: Actor<typeof dispatcherMachine>): void {
    const jobs = dispatcher.getSnapshot().context.slots.assigned()
    const ids = jobs.map(({ job }) => job.id)
    const message = `every worker has a handler that was aborted more than ${abortGraceMs} ms ago and has not ended`
    this.#parts.log.error({ job_ids: ids, types: [...new Set(jobs.map(({ job }) => job.type))] }, message)
    this.stop({ graceMs: 0, crashing: true }).then(() => this.#parts.onFatal(new Error(message)), this.#parts.onFatal)
  }

  async #stop(graceMs: number, crashing: boolean): Promise<void> {
    if (this.#phase === 'failed') {
      await this.#store.close()
      this.#parts.onStopped()
      return
    }
    const started = this.#phase !== 'created'
    this.#phase = 'draining'
    this.#abortsAt = this.#parts.clock.now() + graceMs
    const stopped = Promise.all([this.#bulks.stop(), this.#scheduling.stop()])
    // Only a broken or closed store refuses it, and it reports that itself.
    if (this.#dispatcher && started && !crashing) this.#store.noteStop().catch(() => {})
    if (this.#dispatcher && started) await drain(this.#dispatcher, graceMs, this.#parts.log, () => this.#stats.active)
    this.#collector.stopSampling()
    await this.#results.finish()
    this.#endWaits('the system is stopped')
    await this.#store.close()
    await stopped
    this.#phase = 'stopped'
    this.#parts.onStopped()
  }

  async command(
    event: BulkCommand,
    id: number,
    options: NonNullable<Parameters<JobSystem['requeue']>[1]> = {},
  ): Promise<Job> {
    // A payload beside `changes` would be forgotten, and the job would run with its old one.
    assertOptions(event, options, event === 'requeue' ? ['by', 'changes'] : ['by'])
    const { by = byLibrary, changes } = options
    if (changes !== undefined && event === 'requeue')
      return this.#change(id, changes, { by, naming: 'camelCase', requeue: true })
    assertId(id)
    this.#assertServer(`${event} jobs`)
    this.#assertWritable()
    const result: CommandResult = await this.#store.send(event, id, causeText(by))
    switch (result.outcome) {
      case 'done':
        this.#results.changed(id)
        return toJob(result.job)
      case 'unknown':
        throw new JobNotFoundError(id)
      case 'refused':
        throw refusalOf(event, id, result)
    }
  }

  #endWaits(why: string): void {
    this.#results.close(() => new UnavailableError(`${why}; the job is kept, and its result can be asked for again`))
  }

  readonly amend: JobSystem['amend'] = async (id, changes: unknown, options = {}) => {
    assertOptions('amend', options, ['by'])
    const { by = byLibrary } = options
    return this.#change(id, changes, { by, naming: 'camelCase', requeue: false })
  }

  readonly submitChanges: JobSystem['submitChanges'] = async (id, body, options = {}) => {
    assertOptions('submitChanges', options, ['by', 'requeue'])
    const { by = byLibrary, requeue = false } = options
    return this.#change(id, body, { by, naming: 'snake_case', requeue })
  }

  async #change(id: number, changes: unknown, options: Parameters<Amends['amend']>[2]): Promise<Job> {
    const event = options.requeue ? 'requeue' : 'amend'
    assertId(id)
    this.#assertServer(`${event} jobs`)
    this.#assertWritable()
    const changed = await this.#amends.amend(id, changes, options)
    if ('outcome' in changed) throw refusalOf(event, id, changed)
    return toJob(changed)
  }

  #assertServer(what: string): void {
    if (!this.#dispatcher) throw new JobSystemError('not_a_server', `a producer cannot ${what}; use the server`)
  }

  #assertWritable(): void {
    if (this.#phase === 'draining' || this.#phase === 'stopped' || this.#phase === 'failed') {
      throw new UnavailableError(`the system is ${this.#phase === 'failed' ? this.health().reason : this.#phase}`)
    }
  }

  #fail(error: Error): void {
    if (this.#phase === 'failed' || this.#phase === 'stopped') return
    this.#phase = 'failed'
    this.#failure = error.message.split('\n')[0]!
    this.#collector.stopSampling()
    this.#endWaits(`the system has failed: ${this.#failure}`)
    this.#parts.onFatal(error)
  }
}

/** Why the store refused an event, for the caller. */
function refusalOf(
  event: BulkCommand | 'amend',
  id: number,
  { state, holder }: Extract<CommandResult, { outcome: 'refused' }>,
): Error {
  if (holder !== undefined && event !== 'amend')
    return new UniqueConflictError(describeHolder(event, id, holder), holder)
  return new IllegalTransitionError(id, event, state, eventsFrom(state), event === 'amend' ? whyFixed(state) : '')
}

/** Why a job cannot be changed now. */
function whyFixed(state: JobState): string {
  if (hasTag(state, 'executing')) return ', because its handler has what it was called with'
  if (hasTag(state, 'held')) return ', because it is about to run'
  return eventsFrom(state).includes('requeue') ? ': requeue it with the changes' : ''
}

function describeHolder(event: BulkCommand, id: number, holder: number): string {
  const { done } = commandFacts(event)
  return `job ${id} cannot be ${done}, because job ${holder} holds its unique key: cancel that job, or wait until it no longer does`
}

/** Of SQLite: a client of PostgreSQL prepares nothing. */
function isConnection(client: unknown): boolean {
  return typeof client === 'object' && client !== null && 'prepare' in client && !('query' in client)
}
