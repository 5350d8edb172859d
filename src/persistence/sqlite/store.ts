import {
  DatabaseLostError,
  InvalidInputError,
  OutcomeUnknownError,
  StorageFullError,
  UnavailableError,
} from '../../errors.ts'
import { countStates, hasTag } from '../../machines/edges.ts'
import type { JobState } from '../../machines/job.ts'
import type { Clock } from '../../runtime/clock.ts'
import { timers } from '../../runtime/timers.ts'
import { CommitMeter } from '../commit-meter.ts'
import { type Epoch, epochOf } from '../epoch.ts'
import { type LeasedFacts, toLeased } from '../leased-facts.ts'
import { LoopBeat, noStalls } from '../loop-beat.ts'
import { reportsOf } from '../reports.ts'
import type { ScheduleStore } from '../schedules.ts'
import { intoSets } from '../sql/ranges.ts'
import type {
  AmendResult,
  BackupReport,
  Command,
  CommandResult,
  CommitStats,
  EnqueuedJob,
  EnqueueResult,
  Lease,
  LeasedJob,
  LeaseEvent,
  NewJobRow,
  NodeInfo,
  Recovered,
  Store,
  StoreEvent,
  VerifyReport,
} from '../store.ts'
import { Heartbeat } from '../watchdog.ts'
import { intoBatches } from './batches.ts'
import type { BackupData } from './file/backup-thread.ts'
import { durability } from './file/connection.ts'
import { FileSchedules } from './file-schedules.ts'
import { OwnConnections } from './own-connections.ts'
import { FileReads } from './read/file-reads.ts'
import { attemptsOf, eventsOf, resultsOf } from './thread/applied-events.ts'
import type { Answers, Operation, Rejection, Reply, Request, Requests, ThreadOptions } from './thread/protocol.ts'
import { ReportThreads } from './thread/report-threads.ts'
import type { ThreadLink } from './thread/store-threads.ts'

/** Jobs of calls that are gathered before they are sent, if more arrive in the same turn of the loop. */
const gatherMax = 500
/** Characters of their payloads after which they are sent: so many, or those of one call, are in a message. */
const gatherLengthMax = 1_048_576
/** Calls that are worth a separate message before a turn ends. */
const partMin = 16

interface Options {
  readonly path: string
  readonly clock: Clock
  readonly notify: (event: StoreEvent) => void
  readonly longestTimeoutMs: () => number
}

interface Waiting {
  resolve(answer: never): void
  reject(error: Error): void
}

/** A call that stores this many jobs. */
interface Gathered extends Waiting {
  readonly count: number
}

/** The loop's half of the store: writes go to the thread. */
export class SqliteStore extends FileReads implements Store {
  readonly durability = durability
  readonly prefetch = { withinMs: 20, mostAtLeast: 1_000 }
  readonly schedules: ScheduleStore
  readonly #epochs: readonly Epoch[]
  readonly #thread: ThreadLink
  readonly #ownConnections: OwnConnections
  readonly #checks = new ReportThreads<string, VerifyReport>(
    new URL('./verify/verify-thread.js', import.meta.url),
    'cannot check the database',
  )
  readonly #backups = new ReportThreads<BackupData, BackupReport>(
    new URL('./file/backup-thread.js', import.meta.url),
    'no backup was made',
  )
  readonly #commits: CommitMeter
  readonly #bell: Int32Array
  readonly #path: string
  readonly #clock: Clock
  /** Null for a producer. */
  readonly #server: Pick<NodeInfo, 'pid' | 'host' | 'startedAt' | 'types' | 'leaseMs'> | null
  readonly #notify: Options['notify']
  readonly #waiting = new Map<number, Waiting>()
  readonly #exited: Promise<void>
  /** Null for a producer. */
  readonly #loopBeat: LoopBeat | null
  #unsent: [number, Request][] = []
  /** Calls that store jobs, to be sent together, and their jobs. */
  #gathered: Gathered[] = []
  #newJobs: NewJobRow[] = []
  #newLength = 0
  /** Calls that are gathered, or sent and not answered. */
  #underWay = 0
  /** When this many calls are gathered they are sent: half of those that were in progress when the thread last answered. */
  #part = Number.POSITIVE_INFINITY
  #flushing: NodeJS.Immediate | undefined
  #lastCall = 0
  /** No more reads; and no more calls at all. */
  #closing = false
  #closed = false

  constructor(
    thread: ThreadLink,
    epochs: readonly Epoch[],
    options: Options,
    { heartbeat, commits, bell, server, writer }: ThreadOptions,
  ) {
    super(options.path)
    this.#thread = thread
    this.#epochs = epochs
    this.#notify = options.notify
    this.#commits = new CommitMeter(commits)
    this.#bell = bell
    this.#path = options.path
    this.#clock = options.clock
    this.#server = server && { ...server.owner, types: writer.types, leaseMs: writer.leaseMs }
    this.schedules = new FileSchedules(
      options.clock,
      (read) => this.readSchedules(read),
      (moves) => this.#request({ op: 'moveSchedules', ...moves }),
    )
    this.#ownConnections = new OwnConnections(options.path, writer, options.clock)
    thread.on('message', (reply: Reply) => this.#onReply(reply))
    thread.on('error', (error) => this.#end(error))
    // Registered from the start, because the event comes in the same turn as the last message.
    this.#exited = new Promise((resolve) => {
      thread.once('exit', () => {
        if (!this.#closed) this.#end(new Error('the thread of the store ended unexpectedly'))
        resolve()
      })
    })
    const onStall = (ms: number) => this.#notify({ type: 'stalled', ms })
    this.#loopBeat = heartbeat && new LoopBeat(new Heartbeat(heartbeat), options.longestTimeoutMs, onStall)
  }

  get stalls(): Store['stalls'] {
    return this.#loopBeat?.stalls ?? noStalls
  }

  databaseIdOf(jobId: number): string {
    return epochOf(this.#epochs, jobId)
  }

  enqueue(jobs: readonly NewJobRow[]): Promise<EnqueueResult> {
    if (this.#closed) return Promise.reject(new UnavailableError('the system is stopped'))
    return new Promise((resolve, reject) => {
      this.#gathered.push({ count: jobs.length, resolve, reject })
      for (const job of jobs) {
        this.#newJobs.push(job)
        this.#newLength += job.payload.length
      }
      this.#underWay++
      // The thread stores some while the loop checks the next: four callers with 1,000 jobs each are twice as fast, 100 callers with one
      // each 7 % faster.
      const isMuch = this.#newJobs.length >= gatherMax || this.#newLength >= gatherLengthMax
      if (isMuch || this.#gathered.length >= this.#part) this.#flush()
      else this.#flushSoon()
    })
  }

  enqueueIn(client: unknown, jobs: readonly NewJobRow[]): EnqueueResult {
    if (this.#closed) throw new UnavailableError('the system is stopped')
    const result = this.#ownConnections.enqueue(client, jobs)
    // Most such transactions are over then, and the thread looks at once for what others have committed.
    timers.setImmediate(() => this.#closed || this.#send([]))
    return result
  }

  complete(): Promise<void> {
    const advice =
      'complete needs a system on PostgreSQL. On SQLite, store idempotencyToken in a table of yours, in the transaction of your effect, and leave the effect out if it is there'
    return Promise.reject(new InvalidInputError([{ path: 'client', message: advice }]))
  }

  hasCompleted(): Promise<boolean> {
    return Promise.resolve(false)
  }

  async lease({ limit, wait, start = false }: { limit: number; wait: boolean; start?: boolean }): Promise<LeasedJob[]> {
    const { facts, payloads, traces } = await this.#request({ op: 'lease', limit, wait, start })
    const contexts = traces === null ? null : (JSON.parse(traces) as LeasedJob['trace'][])
    return (JSON.parse(facts) as LeasedFacts[]).map((row, index) =>
      toLeased(row, payloads[index]!, contexts?.[index] ?? null),
    )
  }

  noteStop(): Promise<void> {
    return this.#request({ op: 'noteStop' }).then(() => {})
  }

  stopLeasing(): Promise<void> {
    return this.#request({ op: 'stopLeasing' }).then(() => {})
  }

  async apply(events: readonly LeaseEvent[]): Promise<readonly LeaseEvent[]> {
    const besides = { attempts: attemptsOf(events), reports: reportsOf(events), results: resultsOf(events) }
    const asked = this.#request({ op: 'apply', sets: intoSets(events), ...besides })
    // Sent at once, not at the end of this turn: the thread commits while the loop runs the handlers that are ready.
    this.#flush()
    return eventsOf(await asked, events)
  }

  async report(reports: Parameters<Store['report']>[0]): Promise<void> {
    const text = reportsOf(reports)
    if (text === null) return
    const size = reports.reduce((sum, { report }) => sum + 1 + report.lines.length, 0)
    await this.#request({ op: 'report', reports: text, size })
  }

  abandon(leases: readonly Lease[]): Promise<void> {
    return this.#request({ op: 'abandon', leases }).then(() => {})
  }

  letLive(timeoutMs: number): void {
    this.#loopBeat?.letLive(timeoutMs)
  }

  async recoverOrphans(onProgress?: (moved: number) => void): Promise<Recovered> {
    let leased = 0
    let running = 0
    let suspects = 0
    for (let after = 0; ; ) {
      const step = await this.#request({ op: 'recover', after })
      leased += step.leased
      running += step.running
      suspects += step.suspects
      if (step.last === null) return { leased, running, suspects, wasStopping: step.wasStopping }
      after = step.last
      onProgress?.(leased + running)
    }
  }

  send(command: Command, id: number, cause: string | null = null): Promise<CommandResult> {
    return this.#request({ op: 'send', command, id, cause })
  }

  amend(id: number, changes: string, cause: string | null = null, requeue: boolean = false): Promise<AmendResult> {
    return this.#request({ op: 'amend', id, changes, cause, requeue })
  }

  command(command: Command, ids: readonly number[], state?: JobState, cause: string | null = null): Promise<number[]> {
    return this.#request({ op: 'command', command, ids, state, cause })
  }

  /** The server alone: whether another process lives, a producer does not know. */
  async nodes(): Promise<NodeInfo[]> {
    if (!this.#server) return []
    const states = Object.entries(countStates(await this.counts())) as [JobState, number][]
    const count = (tag: 'held' | 'executing') =>
      states.reduce((sum, [state, n]) => sum + (hasTag(state, tag) ? n : 0), 0)
    const alive = { silentMs: 0, leftMs: this.#server.leaseMs, endedAt: null, declaredBy: null }
    const own = { id: 1, isOwn: true, serves: true, ...alive, isStopping: this.#closing, duties: [] }
    const heardAt = this.#clock.now()
    return [{ ...this.#server, ...own, heardAt, held: count('held'), running: count('executing') }]
  }

  commitStats(): CommitStats {
    return this.#commits.stats()
  }

  verify(onProgress?: (id: number, lastId: number) => void): Promise<VerifyReport> {
    if (this.#closing) return Promise.reject(new UnavailableError('the system is stopped'))
    return this.#checks.run(this.#path, onProgress)
  }

  backup(target: string, onProgress?: (pages: number, ofPages: number) => void): Promise<BackupReport> {
    if (this.#closing) return Promise.reject(new UnavailableError('the system is stopped'))
    return this.#backups.run({ path: this.#path, target }, onProgress)
  }

  async sweep(): Promise<void> {
    await this.#request({ op: 'sweep' })
  }

  async close(): Promise<void> {
    if (this.#closing) return
    this.#closing = true
    // The writer closes last: then SQLite moves the WAL into the file, which is complete by itself.
    await this.closeReads()
    await this.#checks.close()
    await this.#backups.close()
    if (!this.#closed) {
      const closed = this.#request({ op: 'close' })
      this.#closed = true
      // The thread rejects it if it finds now that the file is lost.
      await closed.catch(() => {})
    }
    this.#loopBeat?.stop()
    this.#rejectAll(new UnavailableError('the system was stopped'))
    await this.#exited
  }

  #request<Op extends Operation>(request: Request & { op: Op }): Promise<Answers[Op]> {
    if (this.#closed) return Promise.reject(new UnavailableError('the system is stopped'))
    return new Promise((resolve, reject) => {
      this.#askGathered()
      const callId = ++this.#lastCall
      this.#waiting.set(callId, { resolve, reject })
      this.#unsent.push([callId, request])
      this.#flushSoon()
    })
  }

  /** All requests of one turn of the loop go into one message, and so into one commit. */
  #flushSoon(): void {
    this.#flushing ??= timers.setImmediate(() => this.#flush())
  }

  /** Combines the gathered calls into one request. */
  #askGathered(): void {
    const calls = this.#gathered
    if (calls.length === 0) return
    const firstCallId = this.#lastCall + 1
    const callId = firstCallId + calls.length
    this.#lastCall = callId
    this.#waiting.set(callId, this.#stored(calls, firstCallId))
    const counts = calls.every(({ count }) => count === 1) ? null : calls.map(({ count }) => count)
    this.#unsent.push([callId, { op: 'enqueue', firstCallId, counts, batches: intoBatches(this.#newJobs) }])
    this.#gathered = []
    this.#newJobs = []
    this.#newLength = 0
  }

  /** Gives each of the calls that were sent together its own result. */
  #stored(calls: readonly Gathered[], firstCallId: number): Waiting {
    return {
      reject: (error) => {
        this.#underWay -= calls.length
        for (const call of calls) call.reject(error)
      },
      resolve: (answer: Answers['enqueue']) => {
        if (answer === null) {
          for (const [index, call] of calls.entries()) {
            const id = firstCallId + index
            this.#waiting.set(id, this.#stored([call], id))
          }
          return
        }
        this.#underWay -= calls.length
        if ('firstId' in answer) resolveStored(calls, answer)
        else for (const [index, call] of calls.entries()) call.resolve(answer[index] as never)
      },
    }
  }

  #flush(): void {
    timers.clearImmediate(this.#flushing)
    this.#flushing = undefined
    this.#askGathered()
    if (this.#unsent.length === 0) return
    this.#send(this.#unsent)
    this.#unsent = []
  }

  #send(requests: Requests): void {
    this.#thread.postMessage(requests)
    Atomics.add(this.#bell, 0, 1)
    Atomics.notify(this.#bell, 0)
  }

  #onReply({ settled, refused, events, fatal }: Reply): void {
    if (fatal !== undefined) {
      this.#end(
        fatal.lost ? new DatabaseLostError(fatal.message) : new Error(`the store cannot continue: ${fatal.message}`),
      )
      return
    }
    const half = Math.ceil(this.#underWay / 2)
    this.#part = half < partMin ? Number.POSITIVE_INFINITY : half
    for (const event of events) this.#notify(event)
    for (const [callId, answer] of settled) this.#settled(callId)?.resolve(answer as never)
    for (const [callId, refusal] of refused) this.#settled(callId)?.reject(toError(refusal))
  }

  #settled(callId: number): Waiting | undefined {
    const waiting = this.#waiting.get(callId)
    this.#waiting.delete(callId)
    return waiting
  }

  /** The thread has ended by itself, or is about to. Its unanswered requests may or may not be stored. */
  #end(error: Error): void {
    if (this.#closed && !this.#closing) return
    this.#closed = true
    this.#loopBeat?.stop()
    // First, so that whoever gets the result of a call knows that the system has failed.
    this.#notify({ type: 'fatal', error })
    this.#rejectUnsent(new UnavailableError(`the system has failed: ${error.message.split('\n')[0]}`))
    this.#rejectAll(new OutcomeUnknownError(error))
  }

  /** Requests that were not sent to the thread are not stored, and will not be. */
  #rejectUnsent(error: Error): void {
    timers.clearImmediate(this.#flushing)
    this.#flushing = undefined
    this.#askGathered()
    for (const [callId] of this.#unsent.splice(0)) this.#settled(callId)?.reject(error)
  }

  #rejectAll(error: Error): void {
    for (const [callId] of [...this.#waiting]) this.#settled(callId)?.reject(error)
  }
}

/** Tells each call which of the stored jobs are its own. */
function resolveStored(
  calls: readonly Gathered[],
  { firstId, states, counts }: Extract<Answers['enqueue'], { firstId: number }>,
): void {
  let id = firstId
  let batch = 0
  let left = counts[0]!
  const nextJob = (): EnqueuedJob => {
    if (left-- === 0) left = counts[++batch]! - 1
    return { id: id++, state: states[batch]!, created: true }
  }
  for (const { count, resolve } of calls) {
    const jobs = count === 0 ? [] : [nextJob()]
    // Not `Array.from`, which takes 30 ns a job, nor `map`, to whose arrays V8 gives another shape once it has compiled it.
    while (jobs.length < count) jobs.push(nextJob())
    resolve({ outcome: 'stored', jobs } satisfies EnqueueResult as never)
  }
}

function toError({ kind, message }: Rejection): Error {
  switch (kind) {
    case 'unavailable':
      return new UnavailableError(message)
    case 'full':
      return new StorageFullError()
    case 'broken invariant':
      return new Error(message)
  }
}
