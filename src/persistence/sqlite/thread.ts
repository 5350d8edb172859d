import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import type Database from 'better-sqlite3'
import { type Clock, ManualClock, systemClock } from '../../clock.ts'
import { DatabaseUnusableError } from '../../errors.ts'
import { guardFile, isBusy, isDamage, isFull, openForWriting } from './connection.ts'
import { commitTogether, type Part } from './group-commit.ts'
import { HeldLeases } from './held-leases.ts'
import { Housekeeping, part } from './housekeeping.ts'
import type { Answers, Ask, Operation, Refusal, Request, Tell, ThreadOptions } from './protocol.ts'
import { beatMs, killBlockedProcess, Watchdog } from './watchdog.ts'
import { Writer } from './writer.ts'

/** How often the file is looked at for other processes' writes, and the loop for its beat; the only poll there is. */
const tickMs = beatMs
/** Waits between tries while another process holds the file: as long as it has waited so far, within these. */
const busyWaitMs = { least: 1, most: 50 }
/** How long a call may wait for such a process before it is refused. */
const busyPatienceMs = 2_000
/** How long opening may wait for one. */
const openPatienceMs = 5_000
/** Between tries of outcomes that found the disk full. */
const fullWaitMs = 500
/** Jobs stored by one commit, where they come from more than one call. */
const commitJobsMax = 10_000

interface Call<Op extends Operation = Operation> {
  readonly id: number
  /** Monotonic. */
  readonly since: number
  readonly request: Request & { readonly op: Op }
}

/**
 * The store's thread: owns the one connection that writes. While a commit is on its way to disk calls pile up; the next transaction takes
 * them all. It sleeps until it is asked something or its housekeeping has something to do.
 */
class StoreThread {
  readonly #port: MessagePort
  readonly #clock: Clock
  readonly #db: Database.Database
  readonly #assertSameFile: () => void
  readonly #askDataVersion: Database.Statement
  readonly #writer: Writer
  readonly #held = new HeldLeases()
  readonly #housekeeping: Housekeeping | null
  readonly #watchdog: Watchdog | null
  #calls: Call[] = []
  #waitingLeases: Call<'lease'>[] = []
  /** There may be jobs for those who wait. */
  #lookForReady = false
  #leasing = true
  #sweepAsked = false
  #dataVersion = -1
  #tell: { settled: [number, Answers[Operation]][]; refused: [number, Refusal][]; notices: Tell['notices'][number][] }
  #timer: NodeJS.Timeout | undefined
  /** Monotonic: since when another process has held the file, and when to try again. */
  #busySince: number | null = null
  #retryAt = 0
  #trouble: string | null = null
  /** The file must not be written again: it is damaged, or no longer where it was. */
  #broken = false

  constructor(port: MessagePort, options: ThreadOptions) {
    this.#port = port
    this.#clock = options.clock ? new ManualClock(0, options.clock) : systemClock
    this.#db = openPatiently(options, this.#clock)
    this.#assertSameFile = guardFile(options.path)
    this.#askDataVersion = this.#db.prepare('PRAGMA data_version').pluck()
    this.#writer = new Writer(this.#db, options.writer)
    this.#tell = { settled: [], refused: [], notices: [] }
    const { leaseMs } = options.writer
    this.#housekeeping = options.server
      ? new Housekeeping(this.#writer, this.#held, leaseMs, (notice) => this.#tell.notices.push(notice))
      : null
    this.#watchdog = options.pulse && new Watchdog(options.pulse)
    if (options.server) this.#setMeta('owner', JSON.stringify(options.server.owner))
    const databaseId = this.#db.prepare(`SELECT value FROM meta WHERE name = 'database_id'`).pluck().get() as string
    port.on('message', (ask: Ask) => {
      this.#accept(ask)
      this.#work()
    })
    this.#send({ opened: { databaseId } })
    this.#work()
  }

  #setMeta(name: string, value: string): void {
    const sql = 'INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value'
    this.#db.prepare(sql).run(name, value)
  }

  #accept(ask: Ask): void {
    const since = performance.now()
    for (const [id, request] of ask) this.#calls.push({ id, since, request })
  }

  /** Commits until nothing is left to do now, then sleeps until there is. */
  #work(): void {
    clearTimeout(this.#timer)
    try {
      while (this.#step()) this.#flush()
    } catch (error) {
      this.#stop(error)
      return
    }
    this.#flush()
    if (this.#db.open) this.#timer = setTimeout(() => this.#tick(), this.#sleepMs())
    else this.#port.close()
  }

  #tick(): void {
    const stillMs = this.#watchdog?.look(performance.now()) ?? null
    if (stillMs !== null) killBlockedProcess(stillMs, this.#held.runningIds())
    this.#work()
  }

  #sleepMs(): number {
    if (this.#retryAt > 0) return Math.max(1, Math.min(tickMs, this.#retryAt - performance.now()))
    const dueAt = this.#housekeeping?.nextDueAt ?? null
    return dueAt === null ? tickMs : Math.max(1, Math.min(tickMs, dueAt - this.#clock.now()))
  }

  /** One transaction with all that waits; false where there is nothing to do now. */
  #step(): boolean {
    // What came in while the last commit was on its way to disk.
    for (let more = receiveMessageOnPort(this.#port); more; more = receiveMessageOnPort(this.#port))
      this.#accept(more.message)
    const held = this.#broken || performance.now() < this.#retryAt
    if (this.#calls.length > 0 && this.#closes(held)) return false
    if (this.#broken) this.#refuseCalls()
    if (held) return false
    this.#noticeOthers()
    const now = this.#clock.now()
    const parts = [...this.#takeCalls(), ...this.#takeHousekeeping(now)]
    if (this.#waitingLeases.length > 0 && (parts.length > 0 || this.#lookForReady)) parts.push(this.#leasePart())
    if (parts.length > 0) this.#commit(parts, now)
    return parts.length > 0 || this.#calls.length > 0
  }

  #commit(parts: readonly Part[], now: number): void {
    const retryAt = this.#retryAt
    try {
      commitTogether(this.#db, this.#writer, parts, now, this.#assertSameFile)
    } catch (error) {
      if (isBusy(error)) this.#waitForOthers()
      else if (isDamage(error) || error instanceof DatabaseUnusableError) {
        this.#broken = true
        this.#setTrouble(error instanceof Error ? error.message : String(error))
      } else throw error
      for (const each of parts) each.failed(error)
      return
    }
    this.#busySince = null
    if (this.#retryAt !== retryAt) return
    this.#retryAt = 0
    this.#setTrouble(null)
  }

  #waitForOthers(): void {
    const now = performance.now()
    this.#busySince ??= now
    const waited = now - this.#busySince
    this.#retryAt = now + Math.min(Math.max(waited, busyWaitMs.least), busyWaitMs.most)
    if (waited > busyPatienceMs) this.#setTrouble('another process holds a lock on the database')
  }

  /** `PRAGMA data_version` changes on this connection only with other connections' commits. */
  #noticeOthers(): void {
    const version = this.#askDataVersion.get() as number
    if (version === this.#dataVersion) return
    this.#dataVersion = version
    this.#lookForReady = true
    this.#housekeeping?.lookForDue()
  }

  #takeHousekeeping(now: number): Part[] {
    const asked = this.#sweepAsked
    this.#sweepAsked = false
    return this.#housekeeping?.parts(now, asked) ?? []
  }

  /** One `apply` at a time: while the next waits, the loop already runs what this one started. */
  #takeCalls(): Part[] {
    const calls = this.#calls
    this.#calls = []
    const enqueues: Call<'enqueue'>[] = []
    const parts: Part[] = []
    let jobs = 0
    let applying = false
    for (const call of calls) {
      const { request } = call
      if (is(call, 'enqueue')) {
        jobs += call.request.jobs.length
        if (enqueues.length > 0 && jobs > commitJobsMax) this.#calls.push(call)
        else enqueues.push(call)
      } else if (request.op === 'close' || (applying && request.op === 'apply')) this.#calls.push(call)
      else parts.push(...this.#partsOf(call))
      applying ||= request.op === 'apply'
    }
    if (enqueues.length > 0) parts.push(this.#enqueuePart(enqueues))
    return parts
  }

  /** What a call wants committed; nothing where it is settled without. */
  #partsOf(call: Call): Part[] {
    const { request } = call
    switch (request.op) {
      case 'apply':
        return this.#callPart(
          call,
          (now) => this.#writer.apply(request.events, now),
          (refused) => {
            this.#held.follow(request.events, refused)
            this.#housekeeping?.lookForDue()
          },
        )
      case 'cancel':
        return this.#callPart(
          call,
          (now) => this.#writer.cancel(request.id, now),
          () => this.#takeAway(request.id),
        )
      case 'requeue':
        return this.#callPart(call, (now) => this.#writer.requeue(request.id, now))
      case 'recover':
        return this.#callPart(
          call,
          (now) => this.#writer.recoverOrphans(request.after, request.rank, now),
          () => this.#housekeeping?.lookForDue(),
        )
      case 'sweep':
        this.#sweepAsked = true
        return this.#callPart(call, () => null)
      case 'abandon':
        this.#held.drop(request.leases)
        this.#settle(call, null)
        return []
      case 'stopLeasing':
        this.#leasing = false
        for (const waiting of this.#waitingLeases.splice(0)) this.#settle(waiting, [])
        this.#settle(call, null)
        return []
      case 'lease':
        if (this.#leasing) this.#waitingLeases.push(call as Call<'lease'>)
        else this.#settle(call, [])
        this.#lookForReady = true
        return []
      default:
        throw new Error(`the store's thread knows no ${request.op}`)
    }
  }

  #callPart(call: Call, run: (now: number) => Answers[Operation], then?: (answer: never) => void): Part[] {
    return [
      {
        run,
        done: (answer: Answers[Operation]) => {
          then?.(answer as never)
          this.#settle(call, answer)
        },
        failed: (error) => this.#callFailed(call, error),
      },
    ]
  }

  #enqueuePart(calls: readonly Call<'enqueue'>[]): Part {
    return {
      run: (now) =>
        this.#writer.enqueue(
          calls.map(({ request }) => request.jobs),
          now,
        ),
      split: () => calls.map((call) => this.#enqueuePart([call])),
      done: (results: Answers['enqueue'][]) => {
        for (const [index, call] of calls.entries()) this.#settle(call, results[index]!)
        this.#housekeeping?.lookForDue()
      },
      failed: (error) => {
        for (const call of calls) this.#callFailed(call, error)
      },
    }
  }

  /** One lease for all who wait, run last, so that it sees what the same transaction has stored. */
  #leasePart(): Part {
    const room = this.#waitingLeases.reduce((sum, { request }) => sum + request.room, 0)
    return part(
      (now) => this.#writer.lease(room, now),
      ({ jobs, unhandled, more }) => {
        this.#lookForReady = more
        this.#held.add(jobs)
        if (unhandled.size > 0) {
          const count = [...unhandled.values()].reduce((sum, n) => sum + n, 0)
          this.#tell.notices.push({ type: 'unhandled', types: [...unhandled.keys()], count })
        }
        let next = 0
        this.#waitingLeases = this.#waitingLeases.filter((call) => {
          const share = jobs.slice(next, next + call.request.room)
          next += share.length
          if (share.length === 0 && call.request.wait) return true
          this.#settle(call, share)
          return false
        })
      },
    )
  }

  #takeAway(id: number): void {
    const lease = this.#held.of(id)
    if (!lease) return
    this.#held.drop([lease])
    this.#tell.notices.push({ type: 'lost', leases: [{ ...lease, cancelled: true }] })
  }

  /** Outcomes and housekeeping are tried until they are stored; what its caller can ask again is refused once patience is spent. */
  #callFailed(call: Call, error: unknown): void {
    const { op } = call.request
    const mustBeStored = op === 'apply' || op === 'recover' || op === 'sweep'
    if (this.#broken) this.#calls.push(call)
    else if (isBusy(error)) {
      if (mustBeStored || performance.now() - call.since < busyPatienceMs) this.#calls.push(call)
      else this.#refuse(call, 'unavailable', 'another process has held a lock on the database for too long')
    } else if (isFull(error)) {
      this.#setTrouble('the disk that holds the database is full')
      this.#retryAt = performance.now() + fullWaitMs
      if (mustBeStored) this.#calls.push(call)
      else this.#refuse(call, 'full', 'the disk that holds the database is full')
    } else
      this.#refuse(call, 'broken invariant', error instanceof Error ? (error.stack ?? error.message) : String(error))
  }

  /** Nothing can be stored any more: callers are told; outcomes wait for the restart, which recovers their jobs. */
  #refuseCalls(): void {
    const calls = this.#calls
    this.#calls = []
    for (const call of calls) {
      const { op } = call.request
      if (op === 'enqueue' || op === 'cancel' || op === 'requeue')
        this.#refuse(call, 'unavailable', this.#trouble ?? 'the storage is broken')
      else if (op === 'abandon' || op === 'stopLeasing') this.#partsOf(call)
    }
  }

  #settle(call: Call, answer: Answers[Operation]): void {
    this.#tell.settled.push([call.id, answer])
  }

  #refuse(call: Call, kind: Refusal['kind'], message: string): void {
    this.#tell.refused.push([call.id, { kind, message }])
  }

  #setTrouble(trouble: string | null): void {
    if (trouble === this.#trouble) return
    this.#trouble = trouble
    this.#tell.notices.push({ type: 'health', error: trouble })
  }

  /** Closes where that was asked and nothing can come before it: all else is stored, or (`held`) cannot be stored now. */
  #closes(held: boolean): boolean {
    const close = this.#calls.find(({ request }) => request.op === 'close')
    if (!close || (!held && this.#calls[0] !== close)) return false
    this.#db.close()
    this.#settle(close, null)
    return true
  }

  /** Nothing more is answered: whether the last commit reached the disk is not known, and a restart will tell. */
  #stop(error: unknown): void {
    this.#tell = { settled: [], refused: [], notices: [] }
    this.#send({ fatal: error instanceof Error ? (error.stack ?? error.message) : String(error) })
    this.#port.close()
  }

  #flush(): void {
    const { settled, refused, notices } = this.#tell
    if (settled.length + refused.length + notices.length > 0) this.#send({})
  }

  #send(more: Partial<Tell>): void {
    this.#port.postMessage({ ...this.#tell, ...more } satisfies Tell)
    this.#tell = { settled: [], refused: [], notices: [] }
  }
}

function is<Op extends Operation>(call: Call, op: Op): call is Call<Op> {
  return call.request.op === op
}

/** Opening may meet a process that migrates, recovers or checkpoints. This thread has nothing else to do meanwhile. */
function openPatiently({ path, newDatabaseId }: ThreadOptions, clock: Clock): Database.Database {
  const giveUpAt = performance.now() + openPatienceMs
  for (;;) {
    try {
      return openForWriting(path, () => newDatabaseId, clock.now())
    } catch (error) {
      if (!isBusy(error) || performance.now() > giveUpAt) throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, busyWaitMs.most)
    }
  }
}

if (parentPort) {
  try {
    new StoreThread(parentPort, workerData as ThreadOptions)
  } catch (error) {
    const unopened = {
      message: error instanceof Error ? error.message : String(error),
      unusable: error instanceof DatabaseUnusableError,
    }
    parentPort.postMessage({ settled: [], refused: [], notices: [], unopened } satisfies Tell)
    parentPort.close()
  }
}
