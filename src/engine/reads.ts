import { resolve } from 'node:path'
import { pageSizes, shown } from '../config.ts'
import { InvalidInputError, JobNotFoundError, PayloadNotKeptError } from '../errors.ts'
import { parseFilter } from '../job/filter.ts'
import { type Job, parseJson, toJob } from '../job/row.ts'
import { countStates } from '../machines/edges.ts'
import type { JobState } from '../machines/job.ts'
import type {
  BackupReport,
  EdgeCount,
  HistoryEvent,
  JobPath,
  NodeInfo,
  Store,
  TransitionPage,
  VerifyReport,
} from '../persistence/store.ts'
import { assertOptions } from './caller-options.ts'
import type { JobFilter, JobList, JobLog, JobLogLine, JobProgress, JobSystem } from './job-system.ts'

const pageOptions = ['after', 'limit']

/** The fault of a cursor that no page has returned. */
export const badCursor = { path: 'cursor', message: 'must be the cursor that came with the page before' }

/** What a system answers from its store alone; `JobSystem` documents each method. */
export class StoreReads {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  async find(id: number): Promise<Job | undefined> {
    assertId(id)
    const row = await this.#store.find(id)
    return row && toJob(row)
  }

  async list(given: JobFilter = {}, options: Parameters<JobSystem['list']>[1] = {}): Promise<JobList> {
    assertOptions('list', options, ['signal'])
    assertSignal(options.signal)
    const { limit = pageSizes.list.byDefault, cursor, ...filter } = parsed(given)
    assertWithin('limit', limit, 1, pageSizes.list.max)
    const before = cursor === undefined ? undefined : placeOf(cursor)
    if (before !== undefined && !Number.isSafeInteger(before)) {
      throw new InvalidInputError([badCursor])
    }
    const narrowed = parseFilter(filter)
    const page = await this.#store.list(
      { ...narrowed, ...(before === undefined ? {} : { before }), limit },
      options.signal,
    )
    return { jobs: page.jobs.map(toJob), nextCursor: page.next === null ? null : `${page.next}` }
  }

  async history(id: number, page: Parameters<JobSystem['history']>[1] = {}): Promise<readonly HistoryEvent[]> {
    assertOptions('history', page, pageOptions)
    const { after = 0, limit = pageSizes.history.byDefault } = page
    assertWithin('after', after, 0, Number.MAX_SAFE_INTEGER)
    assertWithin('limit', limit, 1, pageSizes.history.max)
    assertId(id)
    const history = await this.#store.history(id, { after, limit })
    if (!history) throw new JobNotFoundError(id)
    return history
  }

  async log(id: number, page: Parameters<JobSystem['log']>[1] = {}): Promise<JobLog> {
    assertOptions('log', page, pageOptions)
    const { after = 0, limit = pageSizes.log.byDefault } = page
    assertWithin('after', after, 0, Number.MAX_SAFE_INTEGER)
    assertWithin('limit', limit, 1, pageSizes.log.max)
    assertId(id)
    const log = await this.#store.log(id, { after, limit })
    if (!log) throw new JobNotFoundError(id)
    const lines = log.lines.map((line) => ({ ...line, fields: parseJson(line.fields) as JobLogLine['fields'] }))
    return { ...log, lines }
  }

  async progressSince(at: number): Promise<readonly JobProgress[]> {
    assertWithin('at', at, 0, Number.MAX_SAFE_INTEGER)
    const found = await this.#store.progressSince(at)
    return found.map(({ value, ...rest }) => ({ ...rest, progress: parseJson(value) }))
  }

  async payloadAt(id: number, at?: number): Promise<unknown> {
    // Refuses a transition that the job has not made.
    if (at !== undefined) await this.path(id, { at })
    assertId(id)
    const seq = at ?? Number.MAX_SAFE_INTEGER
    const text = await this.#store.payloadAt(id, seq)
    if (text === undefined) throw new JobNotFoundError(id)
    if (text === '') throw new PayloadNotKeptError(id, seq)
    return parseJson(text)
  }

  async transitions(page: Parameters<JobSystem['transitions']>[0] = {}): Promise<TransitionPage> {
    assertOptions('transitions', page, pageOptions)
    const { after = Number.MAX_SAFE_INTEGER, limit = pageSizes.transitions.byDefault } = page
    assertWithin('after', after, 0, Number.MAX_SAFE_INTEGER)
    assertWithin('limit', limit, 1, pageSizes.transitions.max)
    return this.#store.transitions({ after, limit })
  }

  async counts(): Promise<Record<JobState, number>> {
    return countStates(await this.#store.counts())
  }

  nodes(): Promise<readonly NodeInfo[]> {
    return this.#store.nodes()
  }

  edgeCounts(): Promise<readonly EdgeCount[]> {
    return this.#store.counts()
  }

  async path(id: number, options: Parameters<JobSystem['path']>[1] = {}): Promise<JobPath> {
    assertOptions('path', options, ['at'])
    const { at } = options
    if (at !== undefined) assertWithin('at', at, 1, Number.MAX_SAFE_INTEGER)
    assertId(id)
    const path = await this.#store.pathOf(id, at ?? Number.MAX_SAFE_INTEGER)
    if (!path) throw new JobNotFoundError(id)
    if (at !== undefined) assertWithin('at', at, 1, path.seq)
    return path
  }

  async backup(target: string, options: Parameters<JobSystem['backup']>[1] = {}): Promise<BackupReport> {
    assertOptions('backup', options, ['onProgress'])
    if (typeof target !== 'string' || target === '')
      throw new InvalidInputError([{ path: 'target', message: `must be the path of a file; got ${shown(target)}` }])
    return this.#store.backup(resolve(target), onProgressOf(options))
  }

  async verify(options: Parameters<JobSystem['verify']>[0] = {}): Promise<VerifyReport> {
    assertOptions('verify', options, ['onProgress'])
    return this.#store.verify(onProgressOf(options))
  }
}

function onProgressOf<OnProgress>({ onProgress }: { readonly onProgress?: OnProgress }): OnProgress | undefined {
  if (onProgress === undefined || typeof onProgress === 'function') return onProgress
  throw new InvalidInputError([{ path: 'onProgress', message: `must be a function; got ${shown(onProgress)}` }])
}

/** Throws `InvalidInputError` if it is given and is not a number of milliseconds, of any length. */
export function assertMs(path: string, ms: number | undefined): void {
  if (ms === undefined || ms >= 0) return
  throw new InvalidInputError([{ path, message: `must be 0 or more milliseconds; got ${shown(ms)}` }])
}

/** Throws `InvalidInputError` if it is given and is not an `AbortSignal`. */
export function assertSignal(signal: unknown): void {
  if (signal === undefined || typeof (signal as AbortSignal | null)?.addEventListener === 'function') return
  throw new InvalidInputError([{ path: 'signal', message: `must be an AbortSignal; got ${shown(signal)}` }])
}

/** NaN if it is not a cursor. */
function placeOf(cursor: unknown): number {
  return Number(typeof cursor === 'string' ? /^[0-9]{1,16}$/.exec(cursor)?.[0] : undefined)
}

function parsed(filter: JobFilter): JobFilter {
  if (typeof filter === 'object' && filter !== null && !Array.isArray(filter)) return filter
  throw new InvalidInputError([
    { path: '', message: `must be a filter, such as { type: 'mail' }; got ${shown(filter)}` },
  ])
}

/** Throws `InvalidInputError` if it cannot be the id of a job, such as an id as text. */
export function assertId(id: unknown): void {
  if (typeof id === 'number') return
  throw new InvalidInputError([{ path: 'id', message: `must be the id of a job, a number; got ${shown(id)}` }])
}

export function assertWithin(path: string, value: number, min: number, max: number): void {
  if (Number.isSafeInteger(value) && value >= min && value <= max) return
  throw new InvalidInputError([{ path, message: `must be a whole number from ${min} to ${max}` }])
}
