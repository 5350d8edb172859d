import { storedNames } from '../job/fields.ts'
import type { NewJobRow } from './store.ts'

/** What jobs of one batch have in common. */
type Common = Omit<NewJobRow, 'payload' | 'idempotency'>

/** Consecutive new jobs that differ only in their payloads and keys, packed so that they can be sent and stored as one. */
export interface Batch extends Common {
  readonly count: number
  /** Their payloads' JSON texts, as a JSON array. */
  readonly payloads: string
  /** The key and content of each job, as a JSON array of pairs, with null for a job without a key; null if none has a key. */
  readonly keys: string | null
}

/** Combines consecutive similar jobs into one batch. */
export function intoBatches(jobs: Iterable<NewJobRow>): Batch[] {
  const batches: { first: NewJobRow; payloads: string[]; keys: ([key: string, content: string] | null)[] | null }[] = []
  let batch: (typeof batches)[number] | undefined
  for (const job of jobs) {
    if (!batch || !areAlike(batch.first, job)) {
      batch = { first: job, payloads: [], keys: null }
      batches.push(batch)
    }
    const { payloads } = batch
    // Starts with the first job that has a key.
    if (job.idempotency) batch.keys ??= Array.from(payloads, () => null)
    payloads.push(job.payload)
    batch.keys?.push(job.idempotency && [job.idempotency.key, job.idempotency.content])
  }
  return batches.map(({ first: { payload: _, idempotency: __, ...common }, payloads, keys }) => ({
    count: payloads.length,
    payloads: JSON.stringify(payloads),
    keys: keys && JSON.stringify(keys),
    // Spread last, as in `Transitions.apply`.
    ...common,
  }))
}

/** The number of jobs in all batches. */
export function countBatched(batches: readonly Batch[]): number {
  return batches.reduce((sum, { count }) => sum + count, 0)
}

/** The jobs of each call again. `counts` has the number of jobs of each call; null means one each. */
export function fromBatches(batches: readonly Batch[], counts: readonly number[] | null): NewJobRow[][] {
  const jobs = batches.flatMap(({ count: _, payloads, keys, ...common }) => {
    const pairs = keys === null ? null : (JSON.parse(keys) as ([string, string] | null)[])
    return (JSON.parse(payloads) as string[]).map((payload, index): NewJobRow => {
      const pair = pairs?.[index]
      return { ...common, payload, idempotency: pair ? { key: pair[0], content: pair[1] } : null }
    })
  })
  if (counts === null) return jobs.map((job) => [job])
  let next = 0
  return counts.map((count) => {
    next += count
    return jobs.slice(next - count, next)
  })
}

function areAlike(a: Common, b: Common): boolean {
  for (const name of storedNames) if (a[name] !== b[name]) return false
  const isSameTime = a.runAt === b.runAt && a.delayMs === b.delayMs
  return a.maxAttempts === b.maxAttempts && isSameTime && a.cause === b.cause
}
