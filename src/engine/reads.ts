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
import type { JobFilter, JobList, JobLog, JobLogLine, JobProgress, JobSystem } from './job-system.ts'

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

  async list(given: JobFilter = {}, { signal }: Parameters<JobSystem['list']>[1] = {}): Promise<JobList> {
    const { limit = pageSizes.list.byDefault, cursor, ...filter } = parsed(given)
    assertWithin('limit', limit, 1, pageSizes.list.max)
    const before = cursor === undefined ? undefined : Number(/^[0-9]{1,16}$/.exec(cursor)?.[0])
    if (before !== undefined && !Number.isSafeInteger(before)) {
      throw new InvalidInputError([{ path: 'cursor', message: 'must be the next_cursor of an earlier page' }])
    }
    const narrowed = parseFilter(filter)
    const page = await this.#store.list({ ...narrowed, ...(before === undefined ? {} : { before }), limit }, signal)
    return { jobs: page.jobs.map(toJob), nextCursor: page.next === null ? null : `${page.next}` }
  }

  async history(id: number, { after = 0, limit = pageSizes.history.byDefault } = {}): Promise<readonly HistoryEvent[]> {
    assertWithin('after', after, 0, Number.MAX_SAFE_INTEGER)
    assertWithin('limit', limit, 1, pageSizes.history.max)
    assertId(id)
    const history = await this.#store.history(id, { after, limit })
    if (!history) throw new JobNotFoundError(id)
    return history
  }

  async log(id: number, { after = 0, limit = pageSizes.log.byDefault } = {}): Promise<JobLog> {
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

  async payloadAt(id: number, at: number = Number.MAX_SAFE_INTEGER): Promise<unknown> {
    assertWithin('at', at, 1, Number.MAX_SAFE_INTEGER)
    assertId(id)
    const text = await this.#store.payloadAt(id, at)
    if (text === undefined) throw new JobNotFoundError(id)
    if (text === '') throw new PayloadNotKeptError(id, at)
    return parseJson(text)
  }

  async transitions({
    after = Number.MAX_SAFE_INTEGER,
    limit = pageSizes.transitions.byDefault,
  } = {}): Promise<TransitionPage> {
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

  async path(id: number, { at }: { readonly at?: number } = {}): Promise<JobPath> {
    if (at !== undefined) assertWithin('at', at, 1, Number.MAX_SAFE_INTEGER)
    assertId(id)
    const path = await this.#store.pathOf(id, at ?? Number.MAX_SAFE_INTEGER)
    if (!path) throw new JobNotFoundError(id)
    if (at !== undefined) assertWithin('at', at, 1, path.seq)
    return path
  }

  backup(target: string, { onProgress }: Parameters<JobSystem['backup']>[1] = {}): Promise<BackupReport> {
    return this.#store.backup(resolve(target), onProgress)
  }

  verify({ onProgress }: Parameters<JobSystem['verify']>[0] = {}): Promise<VerifyReport> {
    return this.#store.verify(onProgress)
  }
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

function assertWithin(path: string, value: number, min: number, max: number): void {
  if (Number.isSafeInteger(value) && value >= min && value <= max) return
  throw new InvalidInputError([{ path, message: `must be a whole number from ${min} to ${max}` }])
}
