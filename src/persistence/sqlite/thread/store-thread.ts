import type Database from 'better-sqlite3'
import { DatabaseLostError } from '../../../errors.ts'
import type { MonotonicClock } from '../../../runtime/clock.ts'
import { CommitMeter } from '../../commit-meter.ts'
import { beatMs, Heartbeat, idleBeatMs, type killBlockedProcess, Watchdog } from '../../watchdog.ts'
import { leaveLog } from '../file/connection.ts'
import { progressOf, readEpochs } from '../file/epochs.ts'
import { FileGuard } from '../file/file-guard.ts'
import { FileWatch } from '../file/file-watch.ts'
import { Mark } from '../file/mark.ts'
import { storageFailure } from '../file/storage-failure.ts'
import { Writer } from '../write/writer.ts'
import { busyTimeoutMs, Calls } from './calls.ts'
import { Checkpoints } from './checkpoints.ts'
import { commitTogether, type Part } from './group-commit.ts'
import { HeldLeases } from './held-leases.ts'
import { Maintenance, part } from './maintenance.ts'
import { OthersTurn } from './others-turn.ts'
import type { Reply, Requests, ThreadOptions } from './protocol.ts'

/** How often to check the file for writes of other processes, and the loop for its heartbeat. There is no other poll. */
const tickMs = beatMs
/** The same once nothing has happened for `quietMs`, if the kernel reports what others do to the files. */
const idleTickMs = idleBeatMs
const quietMs = 1_000
/** The same for `tickMs` after a report of the kernel, which comes when a transaction is written: its commit may take longer. */
const soonMs = 10
/** Ticks between two searches for ready jobs that no event reported: a safety net. */
const fallbackTicks = 10
/** Ms between attempts while another process holds the file: while calls wait for it, and after they were refused. */
const busyWaitMs = { soon: 2, later: 50 }
/** For this long after a call, in ms, the store counts as used by others than its maintenance. */
const contendedMs = 100
/** Ms between attempts to store outcomes on a full disk. */
const fullWaitMs = 500
const diskFull = 'the disk that holds the database is full'

/** Bytes above which the log reports the size of the WAL: eight times what it needs. */
const longLogBytes = 67_108_864
/** How long to wait for readers when a log is saved, in ms. */
const saveLogMs = 2_000

/** An empty message. */
export const quiet: Reply = { settled: [], refused: [], events: [] }

/** The connection to the event loop, like a `MessagePort`: whole messages, in order. */
interface RequestPort {
  /** Calls `listener` with each message that arrives while the thread sleeps. */
  onMessage(listener: (requests: Requests) => void): void
  /** The next message that has arrived and was not taken. */
  takeNext(): Requests | undefined
  /**
   * Blocks the thread until a message comes that was not taken, or `ms` have passed; returns whether they have. Null if the thread may not
   * be blocked.
   */
  readonly sleep: ((ms: number) => boolean) | null
  reply(reply: Reply): void
  close(): void
}

/**
 * The thread of the store, which owns the only connection that writes. While a commit is on its way to disk, calls queue up; the next
 * transaction takes all of them. It sleeps until a request arrives or its maintenance has something to do.
 */
export class StoreThread {
  readonly #requestPort: RequestPort
  readonly #clock: MonotonicClock
  readonly #db: Database.Database
  readonly #guard: FileGuard
  readonly #mark: Mark
  readonly #checkpoints: Checkpoints
  readonly #askDataVersion: Database.Statement
  readonly #askHighestJob: Database.Statement
  readonly #noteWritten: Database.Statement
  readonly #writer: Writer
  readonly #calls: Calls
  readonly #meter: CommitMeter
  readonly #held = new HeldLeases()
  readonly #othersTurn = new OthersTurn()
  /** Null if the thread may not be blocked, because it is not one of our own. */
  readonly #watch: FileWatch | null
  /** Null for a producer. */
  readonly #maintenance: Maintenance | null
  readonly #watchdog: Watchdog | null
  readonly #endProcess: typeof killBlockedProcess
  #dataVersion = -1
  /** Whether another process wrote since the mark was last written, and whether this one did. */
  #othersWrote = false
  #isMarkBehind = false
  /** The files were not checked since the last commit. */
  #isUnchecked = false
  #ticks = 0
  /** A tick has passed since the last step. */
  #hasTicked = true
  /** When another process last did something to the files, in monotonic ms. */
  #othersAt = Number.NEGATIVE_INFINITY
  /** When the kernel last reported that somebody did something to them, in monotonic ms. */
  #heardAt = Number.NEGATIVE_INFINITY
  /** The longest time until the next tick. */
  #restMs = tickMs
  #toldLogBytes = longLogBytes
  #toldMarkFault: string | null = null
  #timer: NodeJS.Timeout | undefined
  /** Monotonic ms: since when another process has held the file, and when to try again. */
  #busySince: number | null = null
  #retryAt = 0
  #trouble: string | null = null
  /** The file must not be written again. */
  #broken = false
  /** The store cannot continue: nothing more is stored or answered, whatever arrives. */
  #ended = false

  /**
   * `db`: the open file, which is closed with the store. `endProcess`: called by the watchdog if the loop is blocked for good. `remarks`:
   * about the file, for its operator.
   */
  constructor(
    requestPort: RequestPort,
    db: Database.Database,
    clock: MonotonicClock,
    options: ThreadOptions,
    endProcess: typeof killBlockedProcess,
    remarks: readonly string[] = [],
  ) {
    this.#requestPort = requestPort
    this.#db = db
    this.#clock = clock
    this.#endProcess = endProcess
    this.#askDataVersion = this.#db.prepare('PRAGMA data_version').pluck()
    this.#askHighestJob = this.#db.prepare(`SELECT max(seq) FROM sqlite_sequence WHERE name = 'jobs'`).pluck()
    this.#noteWritten = this.#db.prepare(`INSERT OR REPLACE INTO meta (name, value) VALUES ('written', ?)`)
    this.#writer = new Writer(this.#db, options.writer)
    this.#calls = new Calls(this.#writer, this.#held)
    this.#meter = new CommitMeter(options.commits)
    this.#maintenance = options.server
      ? new Maintenance(this.#writer, this.#held, options.writer, clock, (event) => this.#calls.notify(event))
      : null
    this.#watchdog = options.heartbeat && new Watchdog(new Heartbeat(options.heartbeat))
    this.#guard = new FileGuard(options.path, options.server?.lock ?? null)
    this.#mark = new Mark(options.path, progressOf(this.#db))
    this.#checkpoints = new Checkpoints(this.#db, this.#guard)
    this.#watch = requestPort.sleep && new FileWatch(this.#guard.paths, () => this.#onChange())
    for (const message of remarks) this.#calls.notify({ type: 'file', message })
    requestPort.onMessage((requests) => {
      if (this.#ended) return
      this.#accept(requests)
      this.#work()
    })
    requestPort.reply({ ...quiet, opened: { epochs: readEpochs(this.#db) } } satisfies Reply)
    this.#work()
  }

  /**
   * Works and sleeps in turns. A blocked thread wakes sooner than one whose event loop waits for a message, and with less work, so it
   * sleeps that way; but its event loop turns every `tickMs` too, for what Node does there.
   */
  #work(first: () => unknown = () => {}): void {
    clearTimeout(this.#timer)
    const { sleep } = this.#requestPort
    const turnsAt = performance.now() + tickMs
    let next = first
    while (this.#commitAll(next)) {
      this.#restMs = this.#isIdle() ? idleTickMs : tickMs
      const sleepMs = this.#sleepMs()
      const leftMs = this.#restMs > tickMs ? 0 : turnsAt - performance.now()
      if (!sleep || leftMs <= 0) {
        this.#timer = setTimeout(() => this.#work(sleep ? this.#tick : this.#pause), sleepMs)
        return
      }
      next = sleep(Math.min(sleepMs, leftMs)) ? this.#pause : () => {}
    }
  }

  /** While an attempt runs, the loop beats for the watchdog. */
  #isIdle(): boolean {
    const quietSince = Math.max(this.#calls.lastCameAt, this.#othersAt)
    const isQuiet = performance.now() - quietSince > quietMs && !this.#watchdog?.isNeeded
    if (!isQuiet) this.#watch?.rest()
    return isQuiet && (this.#watch?.listen() ?? false)
  }

  #onChange(): void {
    this.#heardAt = performance.now()
    this.#othersAt = this.#heardAt
    this.#work(this.#tick)
  }

  /** Commits until nothing is left to do now; returns false if the store has ended. */
  #commitAll(first: () => unknown): boolean {
    try {
      first()
      while (this.#step()) this.#flush()
      this.#flush()
    } catch (error) {
      this.#stop(error)
      return false
    }
    if (!this.#db.open) this.#requestPort.close()
    return this.#db.open
  }

  readonly #tick = (): void => {
    this.#hasTicked = true
    if (++this.#ticks % fallbackTicks === 0) this.#calls.lookForReady = true
    if (this.#db.open) this.#lookAtFiles()
  }

  readonly #pause = (): void => {
    this.#tick()
    if (this.#db.open && !this.#broken) this.#checkpoints.inPause()
  }

  #lookAtFiles(): void {
    this.#guard.look()
    if (this.#ticks % fallbackTicks !== 0) return
    this.#keepMark()
    this.#tellOfLog(this.#guard.logBytes)
  }

  /** Reports a problem once, until it is gone. */
  #keepMark(): void {
    const fault = this.#mark.keep()
    if (fault !== null && fault !== this.#toldMarkFault) {
      const message = `${fault}. Acknowledged jobs are safe, but without a mark the next start cannot detect missing ones`
      this.#calls.notify({ type: 'file', message })
    }
    this.#toldMarkFault = fault
  }

  /** Reports each doubling once, until the log is short again. */
  #tellOfLog(bytes: number): void {
    if (bytes < longLogBytes) this.#toldLogBytes = longLogBytes
    if (bytes < this.#toldLogBytes) return
    this.#toldLogBytes = 2 * bytes
    const message = `the log of the database has grown to ${Math.round(bytes / 1e6)} MB: something keeps reading the file, such as an open transaction in a shell or a backup; the log shrinks when that ends`
    this.#calls.notify({ type: 'file', message })
  }

  /** Called before each transaction, however many there are without a pause: between two checks the thread slept or was held up. */
  #lookAtLoop(): void {
    const stillMs = this.#watchdog?.look(performance.now(), this.#restMs) ?? null
    if (stillMs !== null) this.#endProcess(stillMs, this.#held.runningIds())
  }

  #sleepMs(): number {
    const waitsUntil = Math.max(this.#retryAt, this.#othersTurn.until)
    if (waitsUntil > 0) return Math.max(1, Math.min(this.#restMs, waitsUntil - performance.now()))
    const now = this.#clock.now()
    const { exclusiveUntil } = this.#writer
    const othersIn = exclusiveUntil !== null && exclusiveUntil > now ? exclusiveUntil - now : Number.POSITIVE_INFINITY
    const maintenanceIn = this.#maintenance?.sleepMs(now) ?? this.#restMs
    const mostMs = performance.now() - this.#heardAt < tickMs ? soonMs : this.#restMs
    return Math.max(1, Math.min(mostMs, maintenanceIn, othersIn, this.#guard.restMs))
  }

  /** One transaction with everything that waits; false if there is nothing to do now. */
  #step(): boolean {
    this.#lookAtLoop()
    this.#acceptMail()
    const cannotStore = this.#broken || performance.now() < this.#retryAt
    if (this.#calls.takeClose(!cannotStore)) {
      this.#close()
      return false
    }
    if (this.#broken) this.#calls.refuseAll(this.#trouble ?? 'the storage is broken')
    if (cannotStore || performance.now() < this.#othersTurn.until) return false
    this.#retryAt = 0
    this.#othersTurn.until = 0
    // Inside a transaction the check is cheaper, and each transaction does it.
    if (this.#hasTicked && !this.#calls.isPending) this.#noticeOthers()
    this.#hasTicked = false
    const now = this.#clock.now()
    const { exclusiveUntil } = this.#writer
    if (exclusiveUntil !== null && exclusiveUntil <= now) this.#calls.lookForReady = true
    const parts = [...this.#calls.takeParts(), ...this.#takeHousekeeping(now), ...this.#takeProbe()]
    if (parts.length === 0) parts.push(...this.#calls.takeLeaseAlone())
    if (parts.length > 0) this.#commit(parts)
    return parts.length > 0 || this.#calls.isPending
  }

  /** The last process that closes the file leaves everything in it. */
  #close(): void {
    if (!this.#broken) {
      this.#guard.check()
      try {
        leaveLog(this.#db)
      } catch (error) {
        // Another process has the file open, or the disk is full: the log stays.
        if (storageFailure(error) === null) throw error
      }
    }
    this.#watch?.rest()
    this.#db.close()
    this.#mark.close()
  }

  /** Reads the messages that arrived while a transaction runs or is being flushed. */
  #acceptMail(): void {
    for (let more = this.#requestPort.takeNext(); more; more = this.#requestPort.takeNext()) this.#accept(more)
  }

  /** If it is empty, another connection of this process has committed, which a tick would show later. */
  #accept(requests: Requests): void {
    this.#hasTicked ||= requests.length === 0
    this.#calls.accept(requests)
  }

  #takeHousekeeping(now: number): Part[] {
    const asked = this.#calls.sweepAsked
    this.#calls.sweepAsked = false
    const contended = performance.now() - this.#calls.lastCameAt < contendedMs
    return this.#maintenance?.parts(now, asked, contended) ?? []
  }

  /** Only a real write shows that the disk works again: on a full disk an empty commit succeeds too. */
  #takeProbe(): Part[] {
    if (this.#trouble === null) return []
    const write = () => this.#noteWritten.run(performance.now())
    return [part(write, () => {})]
  }

  #commit(parts: Part[]): void {
    let isFirst = true
    const more = () => {
      if (isFirst) this.#noticeOthers()
      isFirst = false
      this.#acceptMail()
      return this.#calls.takeMore()
    }
    const committed = () => {
      this.#writer.committed()
      this.#isUnchecked = true
      if (this.#othersWrote) this.#mark.noteJobs((this.#askHighestJob.get() as number | null) ?? 0)
      this.#othersWrote = false
      if (this.#writer.eventCount > 0) this.#isMarkBehind = true
      this.#meter.committed(performance.now() - this.#writer.beganAt, this.#writer.eventCount)
      if (this.#writer.tookTimed) this.#maintenance?.lookForDue()
    }
    // True until a lease has searched: if this transaction fails before it reaches one, its parts are still stored alone.
    this.#calls.lookForReady = true
    let errors: unknown[]
    this.#guard.checkBefore()
    const begunAt = performance.now()
    try {
      errors = commitTogether(this.#db, this.#writer, parts, this.#clock, committed, more)
    } catch (error) {
      if (storageFailure(error) !== 'busy' && storageFailure(error) !== 'corrupt') throw error
      for (const each of parts) each.failed(error)
      if (storageFailure(error) === 'busy') this.#waitForOthers()
      else {
        this.#broken = true
        this.#setTrouble(messageOf(error))
      }
      return
    }
    // Even if only maintenance met it, because that is repeated at once.
    const isDiskFull = errors.some((error) => storageFailure(error) === 'full')
    this.#busySince = null
    this.#calls.refusedAsBusy = false
    this.#retryAt = isDiskFull ? performance.now() + fullWaitMs : 0
    this.#othersTurn.noteOwn(begunAt, performance.now())
    if (isDiskFull) this.#setTrouble(diskFull, 'full')
    else this.#setTrouble(null)
  }

  #waitForOthers(): void {
    const now = performance.now()
    this.#busySince ??= now
    const waited = now - this.#busySince
    this.#retryAt = now + (waited > busyTimeoutMs ? busyWaitMs.later : busyWaitMs.soon)
    if (waited > busyTimeoutMs || this.#calls.refusedAsBusy)
      this.#setTrouble('another process holds a lock on the database', 'locked')
  }

  /** `PRAGMA data_version` changes on this connection only with other connections' commits. */
  #noticeOthers(): void {
    const version = this.#askDataVersion.get() as number
    if (version === this.#dataVersion) return
    if (this.#dataVersion !== -1) this.#othersAt = performance.now()
    if (this.#dataVersion !== -1) this.#othersTurn.noteOthers(this.#othersAt)
    this.#dataVersion = version
    this.#othersWrote = true
    this.#calls.lookForReady = true
    this.#maintenance?.lookForDue()
  }

  #setTrouble(trouble: string | null, cause?: 'full' | 'locked'): void {
    if (trouble === this.#trouble) return
    this.#trouble = trouble
    this.#calls.notify({ type: 'health', error: trouble, cause })
  }

  /** Sends the loop what the last commit settled, once the files were checked and the mark was written. */
  #flush(): void {
    const hasCommitted = this.#isUnchecked
    if (this.#isUnchecked) this.#guard.checkCommit()
    this.#isUnchecked = false
    if (this.#isMarkBehind) this.#mark.advance(this.#writer.lastEventId, this.#writer.lastJobId)
    this.#isMarkBehind = false
    const reply = this.#calls.takeReply()
    if (reply) this.#requestPort.reply(reply)
    if (hasCommitted && !this.#broken) this.#checkpoints.afterCommit()
  }

  /** Nothing more is answered: it is unknown whether the last commit reached the disk, and a restart will show it. */
  #stop(error: unknown): void {
    this.#ended = true
    this.#watch?.rest()
    // Counted before sending: the loop may receive it, and beat for the last time, before the next statement here.
    const beats = this.#watchdog?.beats
    this.#requestPort.reply({ ...quiet, fatal: this.#describe(error) } satisfies Reply)
    this.#closeWhenHeard(beats)
  }

  /** A loop that a handler blocks does not receive it, and must still be ended. */
  #closeWhenHeard(beats: number | undefined): void {
    if (!this.#watchdog || this.#watchdog.beats !== beats) {
      this.#requestPort.close()
      return
    }
    this.#lookAtLoop()
    this.#timer = setTimeout(() => this.#closeWhenHeard(beats), tickMs)
  }

  #describe(error: unknown): NonNullable<Reply['fatal']> {
    if (error instanceof DatabaseLostError) return { message: `${error.message}${this.#saveLog()}`, lost: true }
    return { message: error instanceof Error ? (error.stack ?? error.message) : String(error), lost: false }
  }

  /** A log without a name is lost with this process, so its content is moved into the database, if that is certain to be right. */
  #saveLog(): string {
    if (!this.#guard.canSaveLog) return ''
    const giveUpAt = performance.now() + saveLogMs
    do {
      const [{ busy, log, checkpointed }] = this.#db.pragma('wal_checkpoint(PASSIVE)') as [Record<string, number>]
      if (busy === 0 && log === checkpointed) this.#mark.keep()
      if (busy === 0 && log === checkpointed) return '. All acknowledged jobs are in the database'
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, busyWaitMs.soon)
    } while (performance.now() < giveUpAt)
    return ''
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
