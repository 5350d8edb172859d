import { storedNames } from '../job/fields.ts'
import type { NewJobRow } from './store.ts'

/** What jobs of one batch have in common. */
type Common = Omit<NewJobRow, 'payload' | 'idempotency'>

/** New jobs in a row that differ in no more than their payloads and keys: what many are packed into, to be sent and stored as one. */
export interface Batch extends Common {
  readonly count: number
  /** Their payloads' JSON texts, as a JSON array. */
  readonly payloads: string
  /** For each its key and content, as a JSON array of pairs, null for one without; null if none has a key. */
  readonly keys: string | null
}

/** Jobs that follow one another and are alike come into one batch. */
export function intoBatches(jobs: Iterable<NewJobRow>): Batch[] {
  const batches: Batch[] = []
  let first: NewJobRow | undefined
  let payloads: string[] = []
  /** From the first that has one. */
  let keys: ([key: string, content: string] | null)[] | null = null
  const end = () => {
    if (!first) return
    const { payload: _, idempotency: __, ...common } = first
    // Spread last, as in `Transitions.apply`.
    batches.push({
      count: payloads.length,
      payloads: JSON.stringify(payloads),
      keys: keys && JSON.stringify(keys),
      ...common,
    })
    payloads = []
    keys = null
  }
  for (const job of jobs) {
    if (!first || !areAlike(first, job)) {
      end()
      first = job
    }
    if (job.idempotency) keys ??= Array.from(payloads, () => null)
    payloads.push(job.payload)
    keys?.push(job.idempotency && [job.idempotency.key, job.idempotency.content])
  }
  end()
  return batches
}

/** Jobs in all of them. */
export function countBatched(batches: readonly Batch[]): number {
  return batches.reduce((sum, { count }) => sum + count, 0)
}

/** The jobs again. */
export function fromBatches(batches: readonly Batch[]): NewJobRow[] {
  return batches.flatMap(({ count: _, payloads, keys, ...common }) => {
    const pairs = keys === null ? null : (JSON.parse(keys) as ([string, string] | null)[])
    return (JSON.parse(payloads) as string[]).map((payload, index): NewJobRow => {
      const pair = pairs?.[index]
      return { ...common, payload, idempotency: pair ? { key: pair[0], content: pair[1] } : null }
    })
  })
}

function areAlike(a: Common, b: Common): boolean {
  for (const name of storedNames) if (a[name] !== b[name]) return false
  const isSameTime = a.runAt === b.runAt && a.delayMs === b.delayMs
  return a.maxAttempts === b.maxAttempts && isSameTime && a.cause === b.cause
}
