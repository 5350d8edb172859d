import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { createJobSystem, defineHandler, type JobContext, type JobSystem, type NewJob } from '../src/index.ts'
import type { PostgresOptions } from '../src/persistence/postgres-options.ts'
import { bulkBatch, measureMs, noop, type Work } from './load.ts'
import { mixedTypes } from './mixed.ts'

export interface EngineOptions {
  readonly workers: number
  /** Its name in the folder; `jobs.db` by default. */
  readonly file?: string
  /** How long jobs that have ended are kept; seven days by default. */
  readonly retentionMs?: number
  /** The PostgreSQL server that keeps the jobs; a file in the folder if there is none. */
  readonly postgres?: PostgresOptions
  /** Called as the first line of every attempt. */
  readonly onRun?: (message: string, context: JobContext) => unknown
}

const payload = z.strictObject({ message: z.string() })

/** More than any figure queues. */
const maxQueueDepth = 2_000_000
/** Until the next attempt of a job that has failed. */
const backoffMs = 10
/** Ms between two checks of the counts, once the last handler was called. */
const lookMs = 1

/** A job system as a program would run it, on a file in `folder`, with handlers that do nothing. */
export class Engine {
  readonly system: JobSystem
  readonly #attempts: Attempts
  readonly #succeededBefore: number

  private constructor(system: JobSystem, attempts: Attempts, succeededBefore: number) {
    this.system = system
    this.#attempts = attempts
    this.#succeededBefore = succeededBefore
  }

  /** Opens it on the file in `folder`, which is created if it is missing; nothing runs before `system.start`. */
  static async open(
    folder: string,
    { workers, file = 'jobs.db', retentionMs, postgres, onRun }: EngineOptions,
  ): Promise<Engine> {
    const attempts = new Attempts()
    const handlers = [noop.type, ...mixedTypes].map((type) =>
      defineHandler({
        type,
        payload,
        run({ message }, context) {
          attempts.begun()
          return onRun?.(message, context)
        },
        backoffMs: () => backoffMs,
      }),
    )
    const system = await createJobSystem({
      ...(postgres === undefined ? { database: join(folder, file) } : { postgres }),
      handlers,
      workers,
      maxQueueDepth,
      ...(retentionMs === undefined ? {} : { retentionMs }),
    })
    return new Engine(system, attempts, (await system.counts()).succeeded)
  }

  /** Enqueues one job; returns their number, like the next method. */
  async enqueueOne(): Promise<number> {
    await this.system.enqueue(noop)
    return 1
  }

  /** Enqueues 1,000 jobs by one call. */
  async enqueueBatch(job: NewJob = noop): Promise<number> {
    await this.system.enqueue(Array.from({ length: bulkBatch }, () => job))
    return bulkBatch
  }

  /** Enqueues this many jobs, in thousands, by calls of 1,000, one after another. */
  async fill(count: number, job: NewJob = noop): Promise<void> {
    for (let left = count; left > 0; left -= bulkBatch) await this.enqueueBatch(job)
  }

  /** Attempts begun since it was opened. */
  get begunCount(): number {
    return this.#attempts.count
  }

  /** Resolves when the attempt of this number begins, at once if it has. */
  begun(attempt: number): Promise<void> {
    return this.#attempts.reached(attempt)
  }

  /**
   * Resolves when this many jobs have succeeded, on disk, since it was opened, or after `forMs`, 15 s by default; returns their number and
   * the time since `from`.
   */
  async succeeded(count: number, from: number, forMs = measureMs): Promise<Work> {
    const timeUp = new AbortController()
    const timer = sleep(forMs, undefined, { signal: timeUp.signal }).catch(() => {})
    await Promise.race([this.begun(count), timer])
    timeUp.abort()
    for (;;) {
      const done = await this.#succeededNow()
      const ms = performance.now() - from
      if (done >= count || ms > forMs) return { count: done, ms }
      await sleep(lookMs)
    }
  }

  async close(): Promise<void> {
    await this.system.stop({ graceMs: 0 })
  }

  async #succeededNow(): Promise<number> {
    return (await this.system.counts()).succeeded - this.#succeededBefore
  }
}

/** Counts attempts, and resolves waits for one. */
class Attempts {
  /** Begun so far. */
  count = 0
  #waiting: { readonly attempt: number; readonly resolve: () => void }[] = []
  #next = Number.POSITIVE_INFINITY

  begun(): void {
    if (++this.count < this.#next) return
    for (const { attempt, resolve } of this.#waiting) if (attempt <= this.count) resolve()
    this.#waiting = this.#waiting.filter(({ attempt }) => attempt > this.count)
    this.#next = Math.min(...this.#waiting.map(({ attempt }) => attempt))
  }

  reached(attempt: number): Promise<void> {
    if (attempt <= this.count) return Promise.resolve()
    this.#next = Math.min(this.#next, attempt)
    return new Promise((resolve) => this.#waiting.push({ attempt, resolve }))
  }
}
