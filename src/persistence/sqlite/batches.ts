import { storedNames } from '../../job/fields.ts'
import type { NewJobRow } from '../store.ts'

/** What jobs of one batch have in common. */
type Common = Omit<NewJobRow, 'payload' | 'idempotency' | 'unique' | 'trace'>

/** Consecutive new jobs that differ only in their payloads, keys, unique keys and traces, packed so that they can be sent and stored as one. */
export interface Batch extends Common {
  readonly count: number
  /** Their payloads' JSON texts, as a JSON array. */
  readonly payloads: string
  /** The key and content of each job, as a JSON array of pairs, with null for a job without a key; null if none has a key. */
  readonly keys: string | null
  /** The `unique` of each job, as a JSON array, with null for a job without it; null if none has it. */
  readonly uniques: string | null
  /**
   * The `traceparent` and `tracestate` of each job, as a JSON array of pairs, with null for a job without a trace; null if none has one.
   */
  readonly traces: string | null
}

type KeyPair = readonly [key: string, content: string] | null
type TracePair = readonly [traceparent: string, tracestate: string | null] | null

/** A batch to which jobs are added. */
interface Gathered {
  readonly first: NewJobRow
  /** What the first job has in `storedNames`. */
  readonly stored: readonly unknown[]
  readonly payloads: string[]
  keys: KeyPair[] | null
  uniques: NewJobRow['unique'][] | null
  traces: TracePair[] | null
}

/** Combines consecutive similar jobs into one batch. */
export function intoBatches(jobs: Iterable<NewJobRow>): Batch[] {
  const batches: Gathered[] = []
  let batch: Gathered | undefined
  for (const job of jobs) {
    if (!batch || !belongsTo(batch, job)) {
      batch = {
        first: job,
        stored: storedNames.map((name) => job[name]),
        payloads: [],
        keys: null,
        uniques: null,
        traces: null,
      }
      batches.push(batch)
    }
    const { payloads } = batch
    // Starts with the first job that has a key.
    if (job.idempotency) batch.keys ??= Array.from(payloads, () => null)
    if (job.unique) batch.uniques ??= Array.from(payloads, () => null)
    if (job.trace) batch.traces ??= Array.from(payloads, () => null)
    payloads.push(job.payload)
    batch.keys?.push(job.idempotency && [job.idempotency.key, job.idempotency.content])
    batch.uniques?.push(job.unique)
    batch.traces?.push(job.trace && [job.trace.traceparent, job.trace.tracestate])
  }
  return batches.map(
    ({
      first: { payload: _, idempotency: __, unique: ___, trace: ____, ...common },
      payloads,
      keys,
      uniques,
      traces,
    }) => ({
      count: payloads.length,
      payloads: JSON.stringify(payloads),
      keys: keys && JSON.stringify(keys),
      uniques: uniques && JSON.stringify(uniques),
      traces: traces && JSON.stringify(traces),
      // Spread last, as in `Transitions.apply`.
      ...common,
    }),
  )
}

/** The number of jobs in all batches. */
export function countBatched(batches: readonly Batch[]): number {
  return batches.reduce((sum, { count }) => sum + count, 0)
}

/** The jobs of each call again. `counts` has the number of jobs of each call; null means one each. */
export function fromBatches(batches: readonly Batch[], counts: readonly number[] | null): NewJobRow[][] {
  const jobs = batches.flatMap(({ count: _, payloads, keys, uniques, traces, ...common }) => {
    const pairs = keys === null ? null : (JSON.parse(keys) as KeyPair[])
    const terms = uniques === null ? null : (JSON.parse(uniques) as NewJobRow['unique'][])
    const contexts = traces === null ? null : (JSON.parse(traces) as TracePair[])
    return (JSON.parse(payloads) as string[]).map((payload, index): NewJobRow => {
      const pair = pairs?.[index]
      const context = contexts?.[index]
      return {
        ...common,
        payload,
        idempotency: pair ? { key: pair[0], content: pair[1] } : null,
        unique: terms?.[index] ?? null,
        trace: context ? { traceparent: context[0], tracestate: context[1] } : null,
      }
    })
  })
  if (counts === null) return jobs.map((job) => [job])
  let next = 0
  return counts.map((count) => {
    next += count
    return jobs.slice(next - count, next)
  })
}

/** The fields of the first job are not read by name for each of the others: a name in a variable costs 10 ns. */
function belongsTo({ first, stored }: Gathered, job: Common): boolean {
  for (let index = 0; index < stored.length; index++) if (job[storedNames[index]!] !== stored[index]) return false
  const isSameTime = first.runAt === job.runAt && first.delayMs === job.delayMs
  return first.maxAttempts === job.maxAttempts && isSameTime && first.cause === job.cause
}
