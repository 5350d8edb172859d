import { shown } from '../config.ts'
import { type InputIssue, InvalidInputError, JobCancelledError, JobFailedError, JobNotFoundError } from '../errors.ts'
import type { AnyHandler } from '../handlers/define.ts'
import { type EnqueuedJob, unreadable } from '../job/row.ts'
import { isAfter } from '../machines/edges.ts'
import type { EndedJob, JobRow, LeaseEvent, Store } from '../persistence/store.ts'
import type { Clock } from '../runtime/clock.ts'
import { assertOptions } from './caller-options.ts'
import { isHandler } from './first-steps.ts'
import type { ResultOptions } from './job-system.ts'
import { assertId, assertMs, assertSignal } from './reads.ts'
import { ResultWaiters } from './result-waiters.ts'

/** The longest delay of `setTimeout`; with a longer one it fires at once. */
const timerMaxMs = 2 ** 31 - 1

interface Parts {
  readonly store: Pick<Store, 'ended' | 'find'>
  readonly clock: Clock
  readonly enqueue: (...given: unknown[]) => Promise<EnqueuedJob>
  /** Why the job is in its state, in a few sentences. */
  readonly explain: (id: number) => Promise<{ readonly summary: string }>
}

const waitOptions = ['timeoutMs', 'signal']

/** What became of jobs, for those who wait for it. */
export class Results {
  readonly #parts: Parts
  readonly #waiters: ResultWaiters

  constructor(parts: Parts) {
    const { store, clock } = parts
    this.#parts = parts
    this.#waiters = new ResultWaiters((ids) => store.ended(ids), clock.timers)
  }

  /** The result of the job; `handler`: the one that it must be of. */
  async of(id: number, options: ResultOptions = {}, handler?: AnyHandler): Promise<unknown> {
    assertId(id)
    assertOptions('result', options, waitOptions)
    assertWait(options)
    return this.#wait(id, options, handler)
  }

  async #wait(id: number, { timeoutMs, signal }: ResultOptions, handler?: AnyHandler): Promise<unknown> {
    if (!Number.isSafeInteger(id)) throw new JobNotFoundError(id)
    const wait = { timeoutMs: timeoutMs === undefined ? undefined : Math.min(timeoutMs, timerMaxMs), signal }
    const job = await this.#waiters.wait(id, wait)
    if (job.state === null) throw new JobNotFoundError(id)
    if (handler && handler.type !== job.type) throw otherType(id, job.type, handler.type)
    if (isAfter('succeed', job.state)) return resultOf(id, job)
    throw isAfter('cancel', job.state) ? new JobCancelledError(id) : await this.#failureOf(id)
  }

  /** Enqueues a job, or the second argument as the payload of a handler, and waits for its result. Nothing is enqueued once `signal` has fired. */
  async enqueueAndWait(given: unknown, second?: unknown, third?: unknown): Promise<unknown> {
    const handler = isHandler(given) ? given : undefined
    const asked = handler ? third : second
    const options = (asked === undefined ? {} : asked) as ResultOptions
    assertWait(options)
    const { timeoutMs, signal, ...fields } = options
    const fault = faultOfJob(given, fields)
    if (fault) throw new InvalidInputError([fault])
    signal?.throwIfAborted()
    const { id } = await this.#parts.enqueue(given, ...(handler ? [second, fields] : []))
    return this.#wait(id, { timeoutMs, signal } as ResultOptions, handler)
  }

  /** This process has committed these outcomes. */
  committed(events: readonly LeaseEvent[]): void {
    this.#waiters.look(events.map(({ id }) => id))
  }

  /** This process has changed that job. */
  changed(id: number): void {
    this.#waiters.look([id])
  }

  /** Resolves when the results are given of all that has ended here. */
  finish(): Promise<void> {
    return this.#waiters.finish()
  }

  close(reason: () => Error): void {
    this.#waiters.close(reason)
  }

  async #failureOf(id: number): Promise<JobFailedError> {
    const { store, explain } = this.#parts
    const [job, { summary }] = await Promise.all([store.find(id), explain(id)])
    return new JobFailedError(id, summary, causeOf(job))
  }
}

function causeOf(job: JobRow | undefined): ErrorOptions {
  return job?.error ? { cause: job.error } : {}
}

function resultOf(id: number, { result }: EndedJob): unknown {
  if (result === null) return undefined
  try {
    return JSON.parse(result)
  } catch {
    throw new JobFailedError(id, unreadable('the one that is stored cannot be read').message)
  }
}

function otherType(id: number, type: string | null, asked: string): InvalidInputError {
  return new InvalidInputError([
    { path: 'id', message: `must be a job of type ${asked}; job ${id} is of type ${type}` },
  ])
}

function assertWait(options: ResultOptions): void {
  if (typeof options !== 'object' || options === null)
    throw new InvalidInputError([{ path: '', message: `options must be { timeoutMs, signal }; got ${shown(options)}` }])
  const { timeoutMs, signal } = options
  assertMs('timeoutMs', timeoutMs)
  assertSignal(signal)
}

/** `fields`: options beside those of the wait, which only a handler and its payload have. */
function faultOfJob(given: unknown, fields: object): InputIssue | null {
  if (Array.isArray(given))
    return { path: '', message: 'must be one job; enqueue several, and wait for the result of each' }
  if ('client' in fields)
    return {
      path: 'client',
      message: 'must be left out: the job runs once your transaction has committed; then ask for its result',
    }
  if (isHandler(given) || Object.keys(fields).length === 0) return null
  return { path: '', message: 'the second argument may have timeoutMs and signal; write other options into the job' }
}
