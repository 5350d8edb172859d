import { findEdge, hasTag } from '../machines/edges.ts'
import type { JobEvent, JobState } from '../machines/job.ts'
import type { IncomingJob, KeyHolder } from './new-jobs.ts'
import { runAtOf } from './new-jobs.ts'

/** A job that a request for its unique key changes, and the request. */
export interface ChangeRequest<Job> {
  readonly id: number
  readonly job: Job
  /** It was claimed, or has run before: then it keeps its time and its retries. */
  readonly hasBegun: boolean
  /** Epoch ms; null if it is stored with the request. */
  readonly createdAt: number | null
}

/** Whether a new job must wait for the one that holds its key, because that cannot be changed any more, or not for this. */
export function mustWaitFor(
  { job, hasBegun }: KeyHolder,
  onConflict: NonNullable<IncomingJob['unique']>['onConflict'],
) {
  if (hasTag(job.state, 'ended')) return false
  return onConflict === 'after' ? hasBegun : !hasTag(job.state, 'waiting')
}

const replaced = ['payload', 'priority', 'maxAttempts'] as const

/** What the request changes, as `Store.amend` has it: JSON text. */
export function changesOf<Job extends IncomingJob>({ job, hasBegun }: ChangeRequest<Job>): string {
  const given = job as unknown as Readonly<Record<string, unknown>>
  const names = replaced.filter((name) => !(hasBegun && name === 'maxAttempts'))
  const changes = Object.fromEntries(names.map((name) => [name, given[name]]))
  const { runAt, delayMs, unique } = job
  if (hasBegun || (unique!.onConflict === 'after' && runAt === null && delayMs === null)) return JSON.stringify(changes)
  const maxWaitMs = unique!.onConflict === 'debounce' ? unique!.maxWaitMs : undefined
  return JSON.stringify({ ...changes, ...(runAt === null ? { delayMs: delayMs ?? 0 } : { runAt }), maxWaitMs })
}

/** The state to which that leads at `now`. */
export function stateAfter<Job extends IncomingJob>(
  amendment: ChangeRequest<Job>,
  state: JobState,
  now: number,
): JobState {
  const { job, hasBegun, createdAt } = amendment
  const { unique, runAt, delayMs } = job
  if (hasBegun || (unique!.onConflict === 'after' && runAt === null && delayMs === null)) return state
  const longest =
    unique!.onConflict === 'debounce' ? (unique!.maxWaitMs ?? Number.POSITIVE_INFINITY) : Number.POSITIVE_INFINITY
  const delayed = Math.min(runAtOf(job, now), (createdAt ?? now) + longest) > now
  const event = { type: 'amend', delayed } as JobEvent
  return findEdge(state, event, { attempt: 0, maxAttempts: job.maxAttempts, crashes: 0 })?.to ?? state
}
