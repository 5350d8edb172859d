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
  readonly jobs: WithoutPayload[]
  readonly isBlocked: boolean
  /** What the first job has in `mayDiffer`; null while it is alone. */
  firstValues: readonly unknown[] | null
  /** By the index of `mayDiffer`; null if no job differs from the first. */
  differs: boolean[] | null
  /** Whether the jobs have different causes. */
  hasCauses: boolean
  /** Whether any has a key, of either kind, or a trace. */
  isSpecial: boolean
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
    if (batch && belongsTo(batch, job)) {
      add(batch, job)
      payloads.at(-1)!.push(job.payload)
    } else {
      const { payload, idempotency: _, unique: __, trace: ___, ...common } = job
      batch = begin(common, job)
      batches.push(batch)
      payloads.push([payload])
    }
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

function begin(common: Common, job: WithoutPayload): Gathered {
  const isBlocked = job.unique?.behind !== undefined
  return {
    common,
    jobs: [job],
    isBlocked,
    firstValues: null,
    differs: null,
    hasCauses: false,
    isSpecial: isSpecial(job),
  }
}

function isSpecial({ idempotency, unique, trace }: WithoutPayload): boolean {
  return idempotency !== null || unique !== null || trace !== null
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
  const { common } = batch
  const values = batch.firstValues ?? mayDiffer.map((name) => common[name])
  batch.firstValues = values
  for (let index = 0; index < values.length; index++) {
    if (job[mayDiffer[index]!] === values[index]) continue
    batch.differs ??= values.map(() => false)
    batch.differs[index] = true
  }
  if (job.cause !== common.cause) batch.hasCauses = true
  if (isSpecial(job)) batch.isSpecial = true
  batch.jobs.push(job)
}

const alike: Pick<Batch, 'differing' | 'keys' | 'rows' | 'causes' | 'uniques' | 'traces'> = {
  differing: [],
  keys: null,
  rows: null,
  causes: null,
  uniques: null,
  traces: null,
}

function packed(batch: Gathered, payloads: readonly string[]): Batch {
  const { common, jobs, isBlocked, differs, hasCauses, isSpecial } = batch
  const isAlike = differs === null && !hasCauses && !isSpecial
  const { differing, keys, rows, causes, uniques, traces } = isAlike ? alike : differencesOf(batch)
  return {
    count: jobs.length,
    payloads: packedPayloads(payloads),
    differing,
    keys,
    rows,
    isBlocked,
    causes,
    uniques,
    traces,
    // Spread last: V8 (Node 20) makes a new shape for each property that comes after a spread, 9 µs a message.
    ...common,
  }
}

/** Apart from `packed`, because most jobs are alike, and what V8 compiles is then half as long. */
function differencesOf({ jobs, differs, hasCauses }: Gathered): typeof alike {
  const differing = mayDiffer.filter((_name, index) => differs?.[index])
  const keys = jobs.flatMap(({ idempotency }) => idempotency?.key ?? [])
  const isKeyed = keys.length > 0
  const hasRows = differing.length > 0 || isKeyed
  const isUnique = jobs.some(({ unique }) => unique !== null)
  const isTraced = jobs.some(({ trace }) => trace !== null)
  return {
    differing,
    keys: isKeyed ? JSON.stringify(keys) : null,
    rows: hasRows ? JSON.stringify(jobs.map((job) => rowOf(job, differing, isKeyed))) : null,
    causes: hasCauses ? JSON.stringify(jobs.map(({ cause }) => cause)) : null,
    uniques: isUnique ? JSON.stringify(jobs.map(({ unique }) => unique)) : null,
    traces: isTraced ? JSON.stringify(jobs.map(({ trace }) => trace && [trace.traceparent, trace.tracestate])) : null,
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
