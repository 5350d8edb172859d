import type { LeasedJob, LeaseEvent, PrefetchLimits } from '../../src/machines/lease.ts'
import { Prefetch } from '../../src/machines/prefetch.ts'
import { type Assigned, type RunningAttempt, Slots } from '../../src/machines/slots.ts'

/** A request to the store. */
export type LeaseRequest = NonNullable<ReturnType<Prefetch['ask']>>

export interface Books {
  readonly slots: Slots
  readonly prefetch: Prefetch
}

/** `each`: how many simultaneous attempts each worker makes. */
export function aPrefetch(each: readonly number[], limits: PrefetchLimits = { withinMs: 10, mostAtLeast: 0 }): Books {
  const slots = new Slots(each)
  return { slots, prefetch: new Prefetch(slots, limits) }
}

export function aLeasedJob(id: number, leaseToken = 100 + id): LeasedJob {
  return {
    id,
    leaseToken,
    type: 'work',
    queue: 'default',
    payload: '{}',
    attempt: 0,
    maxAttempts: 3,
    timeoutMs: null,
    runAt: 0,
    trace: null,
  }
}

export function anAttempt(timeoutMs: number): RunningAttempt {
  return { startedAt: 0, timeoutMs, aborted: null, stall: { stoppedMs: 0, blockedMs: 0 }, abort() {} }
}

export function jobs(count: number, first = 1): LeasedJob[] {
  return Array.from({ length: count }, (_, index) => aLeasedJob(first + index))
}

/** All its requests, one after another. */
export function roomsOf(prefetch: Prefetch): LeaseRequest[] {
  const rooms: LeaseRequest[] = []
  for (let limit = prefetch.ask(); limit; limit = prefetch.ask()) {
    if (limit.limit < 1 || rooms.push(limit) > 100) throw new Error(`it asks for ${limit.limit}, after ${rooms.length}`)
  }
  return rooms
}

export function sumOf(rooms: readonly LeaseRequest[]): number {
  return sum(rooms.map(({ limit }) => limit))
}

export function roomOf(prefetch: Prefetch): number {
  return sumOf(roomsOf(prefetch))
}

/** Answers all its requests with these jobs. */
export function answer(prefetch: Prefetch, started: readonly LeasedJob[]): void {
  prefetch.started(sumOf(roomsOf(prefetch)), started)
}

/** Gives the free slots their jobs; returns these. */
export function assign(prefetch: Prefetch): Assigned[] {
  return prefetch.assign().map(({ assigned }) => assigned)
}

/** Brings these jobs to where their handlers run. */
export function running(prefetch: Prefetch, started: readonly LeasedJob[]): Assigned[] {
  answer(prefetch, started)
  return assign(prefetch)
}

/** This many slots became free recently; returns a running attempt while every other slot is taken. */
export function atPace({ slots: { count }, prefetch }: Books, freedCount: number): Assigned {
  for (let freed = 0; freed < freedCount; freed += count)
    for (const each of running(prefetch, jobs(count))) settle(prefetch, each, 'succeed')
  prefetch.takeCommit()
  return running(prefetch, jobs(count))[0]!
}

/** Has the first jobs started on disk, more than there are slots; returns those that run. */
export function startedAhead(prefetch: Prefetch, count: number): Assigned[] {
  prefetch.started(0, jobs(count))
  return assign(prefetch)
}

export function sum(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0)
}

export function settle(prefetch: Prefetch, assigned: Assigned, outcome: LeaseEvent['event'] | null): void {
  const { job } = assigned
  prefetch.settled(assigned, outcome && { id: job.id, leaseToken: job.leaseToken, event: outcome }, true)
}

/** Its grace has passed: the attempt failed, but its handler is still running. */
export function giveUp(prefetch: Prefetch, assigned: Assigned): void {
  const { job } = assigned
  prefetch.settled(assigned, { id: job.id, leaseToken: job.leaseToken, event: 'fail' }, false)
}

export function event(id: number, name: LeaseEvent['event']): LeaseEvent {
  return { id, leaseToken: 100 + id, event: name }
}

export function ids(assigned: readonly Assigned[]): number[] {
  return assigned.map(({ job }) => job.id).sort(byNumber)
}

export function byNumber(a: number, b: number): number {
  return a - b
}

/** Jobs whose handlers continue after they were given up. */
export function stuckIn(slots: Slots): Assigned[] {
  return slots.assigned().filter(({ phase }) => phase === 'stuck')
}
