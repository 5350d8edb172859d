import type Database from 'better-sqlite3'
import { UnavailableError } from '../../../errors.ts'
import { timers } from '../../../runtime/timers.ts'
import type { LogPage, Progress } from '../../reports.ts'
import type {
  CensusCount,
  EdgeCount,
  EndedJob,
  FileSizes,
  HistoryEvent,
  IdPage,
  JobFacts,
  JobPage,
  JobPath,
  JobRow,
  Lease,
  ListFilter,
  MatchFilter,
  TransitionPage,
} from '../../store.ts'
import { openForReading } from '../file/connection.ts'
import { fileSizes } from '../file/filesystem.ts'
import { storageFailure } from '../file/storage-failure.ts'
import { Reader } from './reader.ts'
import { toTransitions } from './rows.ts'
import { Scanner } from './scanner.ts'
import type { ScheduleReader } from './schedules.ts'

/** Attempts of a read that met a checkpoint or a recovery, one per turn of the loop. */
const busyReadTries = 100

/** The reads of the store: by key on a read-only connection of the loop, the others on a thread. */
export class FileReads {
  readonly #path: string
  readonly #connection: Database.Database
  readonly #reader: Reader
  readonly #scanner: Scanner
  #isClosed = false

  constructor(path: string) {
    this.#path = path
    this.#connection = openForReading(path)
    this.#reader = new Reader(this.#connection)
    this.#scanner = new Scanner(path)
  }

  find(id: number): Promise<JobRow | undefined> {
    return this.#read((reader) => reader.find(id))
  }

  ended(ids: readonly number[]): Promise<ReadonlyMap<number, EndedJob>> {
    return this.#read((reader) => reader.ended(ids))
  }

  list(filter: ListFilter, signal?: AbortSignal): Promise<JobPage> {
    return this.#scanner.scan('list', filter, signal)
  }

  matching(filter: MatchFilter): Promise<IdPage> {
    return this.#scanner.scan('matching', filter)
  }

  async transitions(page: { after: number; limit: number }): Promise<TransitionPage> {
    const { json, newest } = await this.#scanner.scan('transitions', page)
    const { transitions, last } = toTransitions(json)
    if (last === undefined) return { transitions, last: Math.min(page.after, newest) }
    // An empty page is the end. Here there are events, and none of them can be read.
    return transitions.length > 0 ? { transitions, last } : this.transitions({ ...page, after: last })
  }

  history(id: number, page: { after: number; limit: number }): Promise<HistoryEvent[] | undefined> {
    return this.#read((reader) => reader.history(id, page))
  }

  log(id: number, page: { after: number; limit: number }): Promise<LogPage | undefined> {
    return this.#read((reader) => reader.log(id, page))
  }

  progressSince(at: number): Promise<Progress[]> {
    return this.#read((reader) => reader.progressSince(at))
  }

  payloadAt(id: number, at: number): Promise<string | undefined> {
    return this.#read((reader) => reader.payloadAt(id, at))
  }

  readPayload({ id, leaseToken }: Lease): string {
    if (this.#isClosed) throw new UnavailableError('the system is stopped')
    try {
      return this.#reader.payloadAt(id, leaseToken) ?? ''
    } catch (error) {
      // A page that is damaged stays so: if the job were given back, it would be leased again at once, for ever.
      if (storageFailure(error) !== 'busy') throw error
      throw new UnavailableError('the database cannot be read', { cause: error })
    }
  }

  pathOf(id: number, upTo: number): Promise<JobPath | undefined> {
    return this.#scanner.scan('pathOf', { id, upTo })
  }

  counts(): Promise<EdgeCount[]> {
    return this.#read((reader) => reader.counts())
  }

  jobFacts(id: number): Promise<JobFacts | undefined> {
    return this.#scanner.scan('jobFacts', id)
  }

  census(): Promise<readonly CensusCount[]> {
    return this.#scanner.scan('census', undefined)
  }

  protected readSchedules<T>(read: (reader: ScheduleReader) => T): Promise<T> {
    return this.#read(({ schedules }) => read(schedules))
  }

  fileSizes(): Promise<FileSizes> {
    return fileSizes(this.#path)
  }

  protected async closeReads(): Promise<void> {
    this.#isClosed = true
    this.#connection.close()
    await this.#scanner.close()
  }

  async #read<T>(read: (reader: Reader) => T): Promise<T> {
    for (let tries = 1; ; tries++) {
      if (this.#isClosed) throw new UnavailableError('the system is stopped')
      try {
        return read(this.#reader)
      } catch (error) {
        if (storageFailure(error) === null) throw error
        if (storageFailure(error) !== 'busy' || tries === busyReadTries)
          throw new UnavailableError('the database cannot be read', { cause: error })
        await new Promise((resolve) => timers.setTimeout(resolve, 1))
      }
    }
  }
}
