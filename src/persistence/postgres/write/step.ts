import assert from 'node:assert/strict'
import { snakeCase, storedNames } from '../../../job/fields.ts'
import { causeOf } from '../../../machines/events.ts'
import type { EventType, JobState } from '../../../machines/job.ts'
import type { LeasedFacts } from '../../leased-facts.ts'
import type { LeasedJob, LeaseEvent, NewJobRow, StoredError } from '../../store.ts'
import { arrayText } from '../array-text.ts'
import { type StepParameter, stepNames } from '../functions.ts'

/**
 * Jobs that take one event, or those of a claim, each once, by rising id: two transactions that lock the same rows do so in one order.
 * `leaseToken`: of the lease that a job must have.
 */
export interface Change {
  readonly event: EventType | 'claim'
  readonly jobs: readonly (Pick<LeaseEvent, 'id'> & Partial<Omit<LeaseEvent, 'id' | 'event'>>)[]
  readonly cause?: string | null
  readonly crashed?: boolean
  /** Only those in that state. */
  readonly onlyIn?: JobState | undefined
  /** Of an `amend`, which is of one job: JSON text, as `Store.amend` has it; and whether it is requeued first. */
  readonly given?: string
  readonly requeue?: boolean
  /** If the job cannot take it any more, nothing of the transaction is stored, and its new jobs are decided anew. */
  readonly isRequired?: boolean
}

/** How many jobs somebody asks for, and whether they are to be started as well. */
export interface Capacity {
  readonly limit: number
  readonly start: boolean
}

/**
 * Queues where a claim would pass over many rows of the index before the first that it can take, and where it begins instead, `until` an
 * instant of the server's clock.
 */
export type ClaimBounds = Readonly<
  Record<string, { readonly priority: number; readonly runAt: number; readonly until: number }>
>

/** All that one transaction does. */
export interface Step {
  readonly newJobs: readonly { readonly id: number; readonly job: NewJobRow }[]
  /** Jobs that are the answer to a key that was used again, each as often. */
  readonly replayed: readonly number[]
  /** Dead jobs that lose their keys; a change cancels each. If one lives again, its key is stored meanwhile, and nothing is done. */
  readonly replaced: readonly number[]
  readonly changes: readonly Change[]
  readonly room: readonly Capacity[]
  readonly claim: {
    readonly handled: readonly string[]
    readonly served: string
    readonly bounds: ClaimBounds
    readonly besideSuspects: boolean
  }
  /** What handlers have reported, as `reportsOf` makes it; null: nothing. It is stored before the changes. */
  readonly reports: string | null
  /** On which its ids were given out; null: the server does not say. */
  readonly timeline: string | null
  /** Blocks of job ids to reserve. */
  readonly blocks: number
}

/** What it did. */
export interface Done {
  /** Its instant, epoch ms. */
  readonly now: number
  /** No event of it has a higher id. */
  readonly lastEvent: number
  /** How many it wrote. */
  readonly events: number
  /** Of each change, the jobs that moved; null: all of them. */
  readonly moved: readonly (readonly number[] | null)[]
  readonly served: string
  readonly bounds: ClaimBounds | null
  /** Jobs that were set aside because no node runs them, by type; under no type the ids of those that cannot be read. */
  readonly aside: readonly Readonly<Record<string, number | readonly number[]>>[] | null
  /** Nothing was claimed, for a suspect is in line. */
  readonly met: boolean
  /** The first id of each block that was reserved. */
  readonly blocks: readonly number[] | null
}

type Given = Partial<Record<StepParameter, string | number | boolean | null>>

/** The values of a step's parameters, in their order; those that the writer adds are left out. */
export function stepValues(step: Step, own: Given): unknown[] {
  const given: Given = {
    ...own,
    ...ofNewJobs(step.newJobs),
    ...ofChanges(step.changes),
    ...ofRoom(step),
    replayed: step.replayed.length === 0 ? null : arrayText(step.replayed),
    replaced: step.replaced.length === 0 ? null : arrayText(step.replaced),
    timeline: step.timeline,
    blocks: step.blocks,
    reports: step.reports,
  }
  return stepNames.map((name) => given[name as StepParameter] ?? null)
}

/** The values of the parameters that hold new jobs. */
export function ofNewJobs(newJobs: Step['newJobs']): Given {
  if (newJobs.length === 0) return {}
  const column = (of: (job: NewJobRow) => string | number | null) => columnText(newJobs.map(({ job }) => of(job)))
  return {
    ids: arrayText(newJobs.map(({ id }) => id)),
    payloads: arrayText(newJobs.map(({ job }) => job.payload)),
    keys: column(({ idempotency }) => idempotency?.key ?? null),
    contents: column(({ idempotency }) => idempotency?.content ?? null),
    run_ats: column(({ runAt }) => runAt),
    delays: column(({ delayMs }) => delayMs),
    max_attempts: column(({ maxAttempts }) => maxAttempts),
    causes: column(({ cause }) => cause),
    ...(newJobs.some(({ job }) => job.unique)
      ? { uniques: column(({ unique }) => unique && JSON.stringify(unique)) }
      : {}),
    ...(newJobs.some(({ job }) => job.trace) ? tracesOf(column) : {}),
    ...Object.fromEntries(storedNames.map((name) => [snakeCase(name), column((job) => job[name])])),
  }
}

/** What all have alike is sent once, and nothing if it is null: it need not be written and read for each job. */
function columnText(values: readonly (string | number | null)[]): string | null {
  const [first] = values
  if (values.some((value) => value !== first)) return arrayText(values)
  return first === null ? null : arrayText([first!])
}

function tracesOf(column: (of: (job: NewJobRow) => string | null) => string | null): Given {
  return {
    traceparents: column(({ trace }) => trace?.traceparent ?? null),
    tracestates: column(({ trace }) => trace?.tracestate ?? null),
  }
}

function ofChanges(changes: Step['changes']): Given {
  if (changes.length === 0) return {}
  const jobs = changes.flatMap((change) => change.jobs)
  const each = (of: (change: Change) => string | boolean | null) => arrayText(changes.map(of))
  // Null if no job has a value.
  const column = (of: (job: Change['jobs'][number]) => string | number | undefined) =>
    jobs.some((job) => of(job) !== undefined) ? arrayText(jobs.map((job) => of(job) ?? null)) : null
  let end = 0
  return {
    changes: each(({ event }) => event),
    change_ends: arrayText(changes.map((change) => (end += change.jobs.length))),
    change_causes: each(({ cause }) => cause ?? null),
    crashed: each(({ crashed }) => crashed ?? false),
    only_in: each(({ onlyIn }) => onlyIn ?? null),
    job_ids: arrayText(jobs.map(({ id }) => id)),
    tokens: column(({ leaseToken }) => leaseToken),
    retry_delays: column(({ delayMs }) => delayMs),
    errors: column(({ error }) => error && JSON.stringify(error)),
    row_errors: column(({ error }) => error && JSON.stringify(withoutStack(error))),
    job_causes: jobs.some(({ note }) => note !== undefined) ? arrayText(changes.flatMap(causesOfNotes)) : null,
    attempts: column(({ traceparent }) => traceparent),
    given_changes: changes.some(({ given }) => given) ? each(({ given }) => given ?? null) : null,
    requeue: each(({ requeue }) => requeue ?? false),
    required: changes.some(({ isRequired }) => isRequired) ? each(({ isRequired }) => isRequired ?? false) : null,
    results: column(({ result }) => result),
  }
}

/** The history has the stack: in the row it would be written again with every later transition. */
function withoutStack({ stack: _, ...error }: StoredError): StoredError {
  return error
}

function causesOfNotes({ event, jobs }: Change): (string | null)[] {
  return jobs.map(({ note }) => {
    if (note === undefined) return null
    assert(event !== 'claim')
    return JSON.stringify({ ...causeOf(event), note })
  })
}

function ofRoom({ room, claim }: Step): Given {
  if (room.length === 0) return {}
  const claims = together(room)
  return {
    limits: arrayText(claims.map(({ limit }) => limit)),
    starts: arrayText(claims.map(({ start }) => start)),
    handled: arrayText(claim.handled),
    served: claim.served,
    bounds: JSON.stringify(claim.bounds),
    beside_suspects: claim.besideSuspects,
  }
}

/** Neighbours who ask for the same as one: each statement has a price, whatever it claims, and jobs are given out in the order of those who ask. */
function together(room: Step['room']): Capacity[] {
  const claims: Capacity[] = []
  for (const { limit, start } of room) {
    const last = claims.at(-1)
    if (last?.start === start) claims[claims.length - 1] = { limit: last.limit + limit, start }
    else claims.push({ limit, start })
  }
  return claims
}

/** A row as the driver gives it: a job, or `facts` alone. */
export type StepRow = readonly [
  ...LeasedFacts,
  payload: LeasedJob['payload'],
  trace: LeasedJob['trace'],
  facts: string | null,
]
