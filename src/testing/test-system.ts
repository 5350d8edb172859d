import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Job, JobFilter, JobSystem, NewJob } from '../engine/job-system.ts'
import type { JobSystemOptions } from '../engine/options.ts'
import type { AnyHandler } from '../handlers/define.ts'
import { ConfigError, createJobSystem } from '../index.ts'
import { hasTag, statesWithTag } from '../machines/edges.ts'
import type { JobTag } from '../machines/job.ts'
import { storeThreads } from '../persistence/sqlite/thread/store-threads.ts'
import { timers } from '../runtime/timers.ts'
import { Interruptions, type Step } from './interruptions.ts'
import { durationMs, TestClock } from './test-clock.ts'

/** What a test system has of its own. */
const ownOptions = ['database', 'postgres', 'clock', 'onFatal'] as const
type OwnOption = (typeof ownOptions)[number]

export interface TestSystemOptions<Handlers extends readonly AnyHandler[] = readonly AnyHandler[]>
  extends Omit<JobSystemOptions<Handlers>, OwnOption | 'handlers'> {
  readonly handlers: Handlers
  /** The clock's first time: epoch ms or a Date; 1 January 2030, 00:00 UTC by default. */
  readonly startAt?: number | Date
}

/**
 * Where a process ends: before the handler of the next attempt is called, when it has ended but nothing is stored, or when that is stored.
 */
export type CrashPoint = 'before effect' | 'after effect, before commit' | 'after commit'

/** How long handlers may run in real time while a test waits for them, in ms. */
const patienceMs = 10_000
/** A handler that runs for longer than this in real time, in ms, is waiting for the clock, so the clock moves on. */
const hangsMs = 500
/** How often the clock may be moved to the next instant while a test waits for a job. */
const movesMax = 10_000

/**
 * Opens a started system on a temporary file, with a clock that stands still until the test moves it. Handlers are called only while the
 * test waits in `drain`, `advance`, `waitFor` or `crash`. The store, its thread and its commits are those of production. Rejects as
 * `createJobSystem` does. `stop()` removes the file; `await using` calls it.
 */
export async function createTestSystem<const Handlers extends readonly AnyHandler[]>(
  options: TestSystemOptions<Handlers>,
): Promise<TestSystem<Handlers>> {
  assertOptions(options)
  const system = new TestSystem(options)
  try {
    await system.start()
  } catch (error) {
    system.removeFolder()
    throw error
  }
  return system
}

/** The others are checked by `createJobSystem`. */
function assertOptions(options: object): void {
  if (typeof options !== 'object' || options === null)
    throw new ConfigError([`createTestSystem needs an object of options with at least handlers, but got ${options}`])
  const { startAt = 0 } = options as { readonly startAt?: unknown }
  const problems = ownOptions
    .filter((name) => name in options)
    .map((name) => `${name} is not an option of createTestSystem, which has its own`)
  if (!Number.isFinite(Number(startAt))) problems.push(`startAt is ${startAt}; it must be epoch ms or a Date`)
  if (problems.length > 0) throw new ConfigError(problems)
}

/** Made by `createTestSystem`. */
export class TestSystem<Handlers extends readonly AnyHandler[] = readonly AnyHandler[]> implements AsyncDisposable {
  /** Its time is also that of the jobs. */
  readonly clock: TestClock
  readonly #folder = mkdtempSync(join(tmpdir(), 'jobmachine-test-'))
  readonly #options: Omit<TestSystemOptions<Handlers>, 'startAt'>
  readonly #interruptions: Interruptions
  /** The job that the step `enqueue again` enqueues. */
  #again: NewJob | undefined
  #system!: JobSystem
  #thread!: ReturnType<typeof storeThreads.start> & { terminate?(): Promise<unknown> }
  /** Jobs whose attempts are known to wait for the clock. */
  readonly #hanging = new Set<number>()
  /** Set while the process is ended and started again. */
  #restarting: Promise<void> | undefined
  /** The error that made the system fail; a test that continued would test nothing. */
  #failure: Error | undefined

  constructor({ startAt = Date.UTC(2030, 0, 1), ...options }: TestSystemOptions<Handlers>) {
    this.clock = new TestClock(Number(startAt))
    this.#options = options
    this.#interruptions = new Interruptions({
      crash: () => void this.#restart(),
      cancel: (jobId) => this.#system.cancel(jobId),
      hangs: (jobId) => void this.#hanging.add(jobId),
      enqueueAgain: () => this.#system.enqueue(this.#again!),
    })
  }

  /** The system itself; a new one after each crash. */
  get system(): JobSystem<Handlers> {
    return this.#system as JobSystem<Handlers>
  }

  /** Called by `createTestSystem`. */
  async start(): Promise<void> {
    const { handlers } = this.#options
    const startThread = storeThreads.start
    // The thread is started before this call returns its promise.
    storeThreads.start = (data) => {
      this.#thread = startThread(data)
      return this.#thread
    }
    const opening = createJobSystem<readonly AnyHandler[]>({
      random: () => 0.5,
      ...this.#options,
      // `createJobSystem` reports an invalid list in its own words.
      handlers: Array.isArray(handlers) ? handlers.map((each) => this.#interruptions.around(each)) : handlers,
      database: join(this.#folder, 'jobs.db'),
      clock: this.clock,
      onFatal: (error) => {
        if (!this.#restarting) this.#failure = error
      },
    })
    storeThreads.start = startThread
    this.#system = await opening
    await this.#system.start()
  }

  /** Like the system's `enqueue`: resolves when the job is on disk. */
  readonly enqueue: JobSystem<Handlers>['enqueue'] = async (...given: unknown[]) => {
    await this.#restarting
    return this.#system.enqueue(...(given as [NewJob])) as never
  }

  /** All jobs, oldest first, or those of one type. */
  async enqueued(type?: string): Promise<readonly Job[]> {
    return (await this.#list(type === undefined ? {} : { type })).reverse()
  }

  /**
   * Runs the jobs that may run now, and those that they enqueue, until none is left. The clock stands still, so retries and delayed jobs
   * wait. Throws if handlers are still running after 10 s of real time.
   */
  async drain(): Promise<void> {
    this.#hanging.clear()
    if (await this.#settle(patienceMs)) return
    const running = this.#system.activity().workers.map(({ jobId, type }) => `job ${jobId} (${type}) runs`)
    throw new Error(`jobs are not done after ${patienceMs} ms: ${running.join(', ') || 'they wait for a worker'}`)
  }

  /**
   * Lets time pass: a number of ms, or text such as `2h`. The clock stops at each instant at which a job or a timeout is due, and runs that
   * before it continues. A handler that runs for more than 0.5 s of real time is treated as waiting for the clock.
   */
  async advance(duration: number | string): Promise<void> {
    const end = this.clock.now() + durationMs(duration)
    await this.#settle(hangsMs)
    for (let next = await this.#nextAt(); next !== null && next <= end; next = await this.#nextAt()) {
      await this.#moveTo(next)
    }
    await this.#moveTo(end)
  }

  /** Lets time pass until the job has ended, however long that takes, and resolves with it. */
  async waitFor(id: number): Promise<Job> {
    for (let moves = 0; moves < movesMax; moves++) {
      await this.#settle(hangsMs)
      const job = await this.#find(id)
      if (hasTag(job.state, 'ended')) return job
      const next = await this.#nextAt()
      if (next === null) throw new Error(`job ${id} is ${job.state}, and waits for nothing that time brings`)
      await this.#moveTo(next)
    }
    throw new Error(`job ${id} has not ended after ${movesMax} moves of the clock`)
  }

  /**
   * Ends the process without warning, as SIGKILL would, and starts it again on the same file; resolves when it has recovered. With a point,
   * the next attempt first gets that far: time passes until there is one. Handlers of the ended process that were already called are not
   * stopped, because they run in the test's process.
   */
  async crash(point?: CrashPoint): Promise<void> {
    if (point === undefined) return this.#restart()
    const steps = {
      'before effect': 'crash before effect',
      'after effect, before commit': 'crash after effect, before commit',
      'after commit': 'succeed',
    } as const
    const step: Step | undefined = steps[point]
    if (!step)
      throw new TypeError(`a crash point must be one of ${Object.keys(steps).join('; ')}; got ${String(point)}`)
    const isTaken = await this.#untilTaken(step)
    if (!isTaken) throw new Error(`there is no attempt to crash ${point}: no job waits`)
    if (step === 'succeed') await this.#restart()
    await this.#restarting
  }

  /** Enqueues a job, whose attempts then take these steps; resolves when it has ended. For `everyPath`. */
  async follow(job: NewJob, steps: readonly Step[]): Promise<Job> {
    this.#again = job
    this.#interruptions.plan(steps)
    const { id } = await this.#system.enqueue(job)
    return this.waitFor(id)
  }

  /** Aborts running jobs, closes the file and removes it. */
  async stop(): Promise<void> {
    await this.#restarting
    await this.#system.stop({ graceMs: 0 })
    this.clock.forget()
    this.removeFolder()
  }

  /** Called by `stop`. */
  removeFolder(): void {
    rmSync(this.#folder, { recursive: true, force: true })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  /** Whether an attempt took the step; waits for the first attempt. */
  async #untilTaken(step: Step): Promise<boolean> {
    let isTaken = false
    this.#interruptions.plan([step], () => {
      isTaken = true
    })
    try {
      for (let moves = 0; moves < movesMax; moves++) {
        await this.#settle(hangsMs)
        const next = isTaken ? null : await this.#nextAt()
        if (next === null) break
        await this.#moveTo(next)
      }
      return isTaken
    } finally {
      this.#interruptions.plan([])
    }
  }

  #restart(): Promise<void> {
    this.#restarting ??= this.#killAndStart().finally(() => {
      this.#restarting = undefined
    })
    return this.#restarting
  }

  async #killAndStart(): Promise<void> {
    const killed = this.#system
    this.clock.forget()
    this.#interruptions.forget()
    await this.#thread.terminate?.()
    await killed.stop()
    await this.start()
  }

  /** Moves the clock, and resolves when everything that became due is done, or hangs. */
  async #moveTo(at: number): Promise<void> {
    await this.clock.moveTo(at)
    await this.#settle(hangsMs)
  }

  /**
   * Lets attempts begin, and waits until no job is ready or running; false if that takes longer than `ms` of real time. It counts waits and
   * not time, because the test may have faked that.
   */
  async #settle(ms: number): Promise<boolean> {
    this.#interruptions.open()
    try {
      for (let waits = 0; waits <= ms; waits++) {
        await this.#restarting
        if (this.#failure) throw this.#failure
        if (await this.#isIdle()) return true
        await new Promise((resolve) => timers.setTimeout(resolve, waits < 20 ? 0 : 1))
      }
    } finally {
      this.#interruptions.close()
    }
    for (const { jobId } of this.#system.activity().workers) this.#hanging.add(jobId)
    return false
  }

  async #isIdle(): Promise<boolean> {
    const running = this.#system.activity().workers.map(({ jobId }) => jobId)
    for (const jobId of this.#hanging) if (!running.includes(jobId)) this.#hanging.delete(jobId)
    if (running.length > this.#hanging.size) return false
    const counts = await this.#counts()
    const inStates = (tag: JobTag) => statesWithTag(tag).reduce((sum, state) => sum + counts[state], 0)
    const isDone = inStates('ready') === 0 && inStates('held') === running.length
    return isDone && !((await this.#nextDueAt()) <= this.clock.now())
  }

  /** Epoch ms of the next instant at which anything is due; null if nothing will be. */
  async #nextAt(): Promise<number | null> {
    const at = Math.min(await this.#nextDueAt(), this.clock.nextTimerAt ?? Number.POSITIVE_INFINITY)
    return at === Number.POSITIVE_INFINITY ? null : at
  }

  async #nextDueAt(): Promise<number> {
    const counts = await this.#counts()
    const timed = statesWithTag('timed').filter((state) => counts[state] > 0)
    const jobs = await Promise.all(timed.map((state) => this.#list({ state })))
    return Math.min(...jobs.flat().map(({ runAt }) => runAt))
  }

  async #counts(): ReturnType<JobSystem['counts']> {
    await this.#restarting
    return this.#system.counts()
  }

  /** Newest first. */
  async #list(filter: JobFilter): Promise<Job[]> {
    const jobs: Job[] = []
    let cursor: string | null | undefined
    do {
      await this.#restarting
      const page = await this.#system.list({ ...filter, ...(cursor ? { cursor } : {}), limit: 100 })
      jobs.push(...page.jobs)
      cursor = page.nextCursor
    } while (cursor)
    return jobs
  }

  async #find(id: number): Promise<Job> {
    await this.#restarting
    const job = await this.#system.find(id)
    if (!job) throw new Error(`there is no job ${id}`)
    return job
  }
}
