import { Worker } from 'node:worker_threads'
import type Database from 'better-sqlite3'
import {
  DatabaseLostError,
  DatabaseUnusableError,
  InvalidInputError,
  LostJobsError,
  OutcomeUnknownError,
  StorageFullError,
  UnavailableError,
} from '../../errors.ts'
import type { JobState } from '../../machines/job.ts'
import { type Clock, ManualClock } from '../../runtime/clock.ts'
import { ownThread } from '../../runtime/own-thread.ts'
import { timers } from '../../runtime/timers.ts'
import { CommitMeter } from '../commit-meter.ts'
import { type Epoch, epochOf } from '../epoch.ts'
import { type LeasedFacts, toLeased } from '../leased-facts.ts'
import { LoopBeat, noStalls } from '../loop-beat.ts'
import { intoSets } from '../sql/ranges.ts'
import type {
  BackupReport,
  CensusCount,
  Command,
  CommandResult,
  CommitStats,
  EdgeCount,
  EnqueuedJob,
  EnqueueResult,
  FileSizes,
  HistoryEvent,
  IdPage,
  JobFacts,
  JobPage,
  JobPath,
  JobRow,
  Lease,
  LeasedJob,
  LeaseEvent,
  ListFilter,
  MatchFilter,
  NewJobRow,
  Recovered,
  Store,
  StoreEvent,
  TransitionPage,
  VerifyReport,
} from '../store.ts'
import { Heartbeat } from '../watchdog.ts'
import { intoBatches } from './batches.ts'
import type { BackupData } from './file/backup-thread.ts'
import { durability, makeFile, openForReading } from './file/connection.ts'
import { fileSizes } from './file/filesystem.ts'
import type { FileId } from './file/held-locks.ts'
import type { Owner } from './file/lock.ts'
import { storageFailure } from './file/storage-failure.ts'
import { OwnConnections } from './own-connections.ts'
import { Reader } from './read/reader.ts'
import { toTransitions } from './read/rows.ts'
import { Scanner } from './read/scanner.ts'
import type {
  Answers,
  Operation,
  RefusedEvent,
  Rejection,
  Reply,
  Request,
  Requests,
  ThreadOptions,
  WriterOptions,
} from './thread/protocol.ts'
import { ReportThreads } from './thread/report-threads.ts'

/** Attempts of a read that met a checkpoint or a recovery, one per turn of the loop. */
const busyReadTries = 100

/** Jobs of calls that are gathered before they are sent, if more arrive in the same turn of the loop. */
const gatherMax = 500
/** Calls that are worth a separate message before a turn ends. */
const partMin = 16

/** For the thread's short-lived objects: without it V8 uses 9 MB more after a million jobs, and is no faster. */
const youngGenerationMaxMb = 12

interface SqliteStoreOptions extends WriterOptions {
  readonly path: string
  /** The server, which must hold the file's lock; null for a producer. */
  readonly owner: Owner | null
  /** The lock's file, as it was when the lock was taken; null if nobody holds one. */
  readonly lock?: FileId | null
  /** The id of a new file, or of a new epoch. */
  readonly newDatabaseId: string
  /** See `LostJobsError`. */
  readonly acceptLoss?: string | undefined
  /** Overwrites removed data with zeros; false by default. */
  readonly secureDelete?: boolean | undefined
  readonly clock: Clock
  readonly notify: (event: StoreEvent) => void
  /** The longest timeout of the running attempts, in ms, or 0: a loop that is blocked for longer is ended with the process. */
  readonly longestTimeoutMs: () => number
}

/** The parts of `Worker` that the loop uses. */
type ThreadLink = Pick<Worker, 'on' | 'once' | 'postMessage'>

/** Starts the writing half of the store on a separate thread. One object, which tests replace to run it on the loop's thread. */
export const storeThreads = {
  start(workerData: ThreadOptions): ThreadLink {
    const resourceLimits = { maxYoungGenerationSizeMb: youngGenerationMaxMb }
    return new Worker(new URL('./thread/thread.js', import.meta.url), { workerData, resourceLimits, ...ownThread })
  },
}

/**
 * Opens the store; creates the file if it is missing. Rejects with `DatabaseUnusableError` if the file cannot be used, and with
 * `UnavailableError` if another process has kept it locked for too long. `start` starts the thread; tests run it on this one.
 */
export async function openSqliteStore(options: SqliteStoreOptions, start = storeThreads.start): Promise<Store> {
  const { path, owner, newDatabaseId, clock, types, leaseMs, retentionMs, maxQueueDepth, maxDepthPerQueue } = options
  const workerData: ThreadOptions = {
    path,
    server: owner && { owner, lock: options.lock ?? null },
    writer: { types, leaseMs, maxQueueDepth, maxDepthPerQueue, retentionMs },
    newDatabaseId,
    acceptLoss: options.acceptLoss,
    secureDelete: options.secureDelete,
    clock: clock instanceof ManualClock ? clock.cell : null,
    heartbeat: owner && new Heartbeat().memory,
    commits: new CommitMeter().memory,
    bell: new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)),
  }
  makeFile(path)
  const thread = start(workerData)
  const { opened, openFailure } = await firstMessage(thread)
  if (!opened) throw toOpenError(openFailure)
  return new SqliteStore(thread, opened.epochs, options, workerData)
}

function toOpenError(openFailure: Reply['openFailure']): Error {
  switch (openFailure?.kind) {
    case 'jobs lost':
      return new LostJobsError(openFailure.fault, openFailure.missing, openFailure.acceptance)
    case 'unusable':
      return new DatabaseUnusableError(openFailure.message)
    default:
      return new UnavailableError(`the database cannot be opened: ${openFailure?.message ?? 'its thread ended'}`)
  }
}

function firstMessage(thread: ThreadLink): Promise<Reply> {
  return new Promise((resolve, reject) => {
    thread.once('message', resolve)
    thread.once('error', reject)
  })
}

interface Waiting {
  resolve(answer: never): void
  reject(error: Error): void
}

/** A call that stores this many jobs. */
interface Gathered extends Waiting {
  readonly count: number
}

/** The loop's half of the store: writes go to the thread, reads by key use a read-only connection here. */
class SqliteStore implements Store {
  readonly durability = durability
  readonly prefetch = { withinMs: 10, mostAtLeast: 0 }
  readonly #epochs: readonly Epoch[]
  readonly #thread: ThreadLink
  readonly #readConnection: Database.Database
  readonly #reader: Reader
  readonly #scanner: Scanner
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
  readonly #notify: SqliteStoreOptions['notify']
  readonly #waiting = new Map<number, Waiting>()
  readonly #exited: Promise<void>
  /** Null for a producer. */
  readonly #loopBeat: LoopBeat | null
  #unsent: [number, Request][] = []
  /** Calls that store jobs, to be sent together, and their jobs. */
  #gathered: Gathered[] = []
  #newJobs: NewJobRow[] = []
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
    options: SqliteStoreOptions,
    { heartbeat, commits, bell, writer }: ThreadOptions,
  ) {
    this.#thread = thread
    this.#epochs = epochs
    this.#notify = options.notify
    this.#commits = new CommitMeter(commits)
    this.#bell = bell
    this.#path = options.path
    this.#readConnection = openForReading(options.path)
    this.#reader = new Reader(this.#readConnection)
    this.#scanner = new Scanner(options.path)
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
      for (const job of jobs) this.#newJobs.push(job)
      this.#underWay++
      // The thread stores some while the loop checks the next: four callers with 1,000 jobs each are twice as fast, 100 callers with one
      // each 7 % faster.
      if (this.#newJobs.length >= gatherMax || this.#gathered.length >= this.#part) this.#flush()
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
      // The empty text is not JSON: the attempt finds out.
      toLeased(row, payloads[index] ?? '', contexts?.[index] ?? null),
    )
  }

  noteStop(): Promise<void> {
    return this.#request({ op: 'noteStop' }).then(() => {})
  }

  stopLeasing(): Promise<void> {
    return this.#request({ op: 'stopLeasing' }).then(() => {})
  }

  async apply(events: readonly LeaseEvent[]): Promise<readonly LeaseEvent[]> {
    const asked = this.#request({ op: 'apply', sets: intoSets(events), attempts: attemptsOf(events) })
    // Sent at once, not at the end of this turn: the thread commits while the loop runs the handlers that are ready.
    this.#flush()
    return eventsOf(await asked, events)
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

  command(command: Command, ids: readonly number[], state?: JobState, cause: string | null = null): Promise<number[]> {
    return this.#request({ op: 'command', command, ids, state, cause })
  }

  find(id: number): Promise<JobRow | undefined> {
    return this.#read((reader) => reader.find(id))
  }

  list(filter: ListFilter, signal?: AbortSignal): Promise<JobPage> {
    return this.#scanner.scan('list', filter, signal)
  }

  matching(filter: MatchFilter): Promise<IdPage> {
    return this.#scanner.scan('matching', filter)
  }

  async transitions(page: { after: number; limit: number }): Promise<TransitionPage> {
    const { json, newest } = await this.#scanner.scan('transitions', page)
    const { transitions, last } = toTransitions(json)
    if (last === undefined) return { transitions, last: Math.min(page.after, newest) }
    // An empty page is the end. Here there are events, and none of them can be read.
    return transitions.length > 0 ? { transitions, last } : this.transitions({ ...page, after: last })
  }

  history(id: number, page: { after: number; limit: number }): Promise<HistoryEvent[] | undefined> {
    return this.#read((reader) => reader.history(id, page))
  }

  pathOf(id: number, upTo: number): Promise<JobPath | undefined> {
    return this.#scanner.scan('pathOf', { id, upTo })
  }

  counts(): Promise<EdgeCount[]> {
    return this.#read((reader) => reader.counts())
  }

  jobFacts(id: number): Promise<JobFacts | undefined> {
    return this.#scanner.scan('jobFacts', id)
  }

  census(): Promise<readonly CensusCount[]> {
    return this.#scanner.scan('census', undefined)
  }

  commitStats(): CommitStats {
    return this.#commits.stats()
  }

  fileSizes(): Promise<FileSizes> {
    return fileSizes(this.#path)
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
    this.#readConnection.close()
    await this.#scanner.close()
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

  async #read<T>(read: (reader: Reader) => T): Promise<T> {
    for (let tries = 1; ; tries++) {
      if (this.#closing) throw new UnavailableError('the system is stopped')
      try {
        return read(this.#reader)
      } catch (error) {
        if (storageFailure(error) === null) throw error
        if (storageFailure(error) !== 'busy' || tries === busyReadTries)
          throw new UnavailableError('the database cannot be read', { cause: error })
        await new Promise((resolve) => timers.setTimeout(resolve, 1))
      }
    }
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
    // Built by the same expression each time: V8 gives arrays made by `map` another shape once it has compiled it.
    const jobs = count === 1 ? [nextJob()] : Array.from({ length: count }, nextJob)
    resolve({ outcome: 'stored', jobs } satisfies EnqueueResult as never)
  }
}

/** Null if none is traced, as usual. */
function attemptsOf(events: readonly LeaseEvent[]): [jobId: number, traceparent: string][] | null {
  if (!events.some(({ traceparent }) => traceparent !== undefined)) return null
  return events.flatMap(({ id, traceparent }) => (traceparent === undefined ? [] : [[id, traceparent]]))
}

/** The events that were refused. Of two equal ones the first was accepted, if any. */
function eventsOf(refused: readonly RefusedEvent[], events: readonly LeaseEvent[]): LeaseEvent[] {
  if (refused.length === 0) return []
  const nameOf = ({ event, id, leaseToken }: RefusedEvent) => `${event} ${id} ${leaseToken}`
  const left = new Map<string, number>()
  for (const each of refused) left.set(nameOf(each), (left.get(nameOf(each)) ?? 0) + 1)
  const found = events.toReversed().filter((event) => {
    const count = left.get(nameOf(event)) ?? 0
    left.set(nameOf(event), count - 1)
    return count > 0
  })
  return found.reverse()
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
