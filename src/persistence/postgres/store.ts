import { performance } from 'node:perf_hooks'
import { UnavailableError } from '../../errors.ts'
import { type Retention, RetentionRules } from '../../job/retention.ts'
import { edgesOn, eventsFrom, hasTag } from '../../machines/edges.ts'
import type { EventType, JobState } from '../../machines/job.ts'
import { rateMs } from '../../machines/prefetch.ts'
import { type Clock, ManualClock } from '../../runtime/clock.ts'
import { timers } from '../../runtime/timers.ts'
import { CommitMeter } from '../commit-meter.ts'
import { LoopBeat, noStalls } from '../loop-beat.ts'
import { type PostgresOptions, postgresDefaults } from '../postgres-options.ts'
import { takesKeysBack } from '../sql/unique-keys.ts'
import type {
  AmendResult,
  BackupReport,
  Command,
  CommandResult,
  EnqueueResult,
  JobRow,
  Lease,
  LeasedJob,
  LeaseEvent,
  NewJobRow,
  Owner,
  Recovered,
  Store,
  StoreEvent,
  VerifyReport,
} from '../store.ts'
import type { Heartbeat } from '../watchdog.ts'
import { assertDirect } from './assert-direct.ts'
import type { Settings } from './connection.ts'
import { assertWhole, readDatabase } from './database.ts'
import { Duties } from './duties.ts'
import { Epochs } from './epochs.ts'
import { Health } from './health.ts'
import { HeldLeases } from './held-leases.ts'
import { Intervals, restAfter } from './intervals.ts'
import { Maintenance } from './maintenance.ts'
import { migrate } from './migrate.ts'
import { type NodeThreadLink, OwnNode } from './nodes.ts'
import { OpenTransactions } from './open-transactions.ts'
import { Horizon } from './read/horizon.ts'
import { jobFacts } from './read/job-facts.ts'
import { listNodes } from './read/nodes.ts'
import { Reader } from './read/reader.ts'
import { Reads } from './reads.ts'
import { Recovery } from './recovery.ts'
import { PostgresSchedules } from './schedules.ts'
import { Signals } from './signals.ts'
import { Transactions } from './transaction/transactions.ts'
import { verify } from './verify.ts'
import { Admissions } from './write/admissions.ts'
import { Claims } from './write/claims.ts'
import { QueueDepths } from './write/depths.ts'
import { GroupCommit } from './write/group-commit.ts'
import { JobIds } from './write/job-ids.ts'
import type { Done } from './write/step.ts'
import { Suspects } from './write/suspects.ts'
import { Writer } from './write/writer.ts'

/** Renewals within one lease, so that one may fail. */
export const renewalsPerLease = 3

/** Connections that write, each one transaction at a time: while one waits for its flush the other goes on. One, if there are to be few. */
const writersMax = 2
const fewConnections = 4
/**
 * Jobs are leased for the time of three calls, in which an answer surely comes: with fewer the slots run empty while a server is slow, calls get
 * smaller, and so dearer. No longer than slots are measured.
 */
const callsAhead = 3
const aheadMs = { min: 20, max: rateMs }
const callsLately = 8
/** How often a node looks for what is due and what others have stored, and between two walks of retention, in ms. */
const pollMs = 50
const retainRestMs = 60_000
/** Between two looks at what is under way, and at transactions that stay open, in ms. */
const lookMs = 500
const openLookMs = 2_000
const retainStepMs = 20
const mergeCountsMs = 1_000
/** How often a change of a job is tried that was refused, though its state allows it by then. */
const amendTriesMax = 3
/** Between two tries of a start that finds no server, in ms. */
const recoverAgainMs = 100

export interface PostgresStoreOptions extends PostgresOptions {
  /** A server; null for a producer. */
  readonly owner: Owner
  readonly serves: boolean
  readonly types: readonly string[]
  readonly leaseMs: number
  readonly maxQueueDepth: number
  readonly maxDepthPerQueue?: number | undefined
  readonly retentionMs: number
  readonly retention?: Retention | undefined
  /** Of a database that is made now. */
  readonly newDatabaseId: string
  readonly clock: Clock
  readonly notify: (event: StoreEvent) => void
  /** The longest timeout of the running attempts, in ms, or 0: a loop that is blocked for longer is ended with the process. */
  readonly longestTimeoutMs: () => number
  /** Where the driver finds what the address leaves out. */
  readonly environment: Readonly<NodeJS.ProcessEnv>
}

/** The parts of a store, and what passes between them. */
export class PostgresStore implements Store {
  readonly durability =
    'PostgreSQL: every acknowledged write is flushed by the server before it answers, unless its fsync is off'
  readonly schedules: PostgresSchedules
  /** A call costs as much as a hundred jobs: 20 µs of the server's time a job at 500 of them, 50 at 25. */
  readonly prefetch = { withinMs: aheadMs.min, mostAtLeast: 2_000 }
  /** What a call has taken lately, in ms. */
  #callMs = 0
  readonly #schema: string
  readonly #options: PostgresStoreOptions
  readonly #reads: Reads
  readonly #node: OwnNode
  readonly #writers: readonly Writer[]
  readonly #held = new HeldLeases()
  readonly #ids = new JobIds()
  readonly #epochs: Epochs
  readonly #claims: Claims
  readonly #depths: QueueDepths
  readonly #transactions: Transactions
  readonly #commits: GroupCommit
  readonly #recovery: Recovery
  readonly #maintenance: Maintenance
  readonly #horizon: Horizon
  readonly #reader: Reader
  readonly #intervals: Intervals
  readonly #signals: Signals
  readonly #health: Health
  readonly #open: OpenTransactions
  readonly #meter = new CommitMeter()
  /** Null for a producer. */
  readonly #loopBeat: LoopBeat | null
  /** The jobs whose handlers' reports are being stored, and when that is done. */
  readonly #reporting = new Map<number, Promise<void>>()
  #reviving: Promise<void> | null = null
  #closed: Promise<void> | undefined
  /** When it had something to do last, monotonic ms; and what makes it look at once. */
  #stirredAt = 0
  #lookNow = () => {}
  #rests = false

  constructor(settings: Settings, options: PostgresStoreOptions, thread: NodeThreadLink, heartbeat: Heartbeat | null) {
    const { types, retentionMs, retention, clock, notify, maxConnections } = options
    this.#schema = settings.schema
    this.#options = options
    this.#intervals = new Intervals(options.serves)
    const connections = maxConnections ?? postgresDefaults.maxConnections.byDefault
    const writers = connections < fewConnections ? 1 : writersMax
    this.#reads = new Reads(settings, connections - writers - 1)
    const given = () => (clock instanceof ManualClock ? clock.now() : null)
    this.#node = new OwnNode(thread, options.owner, given)
    this.#epochs = new Epochs(this.#reads, this.#node)
    const onStall = (ms: number) => void this.#tellStall(ms).catch(() => {})
    this.#loopBeat = heartbeat && new LoopBeat(heartbeat, options.longestTimeoutMs, onStall)
    this.#health = new Health(notify)
    this.#open = new OpenTransactions(this.#reads, (message) => notify({ type: 'warning', about: 'tail', message }))
    this.#writers = Array.from({ length: writers }, () => new Writer(settings, this.#health, () => this.#node))
    this.#depths = new QueueDepths(this.#reads, options)
    this.#transactions = new Transactions({
      ...settings,
      reads: this.#reads,
      node: this.#node,
      depths: this.#depths,
      epochs: this.#epochs,
    })
    this.#claims = this.#createClaims(types)
    this.#commits = this.#createCommits()
    const parts = {
      reads: this.#reads,
      node: this.#node,
      commits: this.#commits,
      claims: this.#claims,
      held: this.#held,
    }
    const duties = new Duties(this.#reads, this.#node)
    this.schedules = new PostgresSchedules({
      ...parts,
      transactions: this.#transactions,
      duties,
      onJobs: () => this.#claims.lookAgain(),
    })
    const send = this.#commits.change.bind(this.#commits)
    this.#recovery = new Recovery(this.#reads, this.#node, duties, send, notify)
    const revive = () => this.#revive()
    this.#maintenance = new Maintenance({
      ...parts,
      recovery: this.#recovery,
      duties,
      types,
      retention: new RetentionRules(retentionMs, retention),
      retentionMs,
      counts: () => this.counts(),
      leaseMs: options.leaseMs,
      notify,
      revive,
    })
    const on = {
      jobs: () => {
        this.#claims.lookAgain()
        this.#stir()
      },
      leases: () => void this.#maintenance.dropLost(this.#held.all(), false).catch(() => {}),
    }
    this.#signals = new Signals({ reads: this.#reads, node: this.#node, schema: settings.schema, on })
    this.#horizon = new Horizon(this.#reads)
    this.#reader = new Reader(this.#reads, this.#horizon)
  }

  async open(): Promise<void> {
    const first = await this.#writers[0]!.connect()
    await assertDirect(first, this.#reads)
    await migrate(first, this.#schema, this.#options.newDatabaseId)
    assertWhole(await readDatabase(first), this.#schema)
    await this.#epochs.look()
    await this.#node.connect()
    this.#hearNode()
    await this.#node.register()
    await Promise.all(this.#writers.map((writer) => writer.open()))
    await this.#maintenance.renew()
    this.#keepTime()
  }

  /** What is done again and again. */
  #keepTime(): void {
    this.#intervals.every(lookMs, async () => this.#commits.lookAtTime(performance.now()))
    this.#intervals.every(openLookMs, () => this.#open.look())
    const maintenance = this.#maintenance
    if (!this.#options.serves) return
    this.#lookNow = this.#intervals.every(pollMs, () => this.#look())
    this.#intervals.every(this.#options.leaseMs / renewalsPerLease, async () => {
      await maintenance.recover()
      await maintenance.restore()
    })
    this.#intervals.every(this.#options.leaseMs / renewalsPerLease, () => maintenance.abandonUnknown())
    this.#intervals.every(retainRestMs, () => maintenance.forget())
    this.#intervals.every(mergeCountsMs, () => maintenance.mergeCounts())
    this.#intervals.every(retainRestMs, async () => ((await maintenance.retain()) ? retainStepMs : retainRestMs))
  }

  /** Returns the pause until the next look. */
  async #look(): Promise<number> {
    const begunAt = performance.now()
    const dueInMs = await this.#maintenance.look()
    const now = performance.now()
    await this.#signals.tell(this.#claims.isWaiting, now)
    const pauseMs = restAfter({ tookMs: now - begunAt, dueInMs, quietMs: now - this.#stirredAt }, pollMs)
    this.#rests = pauseMs > pollMs
    return pauseMs
  }

  /** Something has happened, here or elsewhere: a job may be due sooner than this node knows. */
  #stir(): void {
    this.#stirredAt = performance.now()
    if (this.#rests) this.#lookNow()
    this.#rests = false
  }

  /** What the thread of the node tells. */
  #hearNode(): void {
    this.#node.listener = {
      onSignal: (signal) => this.#signals.hear(signal),
      onFailed: (message) => this.#health.disconnected(this.#node, message),
      onFatal: (error) => this.#options.notify({ type: 'fatal', error }),
      onBeat: (time) => {
        this.#maintenance.beaten(time).then(
          () => this.#health.connected(this.#node),
          (error: Error) => this.#health.disconnected(this.#node, error.message),
        )
      },
    }
  }

  /** If the whole process stood still, its thread did too, and its leases may be lost: that is told instead. */
  async #tellStall(ms: number): Promise<void> {
    // It is being opened, and nobody can have declared it dead.
    if (this.#node.id === 0) return
    const time = await this.#node.beat()
    if (time !== null) this.#options.notify({ type: 'stalled', ms })
    await this.#maintenance.beaten(time)
  }

  get stalls(): Store['stalls'] {
    return this.#loopBeat?.stalls ?? noStalls
  }

  databaseIdOf(jobId: number): string {
    return this.#epochs.idOf(jobId)
  }

  enqueue(jobs: readonly NewJobRow[]): Promise<EnqueueResult> {
    return this.#commits.enqueue(jobs)
  }

  enqueueIn: Store['enqueueIn'] = async (client, jobs) => (await this.#transactions.enqueue(client, [jobs]))[0]!
  complete: Store['complete'] = (client, event) => this.#transactions.complete(client, event)

  async hasCompleted(lease: Lease): Promise<boolean> {
    const isDone = await this.#transactions.hasCompleted(lease)
    if (isDone) this.#held.drop([lease])
    return isDone
  }

  async lease({
    limit,
    wait,
    start = false,
  }: {
    limit: number
    wait: boolean
    start?: boolean
  }): Promise<readonly LeasedJob[]> {
    const jobs = await this.#claims.lease({ limit, wait, start })
    this.#maintenance.tellLost(this.#held.add(jobs), true)
    return jobs
  }

  async noteStop(): Promise<void> {
    await this.#node.noteStop()
  }

  stopLeasing(): Promise<void> {
    return this.#claims.stop()
  }

  async apply(events: readonly LeaseEvent[]): Promise<readonly LeaseEvent[]> {
    // On another connection the outcome might overtake the report, which would then be refused.
    if (this.#reporting.size > 0) await Promise.all(events.map(({ id }) => this.#reporting.get(id)))
    const refused = await this.#commits.apply(events)
    this.#held.follow(events, refused)
    return refused
  }

  async report(reports: Parameters<Store['report']>[0]): Promise<void> {
    const reported = this.#commits.report(reports)
    const done = reported.catch(() => {})
    for (const { id } of reports) this.#reporting.set(id, done)
    await done
    for (const { id } of reports) if (this.#reporting.get(id) === done) this.#reporting.delete(id)
    return reported
  }

  async abandon(leases: readonly Lease[]): Promise<void> {
    this.#held.drop(leases)
    await this.#maintenance.abandon(leases)
  }

  letLive(timeoutMs: number): void {
    this.#loopBeat?.letLive(timeoutMs)
  }

  /** Waits for a server that is away: a start goes on by itself, as all that has started does. */
  async recoverOrphans(onProgress?: (moved: number) => void): Promise<Recovered> {
    for (;;) {
      try {
        const recovered = await this.#recovery.recover(onProgress)
        this.#maintenance.hasRecovered = true
        this.#claims.lookAgain()
        return recovered
      } catch (error) {
        if (this.#closed || !(error instanceof UnavailableError)) throw error
        await new Promise((resolve) => timers.setTimeout(resolve, recoverAgainMs))
      }
    }
  }

  async send(command: Command, id: number, cause: string | null = null): Promise<CommandResult> {
    const [moved] = await this.command(command, [id], undefined, cause)
    const job = await this.#reader.find(id)
    if (!job) return { outcome: 'unknown' }
    if (moved !== undefined) return { outcome: 'done', job }
    return this.#refusal(command, job)
  }

  async #refusal(event: EventType, { id, state }: JobRow): Promise<Extract<CommandResult, { outcome: 'refused' }>> {
    const needsKey = takesKeysBack(event) && eventsFrom(state).includes(event)
    const holder = needsKey ? await this.#reads.one<{ id: number }>(holderOfSql, { id }) : undefined
    return { outcome: 'refused', state, holder: holder?.id }
  }

  async amend(id: number, given: string, cause: string | null = null, requeue = false): Promise<AmendResult> {
    for (let tries = 1; ; tries++) {
      const jobs = [{ id }]
      const isId = Number.isSafeInteger(id)
      const [moved] = isId ? await this.#commits.change([{ event: 'amend', jobs, cause, given, requeue }]) : [[]]
      const job = isId ? await this.#reader.find(id) : undefined
      if (!job) return { outcome: 'unknown' }
      if (moved === null) return { outcome: 'done', job }
      const event = requeue ? 'requeue' : 'amend'
      const { attempt } = job
      const isAllowed = eventsFrom(job.state).includes(event)
      if (isAllowed && attempt >= (JSON.parse(given).maxAttempts ?? Number.POSITIVE_INFINITY) && !requeue)
        return { outcome: 'spent', attempt }
      const refusal = await this.#refusal(event, job)
      // If it is allowed, it has come back since it was refused.
      if (!isAllowed || refusal.holder !== undefined || tries === amendTriesMax) return refusal
    }
  }

  async command(
    command: Command,
    ids: readonly number[],
    state?: JobState,
    cause: string | null = null,
  ): Promise<number[]> {
    const jobs = [...new Set(ids)]
      .filter(Number.isSafeInteger)
      .sort((a, b) => a - b)
      .map((id) => ({ id }))
    if (jobs.length === 0) return []
    const [moved] = await this.#commits.change([{ event: command, jobs, cause, onlyIn: state }])
    const taken = moved === null ? jobs.map(({ id }) => id) : [...moved!].sort((a, b) => a - b)
    if (!edgesOn(command).some(({ from }) => hasTag(from, 'held'))) return taken
    const leases = this.#held.of(taken)
    if (leases.length < taken.length) this.#signals.send('leases')
    // Some may be new: of jobs that were requeued since. If the look fails, the next renewal finds the others.
    await this.#maintenance.dropLost(leases, true).catch(() => {})
    return taken
  }

  find: Store['find'] = (id) => this.#reader.find(id)
  ended: Store['ended'] = (ids) => this.#reader.ended(ids)
  list: Store['list'] = (filter, signal) => this.#reader.list(filter, signal)
  matching: Store['matching'] = (filter) => this.#reader.matching(filter)
  payloadAt: Store['payloadAt'] = (id, at) => this.#reader.payloadAt(id, at)
  readPayload = async ({ id, leaseToken }: Lease): Promise<string> =>
    (await this.#reader.payloadAt(id, leaseToken)) ?? ''
  history: Store['history'] = (id, page) => this.#reader.history(id, page)
  log: Store['log'] = (id, page) => this.#reader.log(id, page)
  progressSince: Store['progressSince'] = (at) => this.#reader.progressSince(at)
  pathOf: Store['pathOf'] = (id, upTo) => this.#reader.pathOf(id, upTo)
  transitions: Store['transitions'] = (page) => this.#reader.transitions(page)
  counts: Store['counts'] = () => this.#reader.counts()
  nodes: Store['nodes'] = () => listNodes(this.#reads, this.#node)
  jobFacts: Store['jobFacts'] = (id) =>
    jobFacts(this.#reads, id, { node: this.#node.id, serves: this.#options.serves, given: this.#node.now() })
  census: Store['census'] = () => this.#reader.census()
  commitStats: Store['commitStats'] = () => this.#meter.stats()
  fileSizes: Store['fileSizes'] = () => this.#reader.fileSizes()

  verify(onProgress?: (id: number, lastId: number) => void): Promise<VerifyReport> {
    return verify(this.#reads, onProgress)
  }

  backup(): Promise<BackupReport> {
    return Promise.reject(
      new UnavailableError(
        'a backup of PostgreSQL is made with its own tools: pg_dump, or pg_basebackup and the archived log',
      ),
    )
  }

  sweep(): Promise<void> {
    return this.#maintenance.all()
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    this.#reads.stopWaiting()
    await this.#intervals.stop()
    this.#signals.stop()
    await this.#claims.stop()
    await this.#commits.close()
    await Promise.all(this.#writers.map((writer) => writer.close()))
    await this.#node.end()
    this.#loopBeat?.stop()
    await this.#reads.close()
  }

  #createClaims(types: readonly string[]): Claims {
    const suspects = new Suspects({
      reads: this.#reads,
      node: () => this.#node,
      handled: new Set(types),
      change: (changes) => this.#commits.change(changes),
      onAside: (aside) => this.#tellAside(aside),
    })
    return new Claims(types, suspects)
  }

  #createCommits(): GroupCommit {
    return new GroupCommit({
      writers: this.#writers,
      admissions: new Admissions(this.#reads, this.#node, this.#depths, this.#ids),
      claims: this.#claims,
      health: this.#health,
      epochs: this.#epochs,
      revive: () => this.#revive(),
      beginEpoch: (isForced) => this.#beginEpoch(isForced),
      onDone: (done, tookMs, mayBeReady) => {
        this.#done(done, tookMs)
        // Those who wait here have been asked first.
        if (mayBeReady && !this.#claims.isWaiting) this.#signals.send('jobs')
      },
      onSlow: (calls, reason) => void this.#tellSlow(calls, reason),
      onFatal: (error) => this.#options.notify({ type: 'fatal', error }),
    })
  }

  #done(done: Done, tookMs: number): void {
    this.#ids.add(done.blocks)
    this.#meter.committed(tookMs, done.events)
    this.#callMs += (tookMs - this.#callMs) / callsLately
    this.prefetch.withinMs = Math.min(Math.max(callsAhead * this.#callMs, aheadMs.min), aheadMs.max)
    if (done.events > 0) {
      this.#horizon.lastOwn = Math.max(this.#horizon.lastOwn, done.lastEvent)
      this.#stir()
    }
    this.#tellAside(done.aside)
  }

  async #tellSlow(calls: number, reason: string): Promise<void> {
    const tell = (message: string | null) => this.#options.notify({ type: 'warning', about: 'writes', message })
    if (calls === 0) return tell(null)
    const open = await this.#open.name().catch(() => null)
    const who = open === null ? '' : `; ${open}, and may hold a lock on them`
    const what = calls === 1 ? '1 outcome or recovery' : `${calls} outcomes or recoveries`
    tell(`${what} of jobs could not be stored and is tried again: ${reason}${who}`)
  }

  #tellAside(aside: Done['aside']): void {
    const types = new Set<string>()
    let count = 0
    for (const [type, told] of (aside ?? []).flatMap((each) => Object.entries(each))) {
      if (typeof told !== 'number') this.#options.notify({ type: 'unreadable', ids: told })
      else {
        types.add(type)
        count += told
      }
    }
    if (count > 0) this.#options.notify({ type: 'unhandled', types: [...types], count })
  }

  /** This node was declared dead: its jobs are others' now, and it goes on under another id. */
  #revive(): Promise<void> {
    this.#reviving ??= this.#comeBack().finally(() => {
      this.#reviving = null
    })
    return this.#reviving
  }

  async #beginEpoch(isForced: boolean): Promise<void> {
    await this.#epochs.look(isForced)
    this.#ids.clear()
  }

  async #comeBack(): Promise<void> {
    if ((await this.#node.beat()) !== null) return
    const leases = this.#held.drop(this.#held.all())
    this.#options.notify({ type: 'declaredDead', leases: leases.length })
    this.#maintenance.tellLost(leases, false)
    await this.#epochs.look()
    await this.#node.register()
    this.#signals.forget()
  }
}

/** Who holds the unique key that a job had. */
const holderOfSql = `
  SELECT other.job_id AS id FROM unique_jobs AS own JOIN unique_jobs AS other ON other.type = own.type AND other.unique_key = own.unique_key
  WHERE own.job_id = :id AND own.place IS NULL AND own.until <> 'time' AND other.place = 1`
