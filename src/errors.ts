/** Every error the system raises or a handler may throw. `code` is stable; messages are for people and may change. */

/** One fault of an input: `path` names the field as the caller wrote it (`payload.email`, `3.type`), `message` what it takes. */
export interface InputIssue {
  readonly path: string
  readonly message: string
}

/** Characters of the faults that one error tells of, in all: an input of megabytes may have as many. */
const issuesLengthMax = 16_384
/** Characters of one text of a fault, which may quote what the caller gave. */
const issueTextMax = 1_000

/** The key under which each class below keeps its name, for all copies of this package in the process. */
const brand = Symbol.for('jobmachine.error')

/**
 * The base of all others. For it and every class of this file `instanceof` goes by a brand, not by the class alone: an error of another
 * copy of the package, of another bundle or of another realm counts too.
 */
export class JobSystemError extends Error {
  readonly code: string

  /** Never throws, whatever `value` is. A class of your own that extends one of these is told as usual, by its prototype. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    if (!isObject(value)) return false
    // biome-ignore lint/complexity/noThisInStatic: the class that was asked for, which may be any below
    const { prototype } = this
    const asked = ownBrand(prototype)
    try {
      for (let at: object | null = value; at !== null; at = Object.getPrototypeOf(at)) {
        if (at === prototype || (asked !== undefined && ownBrand(at) === asked)) return true
      }
    } catch {
      // A Proxy that refuses to be looked at is no error of ours.
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
 * The call's arguments are wrong; nothing was changed. `issues` lists the faults found: all of them, or the first 100 or 16,384 characters'
 * worth, each text cut after 1,000.
 */
export class InvalidInputError extends JobSystemError {
  /** Faults that one error tells of. */
  static readonly issuesMax = 100
  readonly issues: readonly InputIssue[]

  constructor(issues: readonly InputIssue[], options?: ErrorOptions, code = 'invalid_input') {
    const kept = firstOf(issues)
    super(code, kept.map(({ path, message }) => (path ? `${path}: ${message}` : message)).join('; '), options)
    this.issues = kept
  }
}

/** Those that an error keeps. */
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
 * The payload is not what the job's handler takes: refused at enqueue; found only at run, the job goes to `dead`. One that a handler lets
 * out, of a job that it tried to enqueue, is a failure like any other.
 */
export class PayloadError extends InvalidInputError {
  constructor(issues: readonly InputIssue[], options?: ErrorOptions) {
    super(issues, options, 'invalid_payload')
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

/** The machine takes no such event in the job's state; nothing was changed. `events` are those that it does take. */
export class IllegalTransitionError extends JobSystemError {
  readonly jobId: number
  readonly state: string
  readonly events: readonly string[]

  constructor(jobId: number, event: string, state: string, events: readonly string[]) {
    const legal = events.length > 0 ? `it allows ${events.join(', ')}` : 'nothing leaves that state'
    super('illegal_transition', `job ${jobId} is ${state}, which does not allow ${event}; ${legal}`)
    this.jobId = jobId
    this.state = state
    this.events = events
  }
}

/**
 * A command over many jobs cannot run: it is not counted yet, has run or was stopped, or the count that was confirmed is not what it
 * matched. Nothing was moved.
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

/**
 * The idempotency key belongs to a job with other content: `jobId`, null where it is an earlier item of the same array. `index` is the
 * item that asked, null where there is no array.
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

/** A bound of ours is reached; nothing was stored. Try again after `retryAfterMs`. */
export class BackpressureError extends JobSystemError {
  readonly retryAfterMs: number

  constructor(message: string, retryAfterMs: number) {
    super('backpressure', message)
    this.retryAfterMs = retryAfterMs
  }
}

/** The system cannot commit now: it is starting, draining, stopped, locked out or its storage is broken. Nothing was stored. */
export class UnavailableError extends JobSystemError {
  readonly retryAfterMs: number

  constructor(message: string, options?: ErrorOptions & { retryAfterMs?: number }) {
    super('unavailable', message, options)
    this.retryAfterMs = options?.retryAfterMs ?? 1_000
  }
}

/**
 * The store ended by itself before it had answered: its disk failed, or a file of it was lost. Whether the call was stored is not known, unlike
 * with every other error of this file. Once a server runs again, repeat the call with the same idempotency key; without one, look whether the
 * job is there. `cause` is what `onFatal` is told.
 */
export class OutcomeUnknownError extends JobSystemError {
  constructor(cause: Error) {
    super(
      'outcome_unknown',
      `the store ended before it answered, so whether this call was stored is not known: ${cause.message.split('\n')[0]}. When a server runs again, repeat the call with the same idempotency key; without a key, look first whether the job is there`,
      { cause },
    )
  }
}

/** The disk, or the size allowed to the database, is full; nothing was stored. It works again when there is space. */
export class StorageFullError extends JobSystemError {
  constructor(options?: ErrorOptions) {
    super('storage_full', 'the disk that holds the database is full', options)
  }
}

/** Another live server holds the database; or this process has it open through another copy of the package. */
export class DatabaseLockedError extends JobSystemError {
  /** The holder's process id; null where it is not known. */
  readonly pid: number | null

  constructor(database: string, holder: DatabaseHolder | null) {
    super('database_locked', `${database} is ${describeHolder(holder)}`)
    this.pid = holder?.pid ?? null
  }
}

/**
 * Who has a database open: `here`, this process itself. `file`: what is locked, by the process `pid` or, where that is null, by some other; it is
 * not the last server, which was process `endedPid`.
 */
export type DatabaseHolder =
  | { readonly pid: number; readonly host: string; readonly startedAt: string; readonly here: boolean }
  | { readonly pid: number; readonly byOtherCopy: true }
  | { readonly pid: number | null; readonly file: string; readonly endedPid: number }

function describeHolder(holder: DatabaseHolder | null): string {
  if (holder === null) return 'served by another process; one server may run on a file'
  if ('byOtherCopy' in holder) {
    return `open in this process (${holder.pid}) already, through another copy of jobmachine or another bundle of it; have one copy in the process, make the system once and share it`
  }
  if ('file' in holder) return describeLocker(holder)
  const { pid, host, startedAt, here } = holder
  if (here)
    return `served by this process (${pid}) already, since ${startedAt}; make the system once and share it: one server may run on a file`
  return `served by process ${pid} on ${host}, since ${startedAt}; one server may run on a file`
}

function describeLocker({ pid, file, endedPid }: Extract<DatabaseHolder, { file: string }>): string {
  const who = pid === null ? 'a process' : `process ${pid}`
  const find =
    pid === null ? `fuser ${file} (as root), or the file's inode in /proc/locks, tells which` : `see ps -fp ${pid}`
  return `not free: ${who} has a lock on ${file}, and is not the server that wrote its name into the database last (process ${endedPid}, which has ended). It is a server that is just starting, or a program that has opened that file; ${find}. chmod 600 ${file} keeps other users from locking it`
}

/** The database cannot be used as it is: newer than this program, damaged, foreign or read-only. The message says what to do. */
export class DatabaseUnusableError extends JobSystemError {
  constructor(message: string, options?: ErrorOptions, code = 'database_unusable') {
    super(code, message, options)
  }
}

/**
 * While the database was open one of its files was removed, replaced or cut, or this process lost its lock on one. Nothing was acknowledged
 * after that; the calls under way are rejected with `OutcomeUnknownError`. The message names the file, what happened and what to do.
 */
export class DatabaseLostError extends JobSystemError {
  constructor(message: string, options?: ErrorOptions) {
    super('database_lost', message, options)
  }
}

/**
 * The file has less than was acknowledged, or whether it has all cannot be told: its log, or an older copy, is in the wrong place. Nothing was
 * changed. To go on without what is missing, once, give `acceptance` as `acceptLoss`.
 */
export class LostJobsError extends DatabaseUnusableError {
  /** Transitions that are missing at least; null where that is not known. */
  readonly missing: number | null
  readonly acceptance: string
  readonly fault: string

  /** `fault`: what is missing of which file. */
  constructor(fault: string, missing: number | null, acceptance: string, options?: ErrorOptions) {
    super(
      `${fault}. Put back the files that belong together, or restore a backup. If this is a restored backup, or there is none, go on without what is missing, this once, with --accept-loss ${acceptance} (acceptLoss of createJobSystem)`,
      options,
      'jobs_lost',
    )
    this.fault = fault
    this.missing = missing
    this.acceptance = acceptance
  }
}

/** Settings that do not parse, each with its name, what it got and what it takes. */
export class ConfigError extends JobSystemError {
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    super('invalid_config', problems.join('\n'))
    this.problems = problems
  }
}

// Thrown by handlers.

/** Thrown by a handler: no retry can mend this; the job goes to `dead` at once, whatever attempts remain. */
export class PermanentError extends JobSystemError {
  constructor(message: string, options?: ErrorOptions) {
    super('permanent', message, options)
  }
}

/**
 * Thrown by a handler: the attempt failed; the next one, if any remain, starts no sooner than `delayMs` from now, or after the backoff where
 * that is no number.
 */
export class RetryAfterError extends JobSystemError {
  readonly delayMs: number

  constructor(delayMs: number, message = `to be retried after ${delayMs} ms`, options?: ErrorOptions) {
    super('retry_after', message, options)
    this.delayMs = delayMs
  }
}

/**
 * Thrown by a handler: not now; the job is scheduled `delayMs` from now and this attempt does not count. It waits for 1 s at least, and for
 * 1 ms for each transition that it has made: one that is snoozed without end slows down. Below 0 counts as 0, above 100 years as that; where
 * it is no number the backoff stands in. Each of these stands in the history, as the error of that snooze.
 */
export class SnoozeError extends JobSystemError {
  readonly delayMs: number

  constructor(delayMs: number) {
    super('snooze', `snoozed for ${delayMs} ms`)
    this.delayMs = delayMs
  }
}

// The reason of a running handler's AbortSignal.

/**
 * The attempt took longer than its timeout. `stoodStillMs`: for how long the event loop stood still meanwhile, so that nothing that had come
 * was read; 0 where that was no longer than half a second.
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

/** The lease went to someone else; what this handler returns will be refused. */
export class LeaseLostError extends JobSystemError {
  constructor() {
    super('lease_lost', 'the lease of this attempt was lost, so it cannot record a result')
  }
}

/** The job was cancelled while it ran. */
export class JobCancelledError extends JobSystemError {
  constructor() {
    super('job_cancelled', 'the job was cancelled')
  }
}

/** The process is shutting down and its grace has ended; the job will run again. */
export class ShutdownError extends JobSystemError {
  constructor() {
    super('shutdown', 'the process is shutting down; the job will run again')
  }
}

/** A table, so that the names stand however a minifier calls the classes. */
const branded = {
  JobSystemError,
  InvalidInputError,
  PayloadError,
  UnknownTypeError,
  JobNotFoundError,
  IllegalTransitionError,
  BulkStateError,
  IdempotencyConflictError,
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
