/** Every error the system raises or a handler may throw. `code` is stable; messages are for people and may change. */

/** One error in an input: `path` names the field as the caller wrote it (`payload.email`, `3.type`), `message` says what it must be. */
export interface InputIssue {
  readonly path: string
  readonly message: string
}

/** Total characters of the issues that one error lists: an input of megabytes could have megabytes of them. */
const issuesLengthMax = 16_384
/** Characters of one path or message, which may quote the input. */
const issueTextMax = 1_000

/** The key under which each class below keeps its name, for all copies of this package in the process. */
const brand = Symbol.for('jobmachine.error')

/**
 * The base of all other errors. For every class of this file, `instanceof` also accepts errors of another copy of the package, another
 * bundle or another realm: it compares a brand.
 */
export class JobSystemError extends Error {
  readonly code: string

  /** Never throws, whatever `value` is. A class of your own that extends one of these is compared by prototype, as usual. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    if (!isObject(value)) return false
    // biome-ignore lint/complexity/noThisInStatic: the class on the right of instanceof, which may be any below
    const { prototype } = this
    const asked = ownBrand(prototype)
    try {
      for (let at: object | null = value; at !== null; at = Object.getPrototypeOf(at)) {
        if (at === prototype || (asked !== undefined && ownBrand(at) === asked)) return true
      }
    } catch {
      // A Proxy whose traps throw is not one of our errors.
    }
    return false
  }

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = new.target.name
    this.code = code
  }
}

/**
 * The call's arguments are wrong; nothing was changed. `issues` lists what is wrong: everything, or the first 100 issues or 16,384
 * characters, each text cut after 1,000 characters.
 */
export class InvalidInputError extends JobSystemError {
  /** The most issues that one error lists. */
  static readonly issuesMax = 100
  readonly issues: readonly InputIssue[]

  constructor(issues: readonly InputIssue[], options?: ErrorOptions, code = 'invalid_input') {
    const kept = firstOf(issues)
    super(code, kept.map(({ path, message }) => (path ? `${path}: ${message}` : message)).join('; '), options)
    this.issues = kept
  }
}

/** The issues that an error keeps. */
function firstOf(issues: readonly InputIssue[]): InputIssue[] {
  const cut = (text: string) => (text.length > issueTextMax ? `${text.slice(0, issueTextMax)}…`.toWellFormed() : text)
  const kept: InputIssue[] = []
  let length = 0
  for (const { path, message } of issues) {
    if (kept.length === InvalidInputError.issuesMax || length > issuesLengthMax) break
    const issue = { path: cut(path), message: cut(message) }
    length += issue.path.length + issue.message.length
    kept.push(issue)
  }
  return kept
}

/**
 * The payload does not match the schema of the job's handler. `enqueue` rejects it; if only the run finds out, the job becomes `dead`. If a
 * handler throws one that it got from enqueuing another job, that is a failure like any other.
 */
export class PayloadError extends InvalidInputError {
  constructor(issues: readonly InputIssue[], options?: ErrorOptions) {
    super(issues, options, 'invalid_payload')
  }
}

/**
 * A handler returned what cannot be kept as the result of its job: it is not JSON, does not match the handler's `result` schema, or is too
 * large. The job becomes `dead`, because another attempt would return the same after the same work.
 */
export class ResultError extends InvalidInputError {
  constructor(issues: readonly InputIssue[], options?: ErrorOptions) {
    super(issues, options, 'invalid_result')
  }
}

/** No handler of this system runs jobs of that type. */
export class UnknownTypeError extends InvalidInputError {
  constructor(type: string, knownTypes: readonly string[], path = 'type') {
    super([UnknownTypeError.issueOf(type, knownTypes, path)], undefined, 'unknown_type')
  }

  static issueOf(type: string, knownTypes: readonly string[], path: string): InputIssue {
    const known = knownTypes.length > 0 ? `known types: ${knownTypes.join(', ')}` : 'no types are known here'
    return { path, message: `no handler for type ${JSON.stringify(type)}; ${known}` }
  }
}

/** No job has that id: it never existed, or retention removed it. */
export class JobNotFoundError extends JobSystemError {
  readonly jobId: number

  constructor(jobId: number) {
    super('job_not_found', `no job has the id ${jobId}`)
    this.jobId = jobId
  }
}

/** A job that was changed often had that payload, and no longer keeps it: of those before the present one it keeps the first and the newest. */
export class PayloadNotKeptError extends JobSystemError {
  readonly jobId: number

  constructor(jobId: number, at: number) {
    super(
      'payload_not_kept',
      `the payload of job ${jobId} after its transition ${at} is no longer kept; the first one and the newest ones are`,
    )
    this.jobId = jobId
  }
}

/** There is no result, because the job is dead. The message has its explanation, `cause` the error of its last attempt. */
export class JobFailedError extends JobSystemError {
  readonly jobId: number

  constructor(jobId: number, explanation: string, options?: ErrorOptions) {
    super('job_failed', `there is no result: ${explanation}`, options)
    this.jobId = jobId
  }
}

/** The job had not ended after `timeoutMs`. It goes on, and its result can be asked for again. */
export class ResultTimeoutError extends JobSystemError {
  readonly jobId: number
  readonly timeoutMs: number

  constructor(jobId: number, timeoutMs: number) {
    super(
      'result_timeout',
      `job ${jobId} has not ended within ${timeoutMs} ms; it goes on, and you can ask for its result again`,
    )
    this.jobId = jobId
    this.timeoutMs = timeoutMs
  }
}

/** The machine does not allow this event in the job's state; nothing was changed. `events` lists those that it allows. */
export class IllegalTransitionError extends JobSystemError {
  readonly jobId: number
  readonly state: string
  readonly events: readonly string[]

  constructor(jobId: number, event: string, state: string, events: readonly string[], why = '') {
    const legal = events.length > 0 ? `it allows ${events.join(', ')}` : 'nothing leaves that state'
    super('illegal_transition', `job ${jobId} is ${state}, which does not allow ${event}${why}; ${legal}`)
    this.jobId = jobId
    this.state = state
    this.events = events
  }
}

/**
 * A bulk action cannot run: it has not finished counting, has already run or was stopped, or `matched` is not the number that it counted.
 * No job was changed.
 */
export class BulkStateError extends JobSystemError {
  readonly phase: string
  readonly matched: number

  constructor(phase: string, matched: number, message: string) {
    super('bulk_state', message)
    this.phase = phase
    this.matched = matched
  }
}

/** No schedule has that name: there was never one, or it ended and retention removed it. */
export class ScheduleNotFoundError extends JobSystemError {
  readonly schedule: string

  constructor(schedule: string) {
    super('schedule_not_found', `no schedule has the name ${JSON.stringify(schedule)}`)
    this.schedule = schedule
  }
}

/** The state of the schedule does not allow this, or the program declares it and users may not change it; nothing was changed. */
export class ScheduleStateError extends JobSystemError {
  readonly schedule: string
  readonly state: string

  constructor(schedule: string, state: string, message: string) {
    super('schedule_state', `the schedule ${schedule} ${message}`)
    this.schedule = schedule
    this.state = state
  }
}

/**
 * The idempotency key was already used with other content: by the job `jobId`, or, if that is null, by an earlier item of the same array.
 * `index` is the position of the conflicting item; null if there is no array.
 */
export class IdempotencyConflictError extends JobSystemError {
  readonly jobId: number | null
  readonly index: number | null

  constructor(jobId: number | null, index: number | null = null) {
    const owner = jobId === null ? 'by an earlier item of the array' : `for job ${jobId}`
    super('idempotency_conflict', `the idempotency key was used ${owner} with other content`)
    this.jobId = jobId
    this.index = index
  }
}

/**
 * A unique key is held: by the job `jobId`, or, if that is null, by an earlier item of the same array. `index` is the position of the item
 * that asked for it; null if there is no array. Nothing was stored or changed.
 */
export class UniqueConflictError extends JobSystemError {
  readonly jobId: number | null
  readonly index: number | null

  constructor(message: string, jobId: number | null, index: number | null = null) {
    super('unique_conflict', message)
    this.jobId = jobId
    this.index = index
  }
}

/** A limit of this system is reached; nothing was stored. Try again after `retryAfterMs`. */
export class BackpressureError extends JobSystemError {
  readonly retryAfterMs: number

  constructor(message: string, retryAfterMs: number) {
    super('backpressure', message)
    this.retryAfterMs = retryAfterMs
  }
}

/**
 * The system cannot commit now: it is starting, draining or stopped, another process holds the file, or its storage is broken. Nothing was
 * stored.
 */
export class UnavailableError extends JobSystemError {
  readonly retryAfterMs: number

  constructor(message: string, options?: ErrorOptions & { retryAfterMs?: number }) {
    super('unavailable', message, options)
    this.retryAfterMs = options?.retryAfterMs ?? 1_000
  }
}

/**
 * The store failed before it answered: its disk failed, or one of its files was lost. Unlike with every other error of this file, the call
 * may or may not have been stored. Once a server runs again, repeat the call with the same idempotency key; without a key, first check
 * whether the job exists. `cause` is the error that `onFatal` gets.
 */
export class OutcomeUnknownError extends JobSystemError {
  constructor(cause: Error) {
    super(
      'outcome_unknown',
      `the store failed before it answered, so this call may or may not have been stored: ${cause.message.split('\n')[0]}. When a server runs again, repeat the call with the same idempotency key; without a key, first check whether the job exists`,
      { cause },
    )
  }
}

/** The disk, or the quota of the database, is full; nothing was stored. Calls work again once there is space. */
export class StorageFullError extends JobSystemError {
  constructor(options?: ErrorOptions) {
    super('storage_full', 'the disk that holds the database is full', options)
  }
}

/** Another running server holds the database, or this process already has it open: the message says where, and how to share it. */
export class DatabaseLockedError extends JobSystemError {
  /** The holder's process id; null if unknown. */
  readonly pid: number | null

  constructor(database: string, holder: DatabaseHolder | null) {
    super('database_locked', `${database} is ${describeHolder(holder)}`)
    this.pid = holder?.pid ?? null
  }
}

/**
 * Who has a database open. `how`: a system of this process, of this copy of the package, of another copy or bundle, or in another thread;
 * `where` in the code and when it was created; null if unknown. `file`: the locked file; process `pid` (null if unknown) holds the lock,
 * and is not the last server, which was process `endedPid`.
 */
export type DatabaseHolder =
  | { readonly pid: number; readonly host: string; readonly startedAt: string }
  | {
      readonly pid: number
      readonly startedAt: string | null
      readonly where: string | null
      readonly how: 'system' | 'copy' | 'thread'
    }
  | { readonly pid: number | null; readonly file: string; readonly endedPid: number }

function describeHolder(holder: DatabaseHolder | null): string {
  if (holder === null) return 'served by another process; only one server can run on a file'
  if ('how' in holder) return describeOwn(holder)
  if ('file' in holder) return describeLocker(holder)
  const { pid, host, startedAt } = holder
  return `served by process ${pid} on ${host}, since ${startedAt}; only one server can run on a file`
}

type OpenedHere = Extract<DatabaseHolder, { how: unknown }>

const waysToShare: Readonly<Record<OpenedHere['how'], string>> = {
  system:
    'Create the system once and share it: export it from one module, or, where modules are loaded more than once (hot reload, Next.js), keep it with the process: globalThis.jobs ??= createJobSystem({ … })',
  copy: 'Two copies would drop the locks of each other. Keep one copy (npm ls jobmachine better-sqlite3; do not bundle them, as with serverExternalPackages in Next.js), and share one system: globalThis.jobs ??= createJobSystem({ … })',
  thread:
    'Create the system in one thread, and send the others what they need by messages; a producer may be in any thread',
}

function describeOwn({ pid, startedAt, where, how }: OpenedHere): string {
  const by = {
    system: '',
    copy: ', by another copy or bundle of jobmachine or better-sqlite3',
    thread: ', by another thread',
  }
  const since = startedAt === null ? '' : `, since ${startedAt}`
  const place = where === null ? '' : `, created at ${where}`
  return `already open in this process (${pid})${by[how]}${since}${place}. ${waysToShare[how]}`
}

function describeLocker({ pid, file, endedPid }: Extract<DatabaseHolder, { file: string }>): string {
  const who = pid === null ? 'a process' : `process ${pid}`
  const find =
    pid === null ? `fuser ${file} (as root), or the file's inode in /proc/locks, shows which` : `see ps -fp ${pid}`
  return `locked: ${who} has a lock on ${file}, and it is not the last server of this database (process ${endedPid}, which has ended). It is a server that is starting, or a program that has opened that file; ${find}. chmod 600 ${file} prevents other users from locking it`
}

/** The database cannot be used as it is: newer than this program, damaged, foreign or read-only. The message says what to do. */
export class DatabaseUnusableError extends JobSystemError {
  constructor(message: string, options?: ErrorOptions, code = 'database_unusable') {
    super(code, message, options)
  }
}

/**
 * One of the database files was removed, replaced or truncated while it was open, or this process lost its lock on one. Nothing was
 * acknowledged after that; open calls are rejected with `OutcomeUnknownError`. The message says which file, what happened and what to do.
 */
export class DatabaseLostError extends JobSystemError {
  constructor(message: string, options?: ErrorOptions) {
    super('database_lost', message, options)
  }
}

/**
 * Acknowledged jobs are missing, or may be: the log is missing, or the file is an older copy. Nothing was changed. To start without what is
 * missing, once, pass `acceptance` as `acceptLoss`.
 */
export class LostJobsError extends DatabaseUnusableError {
  /** The least number of missing transitions; null if unknown. */
  readonly missing: number | null
  readonly acceptance: string
  readonly fault: string

  /** `fault`: what is missing of which file. */
  constructor(fault: string, missing: number | null, acceptance: string, options?: ErrorOptions) {
    super(
      `${fault}. Put back the files that belong together, or restore a backup. If this is a restored backup, or there is none, start once without what is missing: --accept-loss ${acceptance} (acceptLoss of createJobSystem)`,
      options,
      'jobs_lost',
    )
    this.fault = fault
    this.missing = missing
    this.acceptance = acceptance
  }
}

/** Settings that do not parse: one line for each, with its name, its value and what it must be. */
export class ConfigError extends JobSystemError {
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    super('invalid_config', problems.join('\n'))
    this.problems = problems
  }
}

// Thrown by handlers.

/** Thrown by a handler: no retry can help; the job becomes `dead` at once, even if attempts remain. */
export class PermanentError extends JobSystemError {
  constructor(message: string, options?: ErrorOptions) {
    super('permanent', message, options)
  }
}

/**
 * Thrown by a handler: the attempt failed; the next one, if any remain, starts no sooner than `delayMs` from now. If `delayMs` is not a
 * number, the backoff is used.
 */
export class RetryAfterError extends JobSystemError {
  readonly delayMs: number

  constructor(delayMs: number, message = `to be retried after ${delayMs} ms`, options?: ErrorOptions) {
    super('retry_after', message, options)
    this.delayMs = delayMs
  }
}

/**
 * Thrown by a handler: run the job later. It is scheduled for `delayMs` from now, and this attempt does not count. The least delay is 1 s,
 * or 1 ms for each transition of the job if that is longer, so that a job that snoozes forever slows down. A negative delay counts as 0,
 * one of more than 100 years as 100 years, and if it is not a number the backoff is used. Each correction is recorded in the history, as
 * the error of that snooze. `reason` is kept with it.
 */
export class SnoozeError extends JobSystemError {
  readonly delayMs: number
  /** Why, in the handler's words; at most 1,000 characters of it are kept. */
  readonly reason: string | undefined

  constructor(delayMs: number, reason?: string, options?: ErrorOptions) {
    super('snooze', reason ?? `snoozed for ${delayMs} ms`, options)
    this.delayMs = delayMs
    this.reason = reason
  }
}

// The reason of a running handler's AbortSignal.

/**
 * The attempt took longer than its timeout. `stoodStillMs`: for how long the event loop was blocked meanwhile, so that no input was read; 0
 * if that was no longer than half a second.
 */
export class AttemptTimeoutError extends JobSystemError {
  readonly timeoutMs: number
  readonly stoodStillMs: number

  constructor(timeoutMs: number, stoodStillMs = 0) {
    const blocked = `; the event loop was blocked for ${(stoodStillMs / 1_000).toFixed(1)} s meanwhile, by this or another handler`
    super(
      'attempt_timeout',
      `the attempt took longer than its timeout of ${timeoutMs} ms${stoodStillMs > 0 ? blocked : ''}`,
    )
    this.timeoutMs = timeoutMs
    this.stoodStillMs = stoodStillMs
  }
}

/** This worker has lost its lease; what the handler returns will not be recorded. */
export class LeaseLostError extends JobSystemError {
  constructor(options?: ErrorOptions) {
    super('lease_lost', 'the lease of this attempt was lost, so it cannot record a result', options)
  }
}

/** The job was cancelled: while it ran, or while somebody waited for its result (`jobId`). */
export class JobCancelledError extends JobSystemError {
  readonly jobId: number | undefined

  constructor(jobId?: number) {
    super(
      'job_cancelled',
      jobId === undefined ? 'the job was cancelled' : `there is no result: job ${jobId} was cancelled`,
    )
    this.jobId = jobId
  }
}

/** The process is shutting down and the grace period is over; the job will run again. */
export class ShutdownError extends JobSystemError {
  constructor() {
    super('shutdown', 'the process is shutting down; the job will run again')
  }
}

/** Names given explicitly, since a minifier may rename the classes. */
const branded = {
  JobSystemError,
  InvalidInputError,
  PayloadError,
  ResultError,
  UnknownTypeError,
  JobNotFoundError,
  PayloadNotKeptError,
  JobFailedError,
  ResultTimeoutError,
  IllegalTransitionError,
  BulkStateError,
  ScheduleNotFoundError,
  ScheduleStateError,
  IdempotencyConflictError,
  UniqueConflictError,
  BackpressureError,
  UnavailableError,
  OutcomeUnknownError,
  StorageFullError,
  DatabaseLockedError,
  DatabaseUnusableError,
  DatabaseLostError,
  LostJobsError,
  ConfigError,
  PermanentError,
  RetryAfterError,
  SnoozeError,
  AttemptTimeoutError,
  LeaseLostError,
  JobCancelledError,
  ShutdownError,
}
for (const [name, kind] of Object.entries(branded)) {
  Object.defineProperty(kind, 'name', { value: name })
  Object.defineProperty(kind.prototype, brand, { value: name })
}

function ownBrand(value: object): unknown {
  return Object.hasOwn(value, brand) ? (value as { [brand]?: unknown })[brand] : undefined
}

function isObject(value: unknown): value is object {
  return (typeof value === 'object' && value !== null) || typeof value === 'function'
}
