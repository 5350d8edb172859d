import { snakeCase, storedNames } from '../../job/fields.ts'
import type { JobRow } from '../../job/row.ts'
import { causes } from '../../machines/cause.ts'
import { initialJob, type ReplayEvent, type ReplayState, replay } from '../../machines/replay.ts'
import { unreadableColumns } from '../valid-rows.ts'
import { Checks } from '../verify-checks.ts'
import { changesIn } from '../versions.ts'

/** The columns of `jobs` that both stores have; those of a lease's holder and of its end are each store's own. */
export const rowNames = [
  'id',
  'state',
  'seq',
  'attempt',
  'maxAttempts',
  'crashes',
  'leaseToken',
  'runAt',
  'createdAt',
  'startedAt',
  'finishedAt',
  'parked',
  'idempotencyKey',
  'content',
  'error',
  ...storedNames,
] as const
export const rowColumns = rowNames.map((name) => `jobs.${snakeCase(name)} AS "${name}"`).join(', ')

type Row = Omit<Pick<JobRow, Extract<(typeof rowNames)[number], keyof JobRow>>, 'error'> &
  Pick<ReplayState, 'seq' | 'leaseToken'> & {
    readonly parked: number
    readonly content: string | null
    /** JSON. */
    readonly error: string | null
  }

/** The columns of a transition; `error` and `cause` are JSON. */
export const eventNames = ['id', 'seq', 'event', 'from', 'to', 'attempt', 'at', 'error', 'cause'] as const

export interface CopiedEvent extends ReplayEvent {
  readonly id: number
  readonly error: string | null
  readonly cause: string | null
}

/** What a job was until its transition `seq`; null: that did not change. */
interface Version {
  readonly seq: number
  readonly priority: number | null
  readonly maxAttempts: number | null
  readonly payload: string | null
}

export const versionColumns = 'seq, priority, max_attempts AS "maxAttempts", payload'

const traceNames = ['traceparent', 'tracestate', 'lastAttempt'] as const
type Trace = Readonly<Record<(typeof traceNames)[number], string | null>>

/** The columns of what handlers have reported; the same names in both databases. */
export const progressNames = ['value', 'attempt', 'at'] as const
export const lineNames = ['n', 'attempt', 'at', 'bytes', 'level', 'message', 'fields'] as const
type Named<Name extends string> = Readonly<Record<Name, string | number | null>>

/** A row as both databases have it, by its columns. */
export type PlainRow = Readonly<Record<string, string | number | null>>

/** The schedules of a file, and the page of their events after one. */
export interface ScheduleRows {
  readonly schedules: readonly PlainRow[]
  eventsAfter(scheduleId: number, seq: number): readonly PlainRow[]
}

/** A job with all that is stored of it, except how often its key was used again. */
export interface WholeJob {
  readonly row: Row
  /** Null only if it is missing. */
  readonly payload: string | null
  readonly trace: Trace | null
  readonly progress: Named<(typeof progressNames)[number]> | null
  /** Its log, oldest first. */
  readonly lines: readonly Named<(typeof lineNames)[number]>[]
  /** What it was before it was changed, oldest first. */
  readonly versions: readonly Version[]
  /** JSON; null if there is none. */
  readonly result: string | null
  /** Oldest first; those after a `seq` that the reader has named. */
  readonly events: readonly CopiedEvent[]
}

/** What a copy has of a job already: it leads to the rest of its history. */
export type KnownRow = Row

/** What is wrong with a job, by its own history; null if nothing is. `known`: the row to which the transitions before `events` lead. */
export function problemOf(
  { row, payload, versions, result, events }: WholeJob,
  known: KnownRow | undefined,
): string | null {
  const unreadable = unreadableColumns({ ...row, error: null })
  if (unreadable) return unreadable
  const faults: string[] = []
  const payloads = (seq: number) => versions.filter((each) => each.payload !== null && each.seq <= seq).length
  const first = versions.find(({ maxAttempts }) => maxAttempts !== null)?.maxAttempts ?? row.maxAttempts
  let end: ReplayState = known ? { ...known, payloads: payloads(known.seq) } : initialJob(first)
  for (const event of events) {
    if (!isCause(event.cause)) faults.push(`seq ${event.seq} has a cause that cannot be read`)
    end = replay(end, { ...event, ...changesIn(event.cause) }, (fault) => faults.push(fault))
  }
  const checks = new Checks()
  const isValid = (text: string | null) => (text === null ? null : isJson(text))
  const texts = { payloadIsValid: isValid(payload), resultIsValid: isValid(result) }
  checks.checkRow({ ...row, payloads: payloads(row.seq), ...texts }, end)
  return [...faults, ...checks.report().violations.map(({ message }) => message)][0] ?? null
}

/** In what two copies of a job differ; null if they are the same. */
export function differenceOf(one: WholeJob, other: WholeJob): string | null {
  // Whether a job was set aside may change without a transition, and is found out anew.
  const name = rowNames.find((name) => name !== 'parked' && one.row[name] !== other.row[name])
  if (name) return `${snakeCase(name)} is ${one.row[name]} here and ${other.row[name]} there`
  if (one.payload !== other.payload) return 'the payloads differ'
  if (JSON.stringify(one.versions.map(Object.values)) !== JSON.stringify(other.versions.map(Object.values)))
    return 'the earlier payloads differ'
  if (one.result !== other.result) return 'the results differ'
  if (traceNames.some((name) => (one.trace?.[name] ?? null) !== (other.trace?.[name] ?? null)))
    return 'the traces differ'
  if (progressNames.some((name) => one.progress?.[name] !== other.progress?.[name])) return 'the progress differs'
  const linesOf = ({ lines }: WholeJob) => JSON.stringify(lines.map((line) => lineNames.map((name) => line[name])))
  if (linesOf(one) !== linesOf(other)) return 'the logs differ'
  if (one.events.length !== other.events.length)
    return `there are ${one.events.length} transitions here and ${other.events.length} there`
  const at = one.events.findIndex((event, index) =>
    eventNames.some((name) => event[name] !== other.events[index]![name]),
  )
  return at === -1 ? null : `the transitions with seq ${one.events[at]!.seq} differ`
}

function isCause(text: string | null): boolean {
  try {
    return text === null || Object.hasOwn(causes, JSON.parse(text).cause)
  } catch {
    return false
  }
}

function isJson(text: string): boolean {
  try {
    return JSON.parse(text) !== undefined
  } catch {
    return false
  }
}
