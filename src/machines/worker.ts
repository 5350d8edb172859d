import { fromCallback } from 'xstate'
import { queueMicrotask } from '../runtime/timers.ts'
import type { LeasedJob, LeaseEvent } from './lease.ts'
import type { Assigned, RunningAttempt } from './slots.ts'

/** What an attempt tells as it goes, never before `RunAttempt` has returned. */
interface AttemptReport {
  /** Once. `event` null: the lease was lost, there is nothing to commit. `ended` false: aborted, but its handler goes on and keeps the slot. */
  settled(event: LeaseEvent | null, ended: boolean): void
  /** Once, later, if `ended` was false: the slot is free. */
  ended(): void
}

/** Makes one attempt; never throws, whatever the handler does. */
export type RunAttempt = (job: LeasedJob, report: AttemptReport) => RunningAttempt

/** The events that a worker gets. */
type WorkerCommand =
  | { readonly type: 'run'; readonly assigned: Assigned; readonly job: LeasedJob }
  | { readonly type: 'abort'; readonly assigned: Assigned; readonly reason: Error; readonly lost: boolean }

/** How an attempt went. */
export interface Outcome {
  readonly assigned: Assigned
  /** Null: the lease was lost, there is nothing to commit. */
  readonly event: LeaseEvent | null
  /** False: its handler goes on and keeps the slot. */
  readonly ended: boolean
}

/**
 * What workers tell the dispatcher. `settled` has all that came without a pause, from whichever workers: an event for each outcome would cost
 * as much as the rest of the loop's work.
 */
export type WorkerEvent =
  | { readonly type: 'settled'; readonly outcomes: Outcome[] }
  | { readonly type: 'ended'; readonly assigned: Assigned }

type WorkerInput = { readonly runAttempt: RunAttempt; readonly settled: (outcome: Outcome) => void }

/** Calls `send` with all that was given without a pause. */
export function gather<T>(send: (all: T[]) => void): (each: T) => void {
  let gathered: T[] = []
  return (each) => {
    if (gathered.push(each) > 1) return
    queueMicrotask(() => {
      const all = gathered
      gathered = []
      send(all)
    })
  }
}

/**
 * A long-lived worker: gets a job, makes one attempt, answers with an outcome. It never touches the store. Made once and fed by events:
 * a child spawned per job costs ten times as much, and XState keeps finished ones.
 */
export const workerLogic = fromCallback<WorkerCommand, WorkerInput>(({ input, receive, sendBack }) => {
  const { runAttempt, settled } = input
  const tell = (event: WorkerEvent) => sendBack(event)

  receive((command) => {
    const { assigned } = command
    if (command.type === 'abort') {
      assigned.attempt?.abort(command.reason, command.lost)
      return
    }
    assigned.attempt = runAttempt(command.job, {
      settled: (event, ended) => settled({ assigned, event, ended }),
      // After the outcome, which may be gathered still.
      ended: () => queueMicrotask(() => tell({ type: 'ended', assigned })),
    })
  })
})
