import type Database from 'better-sqlite3'
import { type SnapshotFrom, transition } from 'xstate'
import { type EventType, type JobEvent, type JobState, jobMachine } from '../../src/machines/job.ts'
import { openKept } from '../../src/persistence/sqlite/file/kept.ts'

/** One row of `jobs`, as far as the machine and time determine it. */
export interface Row {
  readonly id: number
  readonly state: JobState
  readonly attempt: number
  readonly maxAttempts: number
  readonly crashes: number
  readonly seq: number
  readonly leaseToken: number | null
  readonly leaseExpiresAt: number | null
  readonly runAt: number
  readonly queue: string
  readonly priority: number
}

/** One row of `job_events`. */
export interface Transition {
  readonly rowId: number
  readonly jobId: number
  readonly seq: number
  readonly event: EventType
  readonly from: JobState | null
  readonly to: JobState
  readonly attempt: number
  readonly at: number
  /** 1 if its error says that its process had ended. */
  readonly crashed: 0 | 1
}

interface ModelJob {
  snapshot: SnapshotFrom<typeof jobMachine>
  seq: number
  leaseToken: number | null
}

/**
 * What the jobs must be, according to XState itself and nothing compiled from it. It reads the file after each command: every transition
 * found there is applied to the machine, and every row must be where that leads.
 */
export class Model {
  readonly #path: string
  readonly #jobs = new Map<number, ModelJob>()
  #db!: Database.Database
  #newEvents!: Database.Statement
  #allRows!: Database.Statement
  #lastRowId = 0
  /** The rows after the last command. */
  rows = new Map<number, Row>()
  /** The taken edges, in order: `from event to`. */
  readonly taken: string[] = []
  steps = 0

  constructor(path: string) {
    this.#path = path
  }

  open(): void {
    this.#db = openKept(this.#path, { readonly: true })
    this.#newEvents = this.#db.prepare(`
      SELECT id AS rowId, job_id AS jobId, seq, event, from_state AS "from", to_state AS "to", attempt, at,
        coalesce(error ->> 'name' = 'ProcessEndedError', 0) AS crashed
      FROM job_events WHERE id > ? ORDER BY id`)
    this.#allRows = this.#db.prepare(`
      SELECT id, state, attempt, max_attempts AS maxAttempts, crashes, seq, lease_token AS leaseToken,
        lease_expires_at AS leaseExpiresAt, run_at AS runAt, queue, priority FROM jobs`)
  }

  close(): void {
    this.#db?.close()
  }

  /** The jobs in a state, in the order of their ids. */
  in(...states: JobState[]): Row[] {
    return [...this.rows.values()].filter(({ state }) => states.includes(state))
  }

  /** Whether the machine allows an event of a job now. */
  takes(id: number, type: EventType): boolean {
    const { snapshot } = this.#jobs.get(id)!
    return snapshot.can({ type, delayed: false } as JobEvent)
  }

  /**
   * Reads what has changed, and compares it with the machine. Returns the transitions that somebody requested. It checks those that time
   * causes: nothing is due before its time, and no lease expires before it has run out, unless `recovering`.
   */
  compare(now: number, recovering = false): Transition[] {
    this.steps++
    const events = this.#newEvents.all(this.#lastRowId) as Transition[]
    for (const event of events) this.#take(event, now, recovering)
    this.rows = new Map((this.#allRows.all() as Row[]).map((row) => [row.id, row]))
    for (const row of this.rows.values()) this.#compareRow(row)
    if (this.rows.size !== this.#jobs.size) throw new Error(`${this.rows.size} rows, ${this.#jobs.size} in the model`)
    const byItself = ['due', 'expire', 'unblock']
    return events.filter(({ event }) => !byItself.includes(event))
  }

  #take(event: Transition, now: number, recovering: boolean): void {
    const what = `job ${event.jobId}, seq ${event.seq}, ${event.from} ${event.event} ${event.to}`
    const before = this.rows.get(event.jobId)
    const job = this.#jobs.get(event.jobId) ?? this.#born(event)
    if (event.seq !== job.seq + 1) throw new Error(`${what}: follows seq ${job.seq}`)
    const from = job.snapshot.value
    // Of an amend too: a job that waits for its time.
    const delayed = event.to === 'scheduled' || event.to === 'retrying'
    const crashed = event.crashed === 1
    if (crashed && !recovering) throw new Error(`${what}: its process has not ended`)
    const given = { type: event.event, delayed, crashed, blocked: event.to === 'blocked' } as JobEvent
    const [next] = transition(jobMachine, job.snapshot, given)
    if (next.value !== event.to || (event.from ?? 'new') !== from || !job.snapshot.can(given)) {
      throw new Error(`${what}: the machine goes from ${from} to ${next.value}`)
    }
    if (next.context.attempt !== event.attempt) throw new Error(`${what}: the machine counts ${next.context.attempt}`)
    if (
      event.event === 'expire' &&
      !recovering &&
      before?.leaseToken === job.leaseToken &&
      before!.leaseExpiresAt! > now
    )
      throw new Error(`${what}: its lease runs until ${before!.leaseExpiresAt}, now is ${now}`)
    if (event.event === 'due' && before?.seq === job.seq && before.runAt > now)
      throw new Error(`${what}: it is due at ${before.runAt}, now is ${now}`)
    job.snapshot = next
    job.seq = event.seq
    job.leaseToken = event.event === 'lease' ? event.seq : next.hasTag('held') ? job.leaseToken : null
    this.#lastRowId = event.rowId
    this.taken.push(`${from} ${event.event} ${event.to}`)
  }

  #born({ jobId }: Transition): ModelJob {
    const maxAttempts = this.#db.prepare('SELECT max_attempts FROM jobs WHERE id = ?').pluck().get(jobId) as number
    const snapshot = jobMachine.resolveState({ value: 'new', context: { attempt: 0, maxAttempts, crashes: 0 } })
    const job: ModelJob = { snapshot, seq: 0, leaseToken: null }
    this.#jobs.set(jobId, job)
    return job
  }

  #compareRow(row: Row): void {
    const job = this.#jobs.get(row.id)
    const { value, context } = job?.snapshot ?? {}
    const expected = job && [value, context?.attempt, context?.crashes, job.seq, job.leaseToken]
    const found = [row.state, row.attempt, row.crashes, row.seq, row.leaseToken]
    if (JSON.stringify(expected) === JSON.stringify(found)) return
    throw new Error(`job ${row.id} is ${JSON.stringify(found)}, the machine says ${JSON.stringify(expected)}`)
  }
}
