import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { completeSettings } from '../../src/config.ts'
import type { JobSystem, SystemLog } from '../../src/engine/job-system.ts'
import { createSystem } from '../../src/engine/system.ts'
import {
  BackpressureError,
  IdempotencyConflictError,
  OutcomeUnknownError,
  StorageFullError,
  UnavailableError,
} from '../../src/errors.ts'
import { Registry } from '../../src/handlers/registry.ts'
import { RetentionRules } from '../../src/job/retention.ts'
import { openKept } from '../../src/persistence/sqlite/file/kept.ts'
import type { MonotonicClock } from '../../src/runtime/clock.ts'
import type { Ordeal } from '../torture/ordeal.ts'
import { Random } from '../torture/random.ts'
import { type InProcessStore, openInProcess } from './in-process-store.ts'
import { Pulse } from './pulse.ts'
import { type Fault, makeUnreliable, type WriteStep } from './unreliable-file.ts'
import { VirtualTime } from './virtual-time.ts'
import { Witness } from './witness.ts'
import { createHandlers, someJob } from './workload.ts'

const startAt = Date.UTC(2030, 0, 1)
const dayMs = 86_400_000
/** How long things fail, and how long everything may take to finish afterwards, in ms of the simulation. */
const chaosMs = 12_000
const calmMs = 120_000
/** How much longer than its grace a stop may take: aborted handlers, the last commit, closing. */
const stopSlackMs = 5_000
/** How late a tick may be when everything has finished. */
const behindMs = 3_000

/** What fails, or simply happens, and how often. */
const chaosWeights = {
  enqueue: 50,
  command: 14,
  ask: 4,
  crash: 1.5,
  crashInside: 2,
  failedFlush: 0.5,
  stop: 1.2,
  lock: 2,
  full: 2,
  clock: 2,
  sleep: 1,
}

/** The result of one seed. */
export interface Outcome {
  readonly seed: number
  readonly violations: readonly string[]
  /** Events of the simulation that ran. */
  readonly steps: number
  readonly crashes: number
  readonly handlerCalls: number
  readonly acknowledged: number
  /** How often each edge was taken: `from event to`. */
  readonly edges: ReadonlyMap<string, number>
  /** What happened, one line each. */
  readonly trace: readonly string[]
}

/**
 * The whole engine in one process, under a seed: system, dispatcher, workers, handlers, store and file are the real ones; the clock, the
 * order of events, what handlers do, the disk's faults and the crashes come from the seed. First things fail and nothing may break; then
 * nothing fails any more and everything must finish.
 */
export async function simulate(seed: number, parentFolder: string): Promise<Outcome> {
  const folder = mkdtempSync(join(parentFolder, `seed-${seed}-`))
  const simulation = new Simulation(seed, join(folder, 'jobs.db'))
  try {
    return await simulation.run()
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Runs one seed after another. */
export const simulations: Ordeal = async ({ seed, folder, isOver, tally }) => {
  for (let next = seed; !isOver(); next++) {
    const { violations, steps, edges } = await simulate(next, folder)
    tally.seeds++
    tally.steps += steps
    for (const [edge, times] of edges) tally.edges.set(edge, (tally.edges.get(edge) ?? 0) + times)
    for (const violation of violations) {
      tally.violations.push(`npm run test:torture -- --seed ${next}: ${violation}`)
    }
  }
}

/** A process of the simulation, from its start to its end. */
interface Life {
  readonly store: { current: InProcessStore | undefined }
  readonly workers: number
  system: JobSystem | undefined
  serving: boolean
  stopping: boolean
  /** Its disk has failed: it commits nothing more. */
  failed: boolean
}

class Simulation {
  readonly #seed: number
  readonly #path: string
  readonly #random: Random
  readonly #time: VirtualTime
  readonly #pulse: Pulse
  readonly #witness: Witness
  readonly #trace: string[] = []
  readonly #clock: MonotonicClock = {
    now: () => startAt + Math.floor(this.#time.now) + this.#clockOffset,
    monotonic: () => this.#time.now,
  }
  #clockOffset = 0
  #furthestOffset = 0
  #life: Life | undefined
  #calm = false
  #crashes = 0
  #acknowledged = 0
  /** Until when another process holds the file, and until when the disk is full. */
  #lockedUntil = 0
  #fullUntil = 0
  #asleepUntil = 0
  /** What happens at the next such step of a transaction. */
  #armed: { readonly step: WriteStep; readonly fault: Fault; after: number } | null = null

  constructor(seed: number, path: string) {
    this.#seed = seed
    this.#path = path
    this.#random = new Random(seed)
    this.#time = new VirtualTime(this.#random)
    this.#pulse = new Pulse(seed, startAt)
    this.#witness = new Witness(path, this.#pulse)
  }

  async run(): Promise<Outcome> {
    const restore = this.#time.install()
    try {
      this.#boot()
      this.#scheduleChaos()
      await this.#time.runUntil(() => this.#time.now >= chaosMs, chaosMs + 1)
      this.#calmDown()
      const finished = await this.#time.runUntil(() => this.#isFinished(), calmMs)
      if (!finished) this.#violation(`after ${calmMs} ms without faults there are still ${this.#unfinished()}`)
      this.#kill('the end')
      // Whatever it still begins belongs to this simulation, not to the next one.
      await this.#time.settle()
      this.#witness.check()
      return this.#outcome()
    } finally {
      restore()
    }
  }

  #outcome(): Outcome {
    const db = openKept(this.#path, { readonly: true })
    const edges = db.prepare(`SELECT from_state || ' ' || event || ' ' || to_state, n FROM edge_counts`).raw().all()
    db.close()
    return {
      seed: this.#seed,
      violations: this.#witness.violations,
      steps: this.#time.steps,
      crashes: this.#crashes,
      handlerCalls: this.#witness.calls,
      acknowledged: this.#acknowledged,
      edges: new Map(edges as [string, number][]),
      trace: this.#trace,
    }
  }

  #scheduleChaos(): void {
    const act = () => {
      if (this.#calm) return
      this.#act()
      this.#time.schedule(Math.ceil(-Math.log(1 - this.#random.next()) * 60), 'world', act)
    }
    this.#time.schedule(1, 'world', act)
  }

  #act(): void {
    this.#chaos[this.#random.weighted(chaosWeights)]()
  }

  readonly #chaos: Record<keyof typeof chaosWeights, () => void> = {
    enqueue: () => this.#inProcess((system) => this.#enqueue(system)),
    command: () => this.#inProcess((system) => this.#command(system)),
    ask: () => this.#inProcess((system) => void system.metrics().catch(() => {})),
    crash: () => this.#crash('SIGKILL'),
    crashInside: () =>
      this.#arm(this.#random.pick(['begin', 'statement', 'statement', 'commit', 'committed']), 'crash'),
    failedFlush: () => this.#arm(this.#random.pick(['commit', 'committed']), 'SQLITE_IOERR_FSYNC'),
    stop: () => this.#stop(),
    lock: () => {
      this.#lockedUntil = this.#time.now + this.#random.int(1, 3_000)
      this.#note('another process holds the file', { until: this.#lockedUntil })
    },
    full: () => {
      this.#fullUntil = this.#time.now + this.#random.int(1, 2_000)
      this.#note('the disk is full', { until: this.#fullUntil })
    },
    clock: () => {
      this.#clockOffset += this.#random.pick([-dayMs, -3_600_000, -1_000, 1_000, 3_600_000, dayMs])
      this.#furthestOffset = Math.max(this.#furthestOffset, this.#clockOffset)
      this.#note('the clock jumps', { offset: this.#clockOffset })
    },
    sleep: () => {
      const ms = this.#random.int(1_000, 40_000)
      this.#note('the machine sleeps', { ms })
      this.#time.hold(['loop', 'thread'], ms)
      this.#asleepUntil = this.#time.now + ms
    },
  }

  /** Does something in the process, whose timers end with it. */
  #inProcess(act: (system: JobSystem) => void): void {
    const system = this.#life?.system
    if (system) this.#time.schedule(0, 'loop', () => act(system))
  }

  #arm(step: WriteStep, fault: Fault): void {
    this.#armed = { step, fault, after: this.#random.int(0, 6) }
    this.#note('armed', this.#armed)
  }

  /** What the disk does at a step of a transaction. */
  #meet(step: WriteStep): Fault {
    const armed = this.#armed
    if (armed?.step === step && armed.after-- === 0) {
      this.#armed = null
      this.#note('meets', { step, fault: armed.fault })
      if (this.#life) this.#life.failed = true
      if (armed.fault === 'crash') this.#time.schedule(0, 'world', () => this.#crash(`inside, at ${step}`))
      return armed.fault
    }
    if (step === 'begin' && this.#time.now < this.#lockedUntil) return 'SQLITE_BUSY'
    if (step === 'statement' && this.#time.now < this.#fullUntil && this.#random.chance(0.7)) return 'SQLITE_FULL'
    return null
  }

  #boot(): void {
    const workers = this.#random.pick([1, 2, 3, 10])
    const life: Life = {
      store: { current: undefined },
      workers,
      system: undefined,
      serving: false,
      stopping: false,
      failed: false,
    }
    this.#life = life
    this.#note('boot', { workers })
    this.#time.schedule(0, 'loop', () => this.#open(life))
  }

  #open(life: Life): void {
    const { workers } = life
    const settings = completeSettings({
      workers,
      leaseMs: this.#random.pick([200, 1_000, 30_000]),
      jobTimeoutMs: this.#random.int(500, 3_000),
      retryBaseMs: 50,
      retryMaxMs: 2_000,
      retentionMs: this.#random.pick([0, 0, 3_000]),
      maxQueueDepth: this.#random.pick([20, 1_000_000]),
      shutdownGraceMs: 1_000,
    })
    const system = createSystem({
      keepLogs: true,
      retention: new RetentionRules(0),
      settings,
      registry: new Registry(
        createHandlers({
          random: this.#random,
          time: this.#time,
          witness: this.#witness,
          workers: () => workers,
          isCalm: () => this.#calm,
        }),
      ),
      clock: this.#clock,
      random: this.#random.next,
      newId: () => 'none is made',
      log: this.#log(),
      schedules: [this.#pulse.schedule],
      onFatal: (error) => this.#exit(life, error),
      onStopped: () => {},
      file: this.#path,
      openStore: (notify, longestTimeoutMs) => {
        life.store.current = openInProcess(
          {
            ...settings,
            path: this.#path,
            types: ['quick', 'slow', 'flaky', 'hopeless', 'later', 'snoozer', 'polite', 'stuck', 'blocker'],
            owner: { pid: 1, host: 'simulation', startedAt: new Date(this.#clock.now()).toISOString() },
            newDatabaseId: 'simulation',
            clock: this.#clock,
            notify,
            longestTimeoutMs,
          },
          {
            time: this.#time,
            clock: this.#clock,
            delayMs: () => this.#random.int(0, 4),
            prepareFile: (db) => {
              this.#witness.processBegan()
              makeUnreliable(db, (step) => this.#meet(step))
            },
            endProcess: () => this.#violation('the watchdog ends a process whose loop turns'),
          },
        )
        return life.store.current.store
      },
    })
    system
      .then(async (opened) => {
        life.system = opened
        await opened.start()
        life.serving = true
        this.#note('serving', {})
      })
      .catch((error) => this.#exit(life, error))
  }

  /** The process says that it cannot continue, and ends. */
  #exit(life: Life, error: Error): void {
    if (life !== this.#life || life.stopping) return
    this.#note('the process gives up', { error: error.message })
    if (
      !/store cannot continue|has a handler that was aborted|cannot be opened|the system is (failed|draining)/.test(
        error.message,
      )
    ) {
      this.#violation(`the process gave up: ${error.stack}`)
    }
    this.#time.schedule(0, 'world', () => life === this.#life && this.#crash('exit'))
  }

  #crash(how: string): void {
    if (!this.#life) return
    this.#kill(how)
    this.#time.schedule(this.#random.int(1, 300), 'world', () => this.#life ?? this.#boot())
  }

  #kill(how: string): void {
    this.#note('ends', { how })
    this.#crashes++
    this.#armed = null
    this.#time.dropProcess()
    this.#life?.store.current?.kill()
    this.#life = undefined
    this.#witness.processEnded()
  }

  #stop(): void {
    const life = this.#life
    if (!life?.system || !life.serving || life.stopping) return
    const graceMs = this.#random.pick([0, 200, 2_000])
    const began = this.#time.now
    life.stopping = true
    this.#note('stop', { graceMs })
    let stopped = false
    this.#inProcess((system) =>
      system.stop({ graceMs }).then(
        () => {
          stopped = true
          this.#note('stopped', {})
          const left = this.#lookInFile(`SELECT count(*) FROM jobs WHERE lease_token IS NOT NULL`)
          const wasWell = Math.max(this.#lockedUntil, this.#fullUntil, this.#asleepUntil) < began && !life.failed
          if (wasWell && left[0] !== 0) this.#violation(`a stop in good order left ${left[0]} leases`)
          this.#time.schedule(0, 'world', () => life === this.#life && this.#crash('stopped'))
        },
        (error) => this.#violation(`stop rejects: ${error.stack}`),
      ),
    )
    const isUndisturbed = () => this.#time.now - began < graceMs + stopSlackMs + 20
    this.#time.schedule(graceMs + stopSlackMs, 'world', () => {
      if (life !== this.#life || stopped) return
      // If the machine slept or the loop was blocked meanwhile, it gets the same time again.
      if (isUndisturbed()) this.#time.schedule(45_000, 'world', () => this.#assertStopped(life, () => stopped))
    })
  }

  #assertStopped(life: Life, stopped: () => boolean): void {
    if (life !== this.#life || stopped()) return
    this.#violation('a stop did not end')
    this.#crash('a stop that did not end')
  }

  #enqueue(system: JobSystem): void {
    const around = {
      random: this.#random,
      time: this.#time,
      witness: this.#witness,
      workers: () => 0,
      isCalm: () => this.#calm,
    }
    const jobs = Array.from({ length: this.#random.chance(0.7) ? 1 : this.#random.int(2, 20) }, () => someJob(around))
    const marks = jobs.map(({ payload }) => payload.mark)
    system.enqueue(jobs).then(
      (enqueued) => {
        for (const [index, { id, created }] of enqueued.entries()) {
          // A second request with a key never has the same content here, because its mark differs.
          if (!created) this.#violation(`mark ${marks[index]} was answered with an earlier job`)
          this.#acknowledged++
          this.#witness.acknowledged(marks[index]!, id)
        }
      },
      (error) => {
        // The disk failed: its caller learns no more than after a crash.
        if (error instanceof OutcomeUnknownError) return
        if (!isExpected(error)) this.#violation(`enqueue rejects: ${error.stack}`)
        for (const mark of marks) this.#witness.refused(mark)
      },
    )
  }

  #command(system: JobSystem): void {
    // Usually one of the newest, which is likely to be in use.
    const newest = Math.max(1, this.#acknowledged)
    const id = this.#random.chance(0.8) ? Math.max(1, newest - this.#random.int(0, 15)) : this.#random.int(1, newest)
    const name = this.#random.pick(['cancel', 'requeue'] as const)
    system[name](id).then(
      (job) => {
        this.#note(name, { id, state: job.state })
        if (name === 'cancel') this.#expectAborted(id)
        if (name === 'cancel' && this.#random.chance(0.5)) system.requeue(id).catch(() => {})
      },
      (error) => {
        if (!isExpected(error) && !/unknown|not_found|illegal/.test(`${error.code}`)) {
          this.#violation(`${name} rejects: ${error.code} ${error.stack}`)
        }
      },
    )
  }

  /** A handler whose job was cancelled is told so as soon as its loop turns. */
  #expectAborted(id: number): void {
    const life = this.#life
    const calls = this.#witness.callsOf(id)
    this.#time.schedule(100, 'world', () =>
      this.#time.schedule(100, 'loop', () => {
        for (const call of calls) {
          if (life === this.#life && this.#witness.isRunning(call) && !call.isAborted())
            this.#violation(`job ${id} was cancelled, and its handler was not told`)
        }
      }),
    )
  }

  /** From now on nothing fails. */
  #calmDown(): void {
    this.#note('calm', {})
    this.#calm = true
    this.#armed = null
    this.#lockedUntil = 0
    this.#fullUntil = 0
    // Each simulation misses ticks at least once.
    this.#clockOffset = this.#furthestOffset + 3_600_000
    if (!this.#life) this.#boot()
  }

  #isFinished(): boolean {
    return this.#life?.serving === true && !this.#life.stopping && this.#unfinished() === ''
  }

  /** Jobs that have not ended, by state; read from the file now and then. */
  #unfinished(): string {
    if (this.#time.now < this.#lookAt) return this.#lastSeen
    if (!existsSync(this.#path)) return 'no file'
    this.#lookAt = this.#time.now + 200
    const open = `SELECT state || ' ' || group_concat(id) FROM jobs WHERE finished_at IS NULL GROUP BY state
      UNION ALL SELECT 'the schedule behind since ' || next_tick FROM schedules
        WHERE next_tick < ${this.#clock.now() - behindMs} OR state <> 'active'`
    this.#lastSeen = this.#lookInFile(open).join(', ')
    return this.#lastSeen
  }

  #lookInFile(sql: string): unknown[] {
    const db = openKept(this.#path, { readonly: true })
    const found = db.prepare(sql).pluck().all()
    db.close()
    return found
  }
  #lookAt = 0
  #lastSeen = 'jobs'

  #log(): SystemLog {
    const at = (level: string) => (fields: object, message: string) => this.#note(`${level}: ${message}`, fields)
    const log: SystemLog = { debug() {}, info: at('info'), warn: at('warn'), error: at('error'), child: () => log }
    return log
  }

  #note(what: string, more: object): void {
    this.#trace.push(`${this.#time.now} ${what} ${JSON.stringify(more)}`)
  }

  #violation(what: string): void {
    this.#note('VIOLATION', { what })
    this.#witness.violations.push(what)
  }
}

function isExpected(error: Error): boolean {
  return [UnavailableError, StorageFullError, BackpressureError, IdempotencyConflictError].some(
    (kind) => error instanceof kind,
  )
}
