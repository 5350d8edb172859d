import type { LeasedJob, LeaseEvent } from '../../src/machines/lease.ts'
import type { Ledger, Room } from '../../src/machines/ledger.ts'
import type { Assigned, RunningAttempt } from '../../src/machines/worker.ts'

export function aLeasedJob(id: number, leaseToken = 100 + id): LeasedJob {
  return { id, leaseToken, type: 'work', payload: '{}', attempt: 0, maxAttempts: 3, timeoutMs: null, runAt: 0 }
}

export function anAttempt(timeoutMs: number): RunningAttempt {
  return { startedAt: 0, timeoutMs, aborted: null, abort() {} }
}

export function jobs(count: number, first = 1): LeasedJob[] {
  return Array.from({ length: count }, (_, index) => aLeasedJob(first + index))
}

/** All the room that it asks for, request by request. */
export function roomsOf(ledger: Ledger): Room[] {
  const rooms: Room[] = []
  for (let room = ledger.takeRoom(); room; room = ledger.takeRoom()) {
    if (room.room < 1 || rooms.push(room) > 100) throw new Error(`it asks for ${room.room}, after ${rooms.length}`)
  }
  return rooms
}

export function sumOf(rooms: readonly Room[]): number {
  return sum(rooms.map(({ room }) => room))
}

export function roomOf(ledger: Ledger): number {
  return sumOf(roomsOf(ledger))
}

/** Answers all that it asks for with these. */
export function answer(ledger: Ledger, started: readonly LeasedJob[]): void {
  ledger.started(sumOf(roomsOf(ledger)), started)
}

/** Brings these to where their handlers run. */
export function running(ledger: Ledger, started: readonly LeasedJob[]): Assigned[] {
  answer(ledger, started)
  return ledger.assign()
}

/** So many slots have come free lately; gives an attempt that runs, beside which every slot is taken. */
export function atPace(ledger: Ledger, count: number): Assigned {
  const slots = ledger.slotCount
  for (let freed = 0; freed < count; freed += slots)
    for (const each of running(ledger, jobs(slots))) settle(ledger, each, 'succeed')
  ledger.takeCommit()
  return running(ledger, jobs(slots))[0]!
}

/** Has the first so many jobs started on disk, more than there are slots; gives those that run. */
export function startedAhead(ledger: Ledger, count: number): Assigned[] {
  ledger.started(0, jobs(count))
  return ledger.assign()
}

export function sum(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0)
}

export function settle(ledger: Ledger, assigned: Assigned, outcome: LeaseEvent['event'] | null): void {
  const { job } = assigned
  ledger.settled(assigned, outcome && { id: job.id, leaseToken: job.leaseToken, event: outcome }, true)
}

/** Its grace has passed: the attempt failed, and its handler goes on. */
export function giveUp(ledger: Ledger, assigned: Assigned): void {
  const { job } = assigned
  ledger.settled(assigned, { id: job.id, leaseToken: job.leaseToken, event: 'fail' }, false)
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
