import type Database from 'better-sqlite3'
import { RetentionRules } from '../../../job/retention.ts'
import { eventsFrom } from '../../../machines/edges.ts'
import { suspectCrashes } from '../../../machines/guards.ts'
import type { JobState } from '../../../machines/job.ts'
import { isTimed, isValidRow } from '../../sql/conditions.ts'
import { countJobs, type EventSet, intoRanges } from '../../sql/ranges.ts'
import { takesKeysBack } from '../../sql/unique-keys.ts'
import type { AmendResult, Command, CommandResult, Lease } from '../../store.ts'
import { Reader } from '../read/reader.ts'
import type { Answers, NewCalls, PackedMoves, RefusedEvent, Request, WriterOptions } from '../thread/protocol.ts'
import { Claims } from './claims.ts'
import { JobInserts } from './insert-jobs.ts'
import { JobChanges } from './job-changes.ts'
import { JobReports } from './job-reports.ts'
import { JobResults } from './job-results.ts'
import { JobTraces } from './job-traces.ts'
import { Leases } from './leases.ts'
import { Retention } from './retention.ts'
import { Schedules } from './schedules.ts'
import { Transitions } from './transitions.ts'

/** Jobs that one step finds due, and that one statement of it moves. */
const promoteMax = 1_000
const promoteAtOnce = 100

/** All writes, as parts of a transaction that the caller begins and commits. */
export class Writer {
  readonly #transitions: Transitions
  readonly #traces: JobTraces
  readonly #reports: JobReports
  readonly #results: JobResults
  #beganAt = 0
  /** Whether every lease in the file was given here, because those of dead processes were recovered. */
  #ownsLeases = false
  readonly #inserts: JobInserts
  readonly #changes: JobChanges
  readonly #claims: Claims
  readonly #leases: Leases
  readonly #retention: Retention
  readonly #schedules: Schedules
  readonly #retentionMs: number
  readonly #reader: Reader
  readonly #due: Database.Statement
  readonly #nextDue: Database.Statement
  readonly #named: Database.Statement

  constructor(db: Database.Database, options: WriterOptions) {
    this.#transitions = new Transitions(db, options.leaseMs)
    this.#traces = new JobTraces(db)
    this.#reports = new JobReports(db)
    this.#results = new JobResults(db)
    this.#inserts = new JobInserts(db, this.#transitions, this.#traces, options)
    this.#changes = new JobChanges(db, this.#transitions)
    this.#claims = new Claims(db, this.#transitions, this.#traces, options.types)
    this.#leases = new Leases(db, this.#transitions, options.leaseMs)
    this.#schedules = new Schedules(db, (calls, now) => this.#inserts.enqueue(calls, now))
    this.#retentionMs = options.retentionMs
    this.#reader = new Reader(db)
    const rules = new RetentionRules(options.retentionMs, options.retention)
    this.#retention = new Retention(db, this.#transitions, rules, () => this.#reader.counts())
    // No limit as a parameter: SQLite would plan the statement again at each call.
    this.#due = db.prepare(
      `SELECT id, crashes FROM jobs WHERE ${isTimed} AND run_at <= :now AND ${isValidRow} ORDER BY run_at, id LIMIT ${promoteAtOnce}`,
    )
    this.#nextDue = db
      .prepare(`SELECT run_at FROM jobs WHERE ${isTimed} AND ${isValidRow} ORDER BY run_at LIMIT 1`)
      .pluck()
    this.#named = db.prepare(`
      SELECT id FROM jobs WHERE id IN (SELECT value FROM json_each(:list)) AND (:state IS NULL OR state = :state)
        AND ${isValidRow}`)
  }

  /** Call it first in each transaction. */
  begin(): void {
    this.#beganAt = performance.now()
    this.#transitions.begin()
  }

  /** When the last transaction began, in monotonic ms. */
  get beganAt(): number {
    return this.#beganAt
  }

  /** Call it last in each transaction. */
  finish(): void {
    this.#transitions.finish()
  }

  /** Call it when the transaction is on disk. */
  committed(): void {
    this.#transitions.committed()
  }

  /** How many events the last finished transaction wrote; what retention removed counts as one. */
  get eventCount(): number {
    return this.#transitions.takenCount
  }

  /** The highest ids given to events, and here to jobs. */
  get lastEventId(): number {
    return this.#transitions.lastEventId
  }

  get lastJobId(): number {
    return this.#inserts.lastJobId
  }

  /** Whether the last finished transaction may have changed `nextDueAt`. */
  get tookTimed(): boolean {
    return this.#transitions.tookTimed
  }

  enqueue(calls: NewCalls, now: number): Answers['enqueue'] {
    return this.#inserts.enqueue(calls, now)
  }

  /** Leases jobs for each request, in turn, and starts them if requested. */
  lease(asked: Parameters<Claims['lease']>[0], now: number): ReturnType<Claims['lease']> {
    this.#ownsLeases = true
    return this.#claims.lease(asked, now)
  }

  /**
   * Stores what happened to leased jobs, in order; returns the events that were rejected: their lease is not held, or the machine has no
   * such edge. `attempts`, `results`: the traces and results of those that were not. `reports`: stored before, while the leases are held.
   */
  apply(
    sets: readonly EventSet[],
    now: number,
    { attempts, reports, results }: Pick<Extract<Request, { op: 'apply' }>, 'attempts' | 'reports' | 'results'> = {},
  ): RefusedEvent[] {
    if (reports) this.#reports.store(reports, now)
    const refused: RefusedEvent[] = []
    for (const { event, ranges } of sets) {
      if (event === 'release') this.#claims.expectSuspects()
      if (this.#transitions.apply(event, ranges, now, 'holder') === countJobs(ranges)) continue
      const moved = new Set(this.#transitions.lastMoved)
      for (const [first, last, leaseToken] of ranges)
        for (let id = first; id <= last; id++) if (!moved.has(id)) refused.push({ event, id, leaseToken: leaseToken! })
    }
    if (attempts) {
      const refusedIds = new Set(refused.map(({ id }) => id))
      this.#traces.noteAttempts(attempts.filter(([id]) => !refusedIds.has(id)))
    }
    if (results) this.#results.keep(results, refused)
    return refused
  }

  /** Stores what the holders of leases have reported. */
  report(reports: string, now: number): null {
    this.#reports.store(reports, now)
    return null
  }

  /** Applies the command to those of the jobs that are in `state`, if given, and that the machine allows it for; returns their ids. */
  command(
    command: Command,
    ids: readonly number[],
    state: JobState | undefined,
    now: number,
    cause: string | null = null,
  ): number[] {
    const named = this.#named.all({ list: JSON.stringify(ids), state: state ?? null }) as { id: number }[]
    const held = this.#heldKeys(command, ids, now)
    const free = held.size === 0 ? named : named.filter(({ id }) => !held.has(id))
    this.#transitions.apply(command, intoRanges(free, cause), now)
    return this.#transitions.lastMoved.toSorted((a, b) => a - b)
  }

  /** Of those jobs, the ones whose unique keys others hold, if the command needs them, each with its holder. */
  #heldKeys(command: Command, ids: readonly number[], now: number): ReadonlyMap<number, number> {
    return takesKeysBack(command) ? this.#transitions.uniqueKeys.heldByOthers(ids, now) : new Map()
  }

  /** Queues jobs whose `run_at` has come, up to a limit or until `goOn` returns false; returns whether there may be more. */
  promoteDue(now: number, goOn = () => true): boolean {
    for (let promoted = 0; promoted < promoteMax; promoted += promoteAtOnce) {
      if (promoted > 0 && !goOn()) return true
      const due = this.#due.all({ now }) as { id: number; crashes: number }[]
      this.#transitions.apply('due', intoRanges(due), now)
      // A user may have put one off.
      if (due.some(({ crashes }) => crashes >= suspectCrashes)) this.#claims.expectSuspects()
      if (due.length < promoteAtOnce) return false
    }
    return true
  }

  /** When the next `scheduled` or `retrying` job is due; null if none waits. */
  nextDueAt(): number | null {
    return (this.#nextDue.get() as number | undefined) ?? null
  }

  renew(leases: readonly Lease[], now: number): Lease[] {
    return this.#leases.renew(leases, now)
  }

  /**
   * Expires leases that have run out, up to a limit; returns whether there may be more. Does nothing before those of dead processes are
   * recovered, because they did not end by time.
   */
  expireLeases(now: number, goOn = () => true): boolean {
    return this.#ownsLeases && this.#leases.expire(now, goOn)
  }

  recoverOrphans(after: number, now: number): Answers['recover'] {
    const step = this.#leases.recover(after, now)
    if (step.last === null) {
      this.#leases.forgetStop()
      this.#ownsLeases = true
    }
    this.#claims.expectSuspects()
    return step
  }

  /** From now on an end of the process is not a crash. It has no effect before the jobs of an earlier process were recovered. */
  noteStop(): null {
    if (this.#ownsLeases) this.#leases.noteStop()
    return null
  }

  /** See `Claims`. */
  get exclusiveUntil(): number | null {
    return this.#claims.exclusiveUntil
  }

  restoreHandled(goOn = () => true): boolean {
    return this.#claims.restoreHandled(goOn)
  }

  retain(now: number, goOn = () => true): boolean {
    const more = this.#retentionMs > 0 && this.#schedules.remove(now, this.#retentionMs)
    return this.#retention.step(now, goOn) || more
  }

  moveSchedules(moves: PackedMoves, now: number): Answers['moveSchedules'] {
    return this.#schedules.move(moves, now)
  }

  /** A user's or client's command for one job. */
  send(command: Command, id: number, now: number, cause: string | null = null): CommandResult {
    const [moved] = this.command(command, [id], undefined, now, cause)
    const job = this.#reader.find(id)
    if (!job) return { outcome: 'unknown' }
    if (moved !== undefined) return { outcome: 'done', job }
    return { outcome: 'refused', state: job.state, holder: this.#heldKeys(command, [id], now).get(id) }
  }

  /** See `Store.amend`. */
  amend(id: number, changes: string, now: number, cause: string | null = null, requeue: boolean = false): AmendResult {
    const requeued = requeue ? this.send('requeue', id, now, cause) : null
    if (requeued && requeued.outcome !== 'done') return requeued
    const isDone = this.#changes.amend(id, changes, now, cause)
    this.#claims.expectSuspects()
    const job = this.#reader.find(id)
    if (!job) return { outcome: 'unknown' }
    if (isDone) return { outcome: 'done', job }
    const { state, attempt } = job
    return eventsFrom(state).includes('amend') ? { outcome: 'spent', attempt } : { outcome: 'refused', state }
  }
}
