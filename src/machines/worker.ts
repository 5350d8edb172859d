import { fromCallback } from 'xstate'
import type { LeasedJob, LeaseEvent } from './lease.ts'

/** One attempt under way. */
export interface RunningAttempt {
  /** Fires the handler's signal. `lost`: the lease is gone and there is nothing to report but the end. */
  abort(reason: Error, lost: boolean): void
}

/** What an attempt tells as it goes, never before `RunAttempt` has returned. */
export interface AttemptReport {
  /** Once. `event` null: the lease was lost, there is nothing to commit. `ended` false: aborted, but its handler goes on and keeps the slot. */
  settled(event: LeaseEvent | null, ended: boolean): void
  /** Once, later, where `ended` was false: the slot is free. */
  ended(): void
}

/** Makes one attempt; never throws, whatever the handler does. */
export type RunAttempt = (job: LeasedJob, report: AttemptReport) => RunningAttempt

/** What a worker is told. */
export type WorkerCommand =
  | { readonly type: 'run'; readonly job: LeasedJob }
  | { readonly type: 'abort'; readonly job: LeasedJob; readonly reason: Error; readonly lost: boolean }

/** How an attempt went. */
export interface Outcome {
  readonly job: LeasedJob
  /** Null: the lease was lost, there is nothing to commit. */
  readonly event: LeaseEvent | null
  /** False: its handler goes on and keeps the slot. */
  readonly ended: boolean
}

/** What workers tell the dispatcher. */
export type WorkerEvent =
  /** All that came without a pause, from whichever workers: an event for each outcome would cost as much as the rest of the loop's work. */
  | { readonly type: 'settled'; readonly outcomes: readonly Outcome[] }
  | { readonly type: 'ended'; readonly worker: number; readonly job: LeasedJob }

export interface WorkerInput {
  readonly worker: number
  readonly runAttempt: RunAttempt
  readonly settled: (outcome: Outcome) => void
}

/** Calls `send` with all that was given without a pause. */
export function gather<T>(send: (all: readonly T[]) => void): (each: T) => void {
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
  const { worker, runAttempt, settled } = input
  // One or a few. By attempt: a job may be here twice, where an earlier handler of it does not end. No Map: one that is emptied makes a new
  // table each time, and tables that are left keep what they held alive through collections of the young generation.
  const running: { readonly job: LeasedJob; readonly attempt: RunningAttempt }[] = []
  const indexOf = (job: LeasedJob) => running.findIndex((each) => each.job === job)
  const tell = (event: WorkerEvent) => sendBack(event)

  receive((command) => {
    if (command.type === 'abort') {
      running[indexOf(command.job)]?.attempt.abort(command.reason, command.lost)
      return
    }
    const { job } = command
    const attempt = runAttempt(job, {
      settled: (event, ended) => {
        if (ended) running.splice(indexOf(job), 1)
        settled({ job, event, ended })
      },
      ended: () => {
        running.splice(indexOf(job), 1)
        // After the outcome, which may be gathered still.
        queueMicrotask(() => tell({ type: 'ended', worker, job }))
      },
    })
    running.push({ job, attempt })
  })
})
