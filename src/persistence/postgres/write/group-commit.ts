import { performance } from 'node:perf_hooks'
import { OutcomeUnknownError, StorageFullError, UnavailableError } from '../../../errors.ts'
import { timers } from '../../../runtime/timers.ts'
import type { IncomingJob } from '../../new-jobs.ts'
import { reportsOf } from '../../reports.ts'
import type { EnqueueResult, LeaseEvent, NewJobRow } from '../../store.ts'
import { type ChangeRequest, changesOf } from '../../unique-conflict.ts'
import type { Epochs } from '../epochs.ts'
import { failureOf } from '../failure.ts'
import type { Health } from '../health.ts'
import type { Admissions } from './admissions.ts'
import {
  apart,
  type Batch,
  type ChangeCall,
  type EnqueueCall,
  type EventCall,
  halve,
  type LeaseReport,
  type Waiting,
} from './batch.ts'
import { gatherEvents, refusedPlaces } from './changes.ts'
import type { Claims } from './claims.ts'
import type { Change, Done, Step } from './step.ts'
import type { Writer } from './writer.ts'

/** New jobs, and jobs that take events, of one transaction: larger ones are no cheaper, and callers wait. A single call may have more. */
const newJobsMax = 1_000
const changedMax = 1_000
/** Events that one transaction may write, as their ids are made. */
const eventsMax = 4_000
/** Between tries of what must be stored while the server takes no writes, in ms. */
const refusedWaitMs = 500
/** The same of what alone takes too long, twice as long after each try. */
const againMs = { first: 500, most: 30_000 }
/** How often new jobs are decided anew because others have stored or changed the jobs with their keys; then each call goes alone. */
const keyTriesMax = 50
/** How long a commit is under way before it counts as trouble, in ms. */
const slowMs = 5_000
/** For how long nothing was stored when calls that wait are refused, and how long those under way wait for a lost answer, in ms. */
const refuseAfterMs = 2_000
const unknownAfterMs = 10_000
/** How long a close waits for what is under way, in ms: the server may be away. */
const closeMaxMs = 2_000

interface Parts {
  readonly writers: readonly Writer[]
  readonly admissions: Admissions
  readonly claims: Claims
  readonly health: Health
  readonly epochs: Pick<Epochs, 'timeline'>
  /** The node was declared dead: it gets another id. */
  revive(): Promise<void>
  /** The server may have gone back, and does so for certain if `isForced`: all ids that come are others. */
  beginEpoch(isForced: boolean): Promise<void>
  /** After each transaction, before its calls are answered. `mayBeReady`: jobs that others can take. */
  onDone(done: Done, tookMs: number, mayBeReady: boolean): void
  /** How many calls take too long each by itself, and are tried again and again; `reason` of the last. */
  onSlow(calls: number, reason: string): void
  onFatal(error: Error): void
}

const nothing: Batch = { enqueues: [], events: [], changes: [], claim: null }

/** Gathers calls while transactions are under way: the next one takes all that wait, and each call is answered after the commit of its own. */
export class GroupCommit {
  readonly #parts: Parts
  #idle: Writer[]
  #enqueues: EnqueueCall[] = []
  #events: EventCall[] = []
  #changes: ChangeCall[] = []
  #pumping: NodeJS.Immediate | undefined
  #running = new Set<Promise<void>>()
  /** What is being committed, and since when: monotonic ms. */
  readonly #underWay = new Map<Batch, { readonly since: number; readonly writer: Writer }>()
  /** Calls that take too long each by itself, with the pause before their next try; then they go alone. */
  readonly #slow = new Map<Batch, number>()
  #slowAgain: Batch[] = []
  #closed = false

  constructor(parts: Parts) {
    this.#parts = parts
    this.#idle = [...parts.writers]
    parts.claims.onWish(() => this.soon())
  }

  enqueue(jobs: readonly NewJobRow[]): Promise<EnqueueResult> {
    return this.#ask<EnqueueResult>((waiting) => this.#enqueues.push({ jobs, ...waiting }))
  }

  /** Resolves with the events that were refused. */
  apply(events: readonly LeaseEvent[]): Promise<LeaseEvent[]> {
    return this.#ask<LeaseEvent[]>((waiting) => this.#events.push({ events, ...waiting }))
  }

  /** Resolves with the jobs that moved, of each change; null: all. */
  change(changes: readonly Change[], patient = false): Promise<Done['moved']> {
    return this.#ask<Done['moved']>((waiting) => this.#changes.push({ changes, patient, reports: [], ...waiting }))
  }

  async report(reports: readonly LeaseReport[]): Promise<void> {
    await this.#ask<Done['moved']>((waiting) =>
      this.#changes.push({ changes: [], patient: false, reports, ...waiting }),
    )
  }

  /** Resolves when all that was asked is answered; what comes later is refused. */
  async close(): Promise<void> {
    this.#closed = true
    timers.clearImmediate(this.#pumping)
    this.#pump()
    const closing = timers.setTimeout(() => {
      for (const writer of this.#parts.writers) void writer.close()
    }, closeMaxMs)
    while (this.#running.size > 0) await Promise.all(this.#running)
    timers.clearTimeout(closing)
    const error = new UnavailableError('the system was stopped')
    const late = [...this.#slow.keys()].flatMap(({ events, changes }) => [...events, ...changes])
    for (const call of [...this.#enqueues, ...this.#events, ...this.#changes, ...late]) call.reject(error)
  }

  /** To be called now and then: answers those who would wait for a server that is away, or does not answer. */
  lookAtTime(now: number): void {
    const { health, writers } = this.#parts
    const isSlow = [...this.#underWay.values()].some(({ since }) => now - since > slowMs)
    health.set('commits', isSlow ? `a commit has not been answered for more than ${slowMs / 1_000} s` : null)
    this.#tellUnknown(now)
    // Whether writes succeed again is found out by one.
    if (health.trouble !== null && this.#idle.length === writers.length) this.change([]).catch(() => {})
    const trouble = health.troubleFor(refuseAfterMs)
    if (trouble === null || this.#idle.length > 0) return
    const why = /^the database /.test(trouble) ? trouble : `the database takes no writes now: ${trouble}`
    const error = new UnavailableError(why)
    const impatient = this.#changes.filter(({ patient }) => !patient)
    this.#reject({ ...nothing, enqueues: this.#enqueues.splice(0), changes: impatient }, error)
    this.#changes = this.#changes.filter(({ patient }) => patient)
  }

  /** Those under way whose answer was lost, or may be: what can wait for it goes on waiting. */
  #tellUnknown(now: number): void {
    const { health } = this.#parts
    for (const [{ enqueues, changes }, { since, writer }] of this.#underWay) {
      if (now - since < unknownAfterMs || (health.isConnected && !writer.isLookingBack)) continue
      const error = new OutcomeUnknownError(new Error(health.trouble ?? 'its connection broke'))
      this.#reject({ ...nothing, enqueues, changes: changes.filter(({ patient }) => !patient) }, error)
    }
  }

  /** All that one turn of the loop asks goes into one transaction. */
  soon(): void {
    this.#pumping ??= timers.setImmediate(() => this.#pump())
  }

  #ask<Answer>(add: (waiting: Waiting<Answer>) => void): Promise<Answer> {
    if (this.#closed) return Promise.reject(new UnavailableError('the system is stopped'))
    return new Promise((resolve, reject) => {
      add({ resolve, reject })
      this.soon()
    })
  }

  #pump(): void {
    this.#pumping = undefined
    while (this.#idle.length > 0) {
      const batch = this.#nextBatch()
      if (!batch) return
      const writer = this.#idle.shift()!
      const running = this.#commit(writer, batch)
        .catch((error) => this.#parts.onFatal(error))
        .then(() => {
          this.#running.delete(running)
          this.#idle.push(writer)
          this.#pump()
        })
      this.#running.add(running)
    }
  }

  #nextBatch(): Batch | null {
    const slow = this.#slowAgain.shift()
    if (slow) return slow
    const enqueues = takeUpTo(this.#enqueues, newJobsMax, ({ jobs }) => jobs.length)
    const events = takeUpTo(this.#events, changedMax, (call) => call.events.length)
    const changes = takeUpTo(this.#changes, changedMax, sizeOf)
    const used =
      sum(enqueues, ({ jobs }) => jobs.length) + sum(events, (call) => call.events.length) + 2 * sum(changes, sizeOf)
    const isOther = enqueues.length + events.length + changes.length > 0
    const claim = this.#closed ? null : this.#parts.claims.take(eventsMax - used, isOther)
    return isOther || claim ? { enqueues, events, changes, claim } : null
  }

  async #commit(writer: Writer, batch: Batch): Promise<void> {
    this.#underWay.set(batch, { since: performance.now(), writer })
    try {
      for (let tries = 1; ; tries++) {
        try {
          await this.#tryCommit(writer, batch)
          this.#endSlow(batch)
          return
        } catch (error) {
          const failure = failureOf(error)
          const isStuck = failure === 'key' && tries >= keyTriesMax && batch.enqueues.length > 0
          if (isStuck || !(await this.#mayPass(failure))) throw error
          if (tries > 1 && failure !== 'key') await pause(refusedWaitMs)
        }
      }
    } catch (error) {
      this.#underWay.delete(batch)
      await this.#failed(writer, batch, error as Error)
    } finally {
      this.#underWay.delete(batch)
    }
  }

  /** Another transaction has stored a key meanwhile, or the node, its writer or the jobs get other ids: once more. */
  async #mayPass(failure: ReturnType<typeof failureOf>): Promise<boolean> {
    if (failure === 'given up') await this.#parts.revive()
    else if (failure === 'moved' || failure === 'ids') await this.#parts.beginEpoch(failure === 'ids')
    return failure === 'key' || failure === 'given up' || failure === 'moved' || failure === 'ids'
  }

  async #tryCommit(writer: Writer, batch: Batch): Promise<void> {
    const { admissions, claims, epochs } = this.#parts
    const { timeline } = epochs
    const { admission, blocks, leave } = await admissions.enter(batch.enqueues.map(({ jobs }) => jobs))
    try {
      const events = batch.events.flatMap((call) => call.events)
      const gathered = gatherEvents(events)
      const own = batch.changes.flatMap(({ changes }) => changes)
      const reports = batch.changes.flatMap((call) => call.reports)
      const cancels = admission.replaced.map(
        ({ id, ...change }): Change => ({ event: 'cancel', jobs: [{ id }], ...change }),
      )
      const amends = admission.amendments.map(toChange)
      // Amends before what may end the jobs that they change: those waited when this was decided.
      const changes = [...gathered.changes, ...amends, ...own, ...cancels]
      const coming = { newJobs: admission.newJobs, changes }
      claims.makeWay(coming)
      const step: Step = {
        ...coming,
        replayed: admission.replayed,
        replaced: admission.replaced.map(({ id }) => id),
        room: batch.claim?.room ?? [],
        claim: claims.terms(batch.claim),
        reports: reportsOf(reports.length > 0 ? [...reports, ...events] : events),
        timeline,
        blocks,
      }
      const begunAt = performance.now()
      const { done, jobs } = await writer.run(step)
      claims.makeWay(coming)
      const moved = done.moved.slice(0, gathered.changes.length)
      this.#parts.onDone(done, performance.now() - begunAt, batch.enqueues.length + batch.changes.length > 0)
      admission.setStates(done.now)
      for (const [index, call] of batch.enqueues.entries()) call.resolve(admission.results[index]!)
      settleEvents(batch.events, refusedPlaces(gathered, moved))
      settleChanges(batch.changes, done.moved.slice(gathered.changes.length + amends.length))
      claims.give(batch.claim, done, jobs, batch.enqueues.length + batch.events.length + batch.changes.length > 0)
    } finally {
      leave()
    }
  }

  async #failed(writer: Writer, batch: Batch, error: Error): Promise<void> {
    this.#parts.claims.putBack(batch.claim)
    const failure = failureOf(error)
    const isSlow = failure === 'slow' || failure === 'locked' || failure === 'retry'
    if (!isSlow) this.#endSlow(batch)
    if (error instanceof OutcomeUnknownError) this.#giveUp(batch, error)
    else if (failure === 'full') await this.#refuse(batch, new StorageFullError())
    else if (error instanceof UnavailableError) await this.#refuse(batch, error)
    else if (failure === 'refused' || failure === 'lost')
      await this.#refuse(
        batch,
        new UnavailableError(`the database takes no writes now: ${error.message}`, { cause: error }),
        error.message,
      )
    else if (isSlow) await this.#divide(writer, batch, error)
    else await this.#each(writer, batch, error)
  }

  /** What takes too long is tried in halves, down to one call and one job. One call alone is refused, or tried again later if it must be stored. */
  async #divide(writer: Writer, batch: Batch, error: Error): Promise<void> {
    const halves = halve(batch)
    if (halves) {
      for (const half of halves) await this.#commit(writer, half)
      return
    }
    if (apart(batch).length === 0) return this.#refuse(batch, error)
    const isPatient = batch.events.length > 0 || batch.changes.some(({ patient }) => patient)
    if (isPatient && !this.#closed) return this.#tryLater(batch, error)
    this.#reject(batch, failureOf(error) === 'locked' ? lockedError(error) : tooSlowError(error))
  }

  #tryLater(batch: Batch, error: Error): void {
    const pauseMs = Math.min(2 * (this.#slow.get(batch) ?? againMs.first / 2), againMs.most)
    this.#slow.set(batch, pauseMs)
    this.#parts.onSlow(this.#slow.size, error.message)
    timers
      .setTimeout(() => {
        this.#slowAgain.push(batch)
        this.soon()
      }, pauseMs)
      .unref()
  }

  #endSlow(batch: Batch): void {
    if (this.#slow.delete(batch)) this.#parts.onSlow(this.#slow.size, '')
  }

  /** If it is not because of a close, this node was declared dead long ago, and its leases are others'. */
  #giveUp(batch: Batch, error: OutcomeUnknownError): void {
    const refused = this.#closed ? [] : batch.events
    for (const { events, resolve } of refused) resolve([...events])
    this.#reject(batch, error)
  }

  /** What must be stored is tried again after a pause, the rest is refused. */
  async #refuse(batch: Batch, error: Error, reason = error.message): Promise<void> {
    this.#parts.health.set('writes', reason, error instanceof StorageFullError ? 'full' : undefined)
    if (this.#closed) return this.#reject(batch, error)
    const patient = batch.changes.filter((call) => call.patient)
    this.#reject({ ...batch, events: [], changes: batch.changes.filter((call) => !call.patient) }, error)
    this.#events.unshift(...batch.events)
    this.#changes.unshift(...patient)
    await pause(refusedWaitMs)
  }

  /** So that none fails because of another. */
  async #each(writer: Writer, batch: Batch, error: Error): Promise<void> {
    const singles = apart(batch)
    if (singles.length === 0) throw error
    if (singles.length === 1 && !batch.claim)
      this.#reject(singles[0]!, failureOf(error) === 'key' ? keyError(error) : error)
    else for (const single of singles) await this.#commit(writer, single)
  }

  #reject(batch: Batch, error: Error): void {
    for (const call of callsOf(batch)) call.reject(error)
  }
}

function toChange(amendment: ChangeRequest<IncomingJob>): Change {
  const { id, job } = amendment
  return { event: 'amend', jobs: [{ id }], cause: job.cause, given: changesOf(amendment), isRequired: true }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => timers.setTimeout(resolve, ms))
}

function callsOf({ enqueues, events, changes }: Batch): readonly Waiting<never>[] {
  return [...enqueues, ...events, ...changes]
}

function tooSlowError(cause: Error): UnavailableError {
  const message = `the database took too long and stored nothing: ${cause.message}; try again, with fewer jobs at once if there are many`
  return new UnavailableError(message, { cause })
}

function keyError(cause: Error): UnavailableError {
  const why = 'the job that has the same key cannot be changed, or others change it all the time'
  return new UnavailableError(`${why}: nothing was stored; try again, and see jobmachine verify`, { cause })
}

function lockedError(cause: Error): UnavailableError {
  const why = 'a transaction that is still open has used the same key, or has locked the job'
  return new UnavailableError(`${why}; try again when it has ended`, { cause })
}

function settleEvents(calls: readonly EventCall[], refused: readonly number[]): void {
  let first = 0
  for (const { events, resolve } of calls) {
    const end = first + events.length
    resolve(refused.filter((place) => place >= first && place < end).map((place) => events[place - first]!))
    first = end
  }
}

function settleChanges(calls: readonly ChangeCall[], moved: Done['moved']): void {
  let next = 0
  for (const { changes, resolve } of calls) {
    resolve(moved.slice(next, next + changes.length))
    next += changes.length
  }
}

/** The first of them, up to a size; one at least. */
function takeUpTo<Call>(calls: Call[], most: number, sizeOf: (call: Call) => number): Call[] {
  let size = 0
  const end = calls.findIndex((call, index) => {
    size += sizeOf(call)
    return index > 0 && size > most
  })
  return calls.splice(0, end === -1 ? calls.length : end)
}

function sum<Item>(items: readonly Item[], of: (item: Item) => number): number {
  return items.reduce((total, item) => total + of(item), 0)
}

function sizeOf({ changes }: ChangeCall): number {
  return sum(changes, ({ jobs }) => jobs.length)
}
