import { statSync } from 'node:fs'
import Database from 'better-sqlite3'
import { InvalidInputError, UnavailableError } from '../../errors.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { EnqueueResult, NewJobRow } from '../store.ts'
import { intoBatches } from './batches.ts'
import { storageFailure } from './file/storage-failure.ts'
import type { WriterOptions } from './thread/protocol.ts'
import { JobInserts } from './write/insert-jobs.ts'
import { JobTraces } from './write/job-traces.ts'
import { Transitions } from './write/transitions.ts'

/** `PRAGMA synchronous`: FULL. A power cut loses no commit from there on. */
const synchronousFull = 2

type Insert = (jobs: readonly NewJobRow[], now: number) => EnqueueResult

/** Stores new jobs on connections that users have opened to the file, in their transactions. */
export class OwnConnections {
  readonly #path: string
  readonly #options: WriterOptions
  readonly #clock: Clock
  /** Of a connection that was checked. */
  readonly #inserts = new WeakMap<object, Insert>()

  constructor(path: string, options: WriterOptions, clock: Clock) {
    this.#path = path
    this.#options = options
    this.#clock = clock
  }

  /** Throws `InvalidInputError` if it is not a connection to the file with a transaction begun, and `UnavailableError` if another holds the file. */
  enqueue(given: unknown, jobs: readonly NewJobRow[]): EnqueueResult {
    const db = this.#check(given)
    const insert = this.#inserts.get(db) ?? prepare(db, this.#options)
    this.#inserts.set(db, insert)
    try {
      // Inside a transaction this is a savepoint: if it fails, nothing of it is left in theirs.
      return markUncommitted(db.transaction(insert)(jobs, this.#clock.now()))
    } catch (error) {
      if (storageFailure(error) !== 'busy') throw error
      const advice =
        'begin with BEGIN IMMEDIATE (better-sqlite3: db.transaction(…).immediate()), and open it with a timeout'
      throw new UnavailableError(`another connection is writing the file: ${advice}`, { cause: error })
    }
  }

  #check(given: unknown): Database.Database {
    const db = given as Database.Database
    if (!(given instanceof Database)) throw refusal(`must be ${whatItMust(given)}`)
    if (!this.#inserts.has(db)) this.#checkFile(db)
    if (!db.inTransaction)
      throw refusal('is not in a transaction: begin one on it, with db.transaction(…) or BEGIN IMMEDIATE')
    const synchronous = pragma(db, 'synchronous') as number
    if (synchronous < synchronousFull)
      throw refusal(
        `has synchronous ${synchronous}, with which a power cut may lose the last commits: db.pragma('synchronous = FULL'), before the transaction`,
      )
    return db
  }

  #checkFile(db: Database.Database): void {
    const fileOf = (path: string) => statSync(path, { bigint: true, throwIfNoEntry: false })
    const [own, theirs] = [fileOf(this.#path), db.memory ? undefined : fileOf(db.name)]
    if (own === undefined || own.dev !== theirs?.dev || own.ino !== theirs?.ino)
      throw refusal(`is open on ${db.memory ? 'memory' : db.name}, and the jobs are in ${this.#path}`)
  }
}

/** The same statements as on the thread of the store, with numbers as it needs them, whatever the connection does by default. */
function prepare(given: Database.Database, options: WriterOptions): Insert {
  const db = {
    prepare: (sql: string) => given.prepare(sql).safeIntegers(false),
    pragma: (source: string) => pragma(given, source),
  } as unknown as Database.Database
  const transitions = new Transitions(db, options.leaseMs)
  const inserts = new JobInserts(db, transitions, new JobTraces(db), options)
  return (jobs, now) => {
    transitions.begin()
    const answer = inserts.enqueue({ firstCallId: 0, counts: [jobs.length], batches: intoBatches(jobs) }, now)!
    transitions.finish()
    if (!('firstId' in answer)) return answer[0]!
    const states = answer.states.flatMap((state, batch) => Array.from({ length: answer.counts[batch]! }, () => state))
    return {
      outcome: 'stored',
      jobs: states.map((state, index) => ({ id: answer.firstId + index, state, created: true })),
    }
  }
}

function markUncommitted(result: EnqueueResult): EnqueueResult {
  if (result.outcome !== 'stored') return result
  return { outcome: 'stored', jobs: result.jobs.map((job) => (job.created ? { ...job, committed: false } : job)) }
}

function pragma(db: Database.Database, source: string): unknown {
  return db.prepare(`PRAGMA ${source}`).safeIntegers(false).pluck().get()
}

function whatItMust(given: unknown): string {
  const must = 'a connection of better-sqlite3 to the file of the jobs'
  if (typeof given !== 'object' || given === null) return must
  if ('query' in given) return `${must}; a client of PostgreSQL is for a system on PostgreSQL`
  if (given.constructor.name === 'DatabaseSync')
    return `${must}: node:sqlite is another SQLite, which drops the locks of this process when it closes the file`
  return 'inTransaction' in given
    ? `${must}, of the copy that jobmachine uses (npm ls better-sqlite3; do not bundle it): two copies drop the locks of each other`
    : must
}

function refusal(message: string): InvalidInputError {
  return new InvalidInputError([{ path: 'client', message }])
}
