import type { Settings } from '../config.ts'
import { BackpressureError, IdempotencyConflictError, InvalidInputError, UniqueConflictError } from '../errors.ts'
import type { Registry } from '../handlers/registry.ts'
import { causeText } from '../job/cause.ts'
import type { Naming } from '../job/fields.ts'
import { toRow, toRows } from '../job/request.ts'
import type { EnqueuedJob, NewJobRow } from '../job/row.ts'
import type { TraceContext } from '../job/trace-context.ts'
import { isDead } from '../machines/edges.ts'
import type { Tracing } from '../observe/tracing/tracing.ts'
import type { EnqueueResult, Store } from '../persistence/store.ts'
import { AdmissionGate } from './admission-gate.ts'
import type { EventCause, SystemLog } from './job-system.ts'
import { inSlices } from './stretches.ts'

/** The `retryAfterMs` for a caller that reached a limit. */
const retryAfterMs = 1_000

interface Parts {
  readonly settings: Settings
  readonly registry: Registry | null
  readonly store: Store
  readonly tracing: Tracing
  readonly log: SystemLog
  /** Throws if the system is stopped, or stops. */
  assertWritable(): void
}

/** Checks what callers want to enqueue, lets them in one after the other, and says why the store refused them. */
export class Enqueues {
  readonly #parts: Parts
  readonly #gate = new AdmissionGate()

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** `answer`: makes the caller's answer of the stored jobs. */
  async enqueue<T>(
    input: unknown,
    naming: Naming,
    by: EventCause,
    caller: TraceContext | null,
    answer: (jobs: readonly EnqueuedJob[]) => T,
  ): Promise<T> {
    const { store, tracing, assertWritable } = this.#parts
    const cause = causeText(by)
    const isBatch = Array.isArray(input)
    let rows = Array.isArray(input)
      ? inSlices(toRows(input, naming, cause, this.#parts))
      : [toRow(input, naming, cause, this.#parts)]
    if (!Array.isArray(rows)) rows = await rows
    assertWritable()
    const turn = this.#gate.enter()
    if (turn) await turn
    const span = tracing.enqueue(rows, isBatch, caller)
    const trace = span ? span.context : caller
    try {
      const stored = store.enqueue(trace ? rows.map((row) => ({ ...row, trace })) : rows)
      // This function keeps its variables until the commit. With them it would keep a copy of every payload on its way, and each collection of
      // young garbage would move them.
      rows = []
      input = undefined
      const jobs = this.#storedJobs(await stored, isBatch)
      span?.stored(jobs)
      return answer(jobs)
    } catch (error) {
      span?.failed(error)
      throw error
    } finally {
      this.#gate.leave()
    }
  }

  /** In a transaction of the caller's, on its own connection. On SQLite it is done, or has thrown, when this returns. */
  enqueueIn<T>(
    client: unknown,
    input: unknown,
    by: EventCause,
    answer: (jobs: readonly EnqueuedJob[]) => T,
  ): T | Promise<T> {
    const { store, tracing, assertWritable } = this.#parts
    const isBatch = Array.isArray(input)
    const cause = causeText(by)
    // The library's own input is checked without a pause.
    const rows = isBatch
      ? (inSlices(toRows(input, 'camelCase', cause, this.#parts)) as NewJobRow[])
      : [toRow(input, 'camelCase', cause, this.#parts)]
    assertWritable()
    if (rows.some(({ idempotency }) => idempotency?.replaceDead)) throw replacesInTransaction()
    const span = tracing.enqueue(rows, isBatch, null)
    const trace = span?.context
    const stored = (result: EnqueueResult) => {
      const jobs = this.#storedJobs(result, isBatch)
      span?.stored(jobs)
      return answer(jobs)
    }
    const failed = (error: unknown): never => {
      span?.failed(error)
      throw error
    }
    try {
      const result = store.enqueueIn(client, trace ? rows.map((row) => ({ ...row, trace })) : rows)
      return result instanceof Promise ? result.then(stored).catch(failed) : stored(result)
    } catch (error) {
      return failed(error)
    }
  }

  #warnOfDead(jobs: readonly EnqueuedJob[]): void {
    const dead = jobs.filter(({ state, created, unique }) => !created && !unique && isDead(state)).map(({ id }) => id)
    if (dead.length === 0) return
    const advice = 'a request was answered with a dead job, which does not run: requeue it, or use replace_dead'
    this.#parts.log.warn({ job_ids: dead }, advice)
  }

  #storedJobs(result: EnqueueResult, isBatch: boolean): readonly EnqueuedJob[] {
    switch (result.outcome) {
      case 'stored':
        this.#warnOfDead(result.jobs)
        return result.jobs
      case 'conflict':
        throw new IdempotencyConflictError(result.id, isBatch ? result.index : null)
      case 'held': {
        const holder = result.id === null ? 'an earlier item of the array' : `job ${result.id}`
        throw new UniqueConflictError(`${holder} holds the unique key`, result.id, isBatch ? result.index : null)
      }
      case 'full':
        throw new BackpressureError(describeFull(result, this.#parts.settings), retryAfterMs)
    }
  }
}

function replacesInTransaction(): InvalidInputError {
  const message = 'cannot be used in a transaction of yours: requeue or cancel the dead job, or enqueue without client'
  return new InvalidInputError([{ path: 'replaceDead', message }])
}

function describeFull(
  { queue, depth }: Extract<EnqueueResult, { outcome: 'full' }>,
  { maxQueueDepth, maxDepthPerQueue }: Settings,
): string {
  if (queue === null)
    return `${depth} jobs are waiting already; the limit is ${maxQueueDepth} (maxQueueDepth, MAX_QUEUE_DEPTH)`
  return `${depth} jobs are waiting in the queue ${queue} already; the limit for one queue is ${maxDepthPerQueue} (maxDepthPerQueue, MAX_DEPTH_PER_QUEUE)`
}
