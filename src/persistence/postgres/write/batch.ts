import type { EnqueueResult, Lease, LeaseEvent, NewJobRow, Report } from '../../store.ts'
import type { Taken } from './claims.ts'
import type { Change, Done } from './step.ts'

export interface Waiting<Answer> {
  resolve(answer: Answer): void
  reject(error: unknown): void
}
export interface EventCall extends Waiting<LeaseEvent[]> {
  readonly events: readonly LeaseEvent[]
}
export interface ChangeCall extends Waiting<Done['moved']> {
  readonly changes: readonly Change[]
  /** Tried until it is stored. */
  readonly patient: boolean
  readonly reports: readonly LeaseReport[]
}
/** What the holder of a lease has reported. */
export type LeaseReport = Lease & { readonly report: Report }

export interface EnqueueCall extends Waiting<EnqueueResult> {
  readonly jobs: readonly NewJobRow[]
}

/** The calls of one transaction. */
export interface Batch {
  readonly enqueues: readonly EnqueueCall[]
  readonly events: readonly EventCall[]
  readonly changes: readonly ChangeCall[]
  readonly claim: Taken | null
}

/** Each call for itself. */
export function apart({ enqueues, events, changes }: Batch): Batch[] {
  const none: Batch = { enqueues: [], events: [], changes: [], claim: null }
  return [
    ...enqueues.map((call) => ({ ...none, enqueues: [call] })),
    ...events.map((call) => ({ ...none, events: [call] })),
    ...changes.map((call) => ({ ...none, changes: [call] })),
  ]
}

/**
 * Two halves of what is too much for one transaction: of its calls, or of the jobs that its only call moves; null if nothing can be divided.
 * New jobs of one call are stored together or not at all.
 */
export function halve(batch: Batch): Batch[] | null {
  const calls = apart(batch)
  if (calls.length === 0) return null
  if (calls.length > 1) {
    const middle = Math.ceil(calls.length / 2)
    return [together(calls.slice(0, middle)), together(calls.slice(middle))]
  }
  // Without its claim, which is asked again later.
  if (batch.claim) return calls
  const [event] = batch.events
  if (event && event.events.length > 1) return divideEvents(event).map((call) => ({ ...together([]), events: [call] }))
  const [change] = batch.changes
  const most = Math.max(...(change?.changes ?? []).map(({ jobs }) => jobs.length))
  return change && most > 1 ? divideChange(change, most).map((call) => ({ ...together([]), changes: [call] })) : null
}

function together(batches: readonly Batch[]): Batch {
  return {
    enqueues: batches.flatMap(({ enqueues }) => enqueues),
    events: batches.flatMap(({ events }) => events),
    changes: batches.flatMap(({ changes }) => changes),
    claim: null,
  }
}

function divideEvents({ events, resolve, reject }: EventCall): EventCall[] {
  const middle = Math.ceil(events.length / 2)
  const halves = [events.slice(0, middle), events.slice(middle)].map((half) => ({ half, ...deferred<LeaseEvent[]>() }))
  Promise.all(halves.map(({ promise }) => promise)).then((refused) => resolve(refused.flat()), reject)
  return halves.map(({ half, ...waiting }) => ({ ...waiting, events: half }))
}

function divideChange({ changes, patient, resolve, reject }: ChangeCall, most: number): ChangeCall[] {
  const middle = Math.ceil(most / 2)
  const halves = [
    changes.map((change) => ({ ...change, jobs: change.jobs.slice(0, middle) })),
    changes.map((change) => ({ ...change, jobs: change.jobs.slice(middle) })),
  ].map((half) => ({ half, ...deferred<Done['moved']>() }))
  const idsOf = (moved: Done['moved'][number], change: Change) => moved ?? change.jobs.map(({ id }) => id)
  Promise.all(halves.map(({ promise }) => promise)).then(
    (moved) => resolve(changes.map((_, at) => halves.flatMap(({ half }, each) => idsOf(moved[each]![at]!, half[at]!)))),
    reject,
  )
  return halves.map(({ half, ...waiting }) => ({ ...waiting, changes: half, patient, reports: [] }))
}

function deferred<Answer>(): Waiting<Answer> & { promise: Promise<Answer> } {
  let resolve!: (answer: Answer) => void
  let reject!: (error: unknown) => void
  const promise = new Promise<Answer>((resolved, rejected) => {
    resolve = resolved
    reject = rejected
  })
  return { promise, resolve, reject }
}
