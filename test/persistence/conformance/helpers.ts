import { expect } from 'vitest'
import type { Retention } from '../../../src/job/retention.ts'
import { edgesOn, jobStates } from '../../../src/machines/edges.ts'
import { commands } from '../../../src/machines/events.ts'
import type { JobState } from '../../../src/machines/job.ts'
import type {
  EnqueueResult,
  LeasedJob,
  LeaseEvent,
  NewJobRow,
  Recovered,
  Store,
} from '../../../src/persistence/store.ts'
import type { ManualClock } from '../../../src/runtime/clock.ts'
import { aJob, type OpenedStore } from '../../support/store.ts'

/** A store as one node has it open. */
export interface Node extends OpenedStore {
  /** The node ends without a word; gives the next one on the same database, which has recovered, and what it found. */
  endNode(): Promise<Node & { readonly found: Recovered }>
}

/** Opens a store of its own for a test. Ids of jobs and transitions may begin anywhere and have gaps. */
export type Open = (given?: {
  maxQueueDepth?: number
  maxDepthPerQueue?: number
  retentionMs?: number
  retention?: Retention
  types?: string[]
  /** Of a store that was closed, and its clock. */
  path?: string
  clock?: ManualClock
}) => Promise<Node>

let holders = 0

/** A job in `state`; where it has run, its attempts are as far as they can be. */
export async function bringTo(opened: OpenedStore, state: JobState, maxAttempts: number): Promise<LeasedJob> {
  const { store, clock } = opened
  const delayed = state === 'scheduled'
  const runAt = delayed ? clock.now() + 1e9 : null
  const unique = state === 'blocked' ? ({ key: `${++holders}`, until: 'ended', onConflict: 'after' } as const) : null
  if (unique) {
    // Before those of earlier tests that are back in line after a crash.
    await store.enqueue([aJob({ unique, priority: 100 + holders })])
    await store.lease({ limit: 1, wait: false, start: true })
  }
  const [id] = ids(await store.enqueue([aJob({ maxAttempts, runAt, unique, priority: 100 })]))
  const unleased = {
    id: id!,
    leaseToken: 0,
    type: 'work',
    queue: 'default',
    payload: '{}',
    attempt: 0,
    maxAttempts,
    timeoutMs: null,
    runAt: 0,
    trace: null,
  }
  if (delayed || unique || state === 'queued') return unleased
  const command = commands.find((event) => edgesOn(event).some(({ from, to }) => from === 'queued' && to === state))
  if (command) {
    await store.send(command, id!)
    return unleased
  }
  const [job] = await store.lease({ limit: 1, wait: false })
  if (state === 'leased') return job!
  await settle(store, job!, 'start')
  if (state === 'succeeded') await settle(store, job!, 'succeed')
  if (state === 'dead') await settle(store, job!, 'reject')
  if (state === 'retrying') await store.apply([{ ...leaseOf(job!), event: 'fail', delayMs: 1e9 }])
  return job!
}

/** Jobs of one queue that a lease takes in this order, once 20 ms have passed: the fifth, third, fourth, first, second. */
export function inAnotherOrder(now: number): NewJobRow[] {
  return [aJob({ runAt: now + 20 }), aJob({ priority: -1 }), aJob(), aJob(), aJob({ priority: 100 })]
}

/** So that a lease takes the job it is meant for. A blocked job comes with another, for which it waits. */
export const queuedLast = [...jobStates.filter((state) => state !== 'queued' && state !== 'blocked'), 'queued' as const]

export async function settle(store: Store, job: LeasedJob, ...events: LeaseEvent['event'][]): Promise<void> {
  for (const event of events) expect(await store.apply([{ ...leaseOf(job), event }])).toEqual([])
}

export function amend(store: Store, id: number, changes: object, cause?: string | null, requeue?: boolean) {
  return store.amend(id, JSON.stringify(changes), cause, requeue)
}

export function leaseOf({ id, leaseToken }: LeasedJob) {
  return { id, leaseToken }
}

export function rows(result: EnqueueResult) {
  if (result.outcome !== 'stored') throw new Error(`not stored: ${result.outcome}`)
  return result.jobs
}

export function ids(result: EnqueueResult): number[] {
  return rows(result).map(({ id }) => id)
}

/** These in rising order, each once: ids that rise are equal to it. */
export function rising(ids: readonly number[]): number[] {
  return [...new Set(ids)].sort((a, b) => a - b)
}

export async function countIn(store: Store, state: JobState): Promise<number> {
  let count = 0
  for (const edge of await store.counts()) {
    if (edge.to === state) count += edge.count
    if (edge.from === state) count -= edge.count
  }
  return count
}
