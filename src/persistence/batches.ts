import { areStoredAlike } from '../job/fields.ts'
import type { NewJobRow } from './store.ts'

/** What jobs of one batch have in common. */
type Common = Omit<NewJobRow, 'payload' | 'idempotency'>

/** New jobs in a row that differ in no more than their payloads and keys: what many are packed into, to be sent and stored as one. */
export interface Batch extends Common {
  readonly count: number
  /** Their payloads' JSON texts, as a JSON array. */
  readonly payloads: string
  /** For each its key and content, as a JSON array of pairs; null where they have none. */
  readonly keys: string | null
}

/** Jobs that follow one another and are alike come into one batch. */
export function intoBatches(jobs: Iterable<NewJobRow>): Batch[] {
  const batches: Batch[] = []
  let first: NewJobRow | undefined
  let payloads: string[] = []
  let keys: [key: string, content: string][] = []
  const end = () => {
    if (!first) return
    const { payload: _, idempotency, ...common } = first
    const keyed = idempotency ? JSON.stringify(keys) : null
    // Spread last, as in `Moves.apply`.
    batches.push({ count: payloads.length, payloads: JSON.stringify(payloads), keys: keyed, ...common })
    payloads = []
    keys = []
  }
  for (const job of jobs) {
    if (!first || !areAlike(first, job)) {
      end()
      first = job
    }
    payloads.push(job.payload)
    if (job.idempotency) keys.push([job.idempotency.key, job.idempotency.content])
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
    const pairs = keys === null ? null : (JSON.parse(keys) as [string, string][])
    return (JSON.parse(payloads) as string[]).map((payload, index): NewJobRow => {
      const pair = pairs?.[index]
      return { ...common, payload, idempotency: pair ? { key: pair[0], content: pair[1] } : null }
    })
  })
}

function areAlike(a: NewJobRow, b: NewJobRow): boolean {
  return (
    areStoredAlike(a, b) &&
    a.maxAttempts === b.maxAttempts &&
    a.runAt === b.runAt &&
    a.delayMs === b.delayMs &&
    (a.idempotency === null) === (b.idempotency === null)
  )
}
