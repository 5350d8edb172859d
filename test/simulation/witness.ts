import type Database from 'better-sqlite3'
import { openKept } from '../../src/persistence/sqlite/file/kept.ts'
import { chainFrom } from '../../src/persistence/sqlite/read/histories.ts'
import { verifyFile } from '../../src/persistence/sqlite/verify/verify.ts'
import type { Pulse } from './pulse.ts'

/** What the caller of an enqueue was told. */
export type Told = 'asked' | 'acknowledged' | 'refused'

/** One call of a handler. */
export interface Call {
  readonly jobId: number
  readonly isAborted: () => boolean
}

/**
 * Observes the engine from outside: records what callers were told and which handlers were called, and compares it with the file, which it
 * reads itself. Every job has a unique number in its payload, its mark.
 */
export class Witness {
  readonly violations: string[] = []
  readonly #path: string
  readonly #pulse: Pulse
  readonly #told = new Map<number, Told>()
  readonly #idOf = new Map<number, number>()
  readonly #starts = new Map<number, number>()
  readonly #running = new Set<Call>()
  #lastMark = 0
  #lastEventBefore = Number.MAX_SAFE_INTEGER
  #reader: Database.Database | undefined
  #startsInHistory: Database.Statement | undefined
  calls = 0

  constructor(path: string, pulse: Pulse) {
    this.#path = path
    this.#pulse = pulse
  }

  newMark(): number {
    this.#told.set(++this.#lastMark, 'asked')
    return this.#lastMark
  }

  acknowledged(mark: number, id: number): void {
    this.#told.set(mark, 'acknowledged')
    this.#idOf.set(mark, id)
  }

  refused(mark: number): void {
    this.#told.set(mark, 'refused')
  }

  /** A handler is called; at most `workers` may run at once. */
  started(call: Call, workers: number): void {
    const { jobId } = call
    const times = (this.#starts.get(jobId) ?? 0) + 1
    this.#starts.set(jobId, times)
    this.calls++
    for (const other of this.#running) {
      if (other.jobId === jobId && !other.isAborted()) this.#tell(`job ${jobId} runs twice at once`)
    }
    this.#running.add(call)
    if (this.#running.size > workers) this.#tell(`${this.#running.size} handlers run on ${workers} workers`)
    this.#reader ??= openKept(this.#path, { readonly: true })
    this.#startsInHistory ??= this.#reader
      .prepare(
        `${chainFrom('SELECT last_event_id FROM jobs WHERE id = ?', 'true')} SELECT count(*) FROM chain WHERE event = 'start'`,
      )
      .pluck()
    const onDisk = this.#startsInHistory.get(jobId) as number
    if (times > onDisk) this.#tell(`job ${jobId} was called for the ${times}. time with ${onDisk} starts on disk`)
  }

  ended(call: Call): void {
    this.#running.delete(call)
  }

  /** The calls of a job's handler that have not ended. */
  callsOf(jobId: number): Call[] {
    return [...this.#running].filter((call) => call.jobId === jobId)
  }

  isRunning(call: Call): boolean {
    return this.#running.has(call)
  }

  /** A process has opened the file. */
  processBegan(): void {
    this.#lastEventBefore = this.#ask('SELECT coalesce(max(id), 0) FROM job_events')[0] as number
  }

  /** The process has ended, and its handlers with it. Its own leases never expired, because it renews them while it lives. */
  processEnded(): void {
    this.#running.clear()
    this.close()
    if (this.#lastEventBefore === Number.MAX_SAFE_INTEGER) return
    const lapsed = this.#ask(`
      SELECT job_id FROM job_events AS expiry
      WHERE id > ${this.#lastEventBefore} AND event = 'expire' AND error LIKE '%ran out%' AND ${this.#lastEventBefore} <
        (SELECT max(id) FROM job_events WHERE job_id = expiry.job_id AND event = 'lease' AND id < expiry.id)`)
    for (const id of lapsed) this.#tell(`a lease of job ${id} ran out, and the process that held it lived`)
    this.#lastEventBefore = Number.MAX_SAFE_INTEGER
  }

  #ask(sql: string): unknown[] {
    const db = openKept(this.#path, { readonly: true })
    const found = db.prepare(sql).pluck().all()
    db.close()
    return found
  }

  /** Compares the file with everything that was told. */
  check(): void {
    for (const { invariant, jobId, message } of verifyFile(this.#path).violations) {
      this.#tell(`${invariant}, job ${jobId}: ${message}`)
    }
    const db = openKept(this.#path, { readonly: true })
    const stored = db.prepare(`SELECT job_id, payload ->> 'mark' FROM job_payloads`).raw().all() as [
      number,
      number | null,
    ][]
    const removed = db
      .prepare(`SELECT coalesce(sum(n), 0) FROM edge_counts WHERE to_state = ''`)
      .pluck()
      .get() as number
    const starts = new Map(
      db.prepare(`SELECT job_id, count(*) FROM job_events WHERE event = 'start' GROUP BY job_id`).raw().all() as [
        number,
        number,
      ][],
    )
    const { faults, gone } = this.#pulse.check(db)
    db.close()
    for (const fault of faults) this.#tell(fault)
    const asked = stored.filter((each): each is [number, number] => each[1] !== null)
    this.#checkMarks(asked, removed - gone)
    const ids = new Set(stored.map(([id]) => id))
    for (const [id, times] of this.#starts) {
      if (ids.has(id) && times > (starts.get(id) ?? 0))
        this.#tell(`job ${id} was called ${times} times, its history has ${starts.get(id) ?? 0} starts`)
    }
  }

  #checkMarks(stored: readonly [id: number, mark: number][], removed: number): void {
    const idsOf = new Map<number, number>()
    for (const [id, mark] of stored) {
      if (idsOf.has(mark)) this.#tell(`what was asked once as ${mark} is stored twice, as ${idsOf.get(mark)} and ${id}`)
      idsOf.set(mark, id)
      const told = this.#told.get(mark)
      if (told === undefined) this.#tell(`job ${id} was asked for by nobody`)
      if (told === 'refused') this.#tell(`job ${id} is stored, and its caller was told that it is not`)
    }
    let missing = 0
    for (const [mark, id] of this.#idOf) {
      const found = idsOf.get(mark)
      if (found === undefined) missing++
      else if (found !== id) this.#tell(`mark ${mark} was acknowledged as job ${id} and is stored as ${found}`)
    }
    if (missing > removed) this.#tell(`${missing} acknowledged jobs are gone, retention removed ${removed}`)
  }

  close(): void {
    this.#reader?.close()
    this.#reader = undefined
    this.#startsInHistory = undefined
  }

  #tell(violation: string): void {
    this.violations.push(violation)
  }
}
