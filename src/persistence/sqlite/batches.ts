import { type StoredName, storedNames } from '../../job/fields.ts'
import type { NewJobRow } from '../store.ts'

/** What the first job of a batch has; the others have it too, except for the fields named in `differing`. */
type Common = Omit<NewJobRow, 'payload' | 'idempotency' | 'unique' | 'trace'>

/** A field in which jobs of one batch may differ: the others decide their state, and the cause of their events. */
export type Differing = StoredName | 'maxAttempts'

const mayDiffer: readonly Differing[] = [...storedNames, 'maxAttempts']

/** Characters of a payload, on average, up to which they are packed into one text. */
const shortMax = 4_096

/** Consecutive new jobs, packed so that they can be sent and stored as one. */
export interface Batch extends Common {
  readonly count: number
  /** Their payloads' JSON texts: as a JSON array if they are several short ones, which is faster, and else each by itself. */
  readonly payloads: string | readonly string[]
  /** The fields that are not the same in all of them. */
  readonly differing: readonly Differing[]
  /** Their idempotency keys, as a JSON array; null if none has one. */
  readonly keys: string | null
  /** The `unique` of each job, as a JSON array, with null for a job without it; null if none has it. */
  readonly uniques: string | null
  /** They wait for the holders of their unique keys. */
  readonly isBlocked: boolean
  /** The cause of each job, as a JSON array; null if all have the same. */
  readonly causes: string | null
  /**
   * What each job has in these fields, and then its key and content if any has a key, as a JSON array of arrays; null if that is nothing.
   */
  readonly rows: string | null
  /**
   * The `traceparent` and `tracestate` of each job, as a JSON array of pairs, with null for a job without a trace; null if none has one.
   */
  readonly traces: string | null
}

type TracePair = readonly [traceparent: string, tracestate: string | null] | null

type WithoutPayload = Omit<NewJobRow, 'payload'>

/** A batch to which jobs are added; their payloads are gathered beside it. */
interface Gathered {
  /** Of the first job. */
  readonly common: Common
  /** What the first job has in `mayDiffer`. */
  readonly firstValues: readonly unknown[]
  readonly jobs: WithoutPayload[]
  /** By the index of `mayDiffer`. */
  readonly differs: boolean[]
  readonly keys: string[]
  readonly isBlocked: boolean
  /** Whether the jobs have different causes. */
  hasCauses: boolean
  isUnique: boolean
  isTraced: boolean
}

/**
 * Combines consecutive jobs that share the time at which they may run, and whether they wait for others, and all their cause or each none
 * with the job before it.
 */
export function intoBatches(jobs: Iterable<NewJobRow>): Batch[] {
  const batches: Gathered[] = []
  const payloads: string[][] = []
  let batch: Gathered | undefined
  for (const job of jobs) {
    if (!batch || !belongsTo(batch, job)) {
      const { payload: _, idempotency: __, unique: ___, trace: ____, ...common } = job
      batch = begin(common, job.unique?.behind !== undefined)
      batches.push(batch)
      payloads.push([])
    }
    add(batch, job)
    payloads.at(-1)!.push(job.payload)
  }
  return batches.map((each, index) => packed(each, payloads[index]!))
}

function packedPayloads(payloads: readonly string[]): Batch['payloads'] {
  const areLong = lengthOf(payloads) > payloads.length * shortMax
  return areLong || payloads.length === 1 ? payloads : JSON.stringify(payloads)
}

function lengthOf(texts: readonly string[]): number {
  let length = 0
  for (const text of texts) length += text.length
  return length
}

/** Characters of the payloads in all batches, or somewhat more. */
export function lengthBatched(batches: readonly Batch[]): number {
  let length = 0
  for (const { payloads } of batches) length += typeof payloads === 'string' ? payloads.length : lengthOf(payloads)
  return length
}

function begin(common: Common, isBlocked: boolean): Gathered {
  const firstValues = mayDiffer.map((name) => common[name])
  return {
    common,
    firstValues,
    jobs: [],
    differs: firstValues.map(() => false),
    keys: [],
    isBlocked,
    hasCauses: false,
    isUnique: false,
    isTraced: false,
  }
}

function belongsTo({ common, isBlocked, hasCauses, jobs }: Gathered, job: WithoutPayload): boolean {
  // Jobs with one cause share a row of the history, others need a row each.
  const isCaused = jobs.at(-1)!.cause === job.cause ? !hasCauses : hasCauses || jobs.length === 1
  const isSame = common.runAt === job.runAt && common.delayMs === job.delayMs && isCaused
  // Unique keys are those of one type.
  const isOfType = job.unique === null || common.type === job.type
  return isSame && isOfType && isBlocked === (job.unique?.behind !== undefined)
}

/** The fields of the first job are not read by name for each of the others: a name in a variable costs 10 ns. */
function add(batch: Gathered, job: WithoutPayload): void {
  const { firstValues, differs } = batch
  batch.jobs.push(job)
  for (let index = 0; index < firstValues.length; index++)
    if (job[mayDiffer[index]!] !== firstValues[index]) differs[index] = true
  if (job.cause !== batch.common.cause) batch.hasCauses = true
  if (job.idempotency) batch.keys.push(job.idempotency.key)
  if (job.unique) batch.isUnique = true
  if (job.trace) batch.isTraced = true
}

function packed(
  { common, jobs, differs, keys, isBlocked, hasCauses, isUnique, isTraced }: Gathered,
  payloads: readonly string[],
): Batch {
  const differing = mayDiffer.filter((_name, index) => differs[index])
  const isKeyed = keys.length > 0
  const hasRows = differing.length > 0 || isKeyed
  return {
    count: jobs.length,
    payloads: packedPayloads(payloads),
    differing,
    keys: isKeyed ? JSON.stringify(keys) : null,
    rows: hasRows ? JSON.stringify(jobs.map((job) => rowOf(job, differing, isKeyed))) : null,
    isBlocked,
    causes: hasCauses ? JSON.stringify(jobs.map(({ cause }) => cause)) : null,
    uniques: isUnique ? JSON.stringify(jobs.map(({ unique }) => unique)) : null,
    traces: isTraced ? JSON.stringify(jobs.map(({ trace }) => trace && [trace.traceparent, trace.tracestate])) : null,
    // Spread last: V8 (Node 20) makes a new shape for each property that comes after a spread, 9 µs a message.
    ...common,
  }
}

function rowOf(job: WithoutPayload, differing: readonly Differing[], isKeyed: boolean): unknown[] {
  const row: unknown[] = differing.map((name) => job[name])
  if (isKeyed) row.push(job.idempotency?.key ?? null, job.idempotency?.content ?? null)
  if (job.idempotency?.replaceDead) row.push(true)
  return row
}

/** The number of jobs in all batches. */
export function countBatched(batches: readonly Batch[]): number {
  return batches.reduce((sum, { count }) => sum + count, 0)
}

/** The jobs of each call again. `counts` has the number of jobs of each call; null means one each. */
export function fromBatches(batches: readonly Batch[], counts: readonly number[] | null): NewJobRow[][] {
  const jobs = batches.flatMap(
    ({ count: _, payloads, differing, keys, uniques, isBlocked: __, causes, rows, traces, ...common }) => {
      const values = rows === null ? null : (JSON.parse(rows) as unknown[][])
      const reasons = causes === null ? null : (JSON.parse(causes) as NewJobRow['cause'][])
      const terms = uniques === null ? null : (JSON.parse(uniques) as NewJobRow['unique'][])
      const contexts = traces === null ? null : (JSON.parse(traces) as TracePair[])
      const texts = typeof payloads === 'string' ? (JSON.parse(payloads) as string[]) : payloads
      return texts.map((payload, index): NewJobRow => {
        const row = values?.[index] ?? []
        const [key, content, replaceDead] =
          keys === null ? [null] : (row.slice(differing.length) as [string | null, string, true?])
        const context = contexts?.[index]
        return {
          ...common,
          payload,
          cause: reasons ? reasons[index]! : common.cause,
          ...Object.fromEntries(differing.map((name, at) => [name, row[at]])),
          idempotency: key === null ? null : { key, content: content!, ...(replaceDead && { replaceDead }) },
          unique: terms?.[index] ?? null,
          trace: context ? { traceparent: context[0], tracestate: context[1] } : null,
        }
      })
    },
  )
  if (counts === null) return jobs.map((job) => [job])
  let next = 0
  return counts.map((count) => {
    next += count
    return jobs.slice(next - count, next)
  })
}
