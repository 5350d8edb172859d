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
  settled(event: LeaseEvent | null, tookMs: number, ended: boolean): void
  /** Once, later, where `ended` was false: the slot is free. */
  ended(): void
}

/** Makes one attempt; never throws, whatever the handler does. */
export type RunAttempt = (job: LeasedJob, report: AttemptReport) => RunningAttempt

/** What a worker is told. */
export type WorkerCommand =
  | { readonly type: 'run'; readonly job: LeasedJob }
  | { readonly type: 'abort'; readonly jobId: number; readonly reason: Error; readonly lost: boolean }

/** What it tells the dispatcher. */
export type WorkerEvent =
  | {
      readonly type: 'settled'
      readonly worker: number
      readonly jobId: number
      readonly event: LeaseEvent | null
      readonly tookMs: number
      readonly ended: boolean
    }
  | { readonly type: 'ended'; readonly worker: number; readonly jobId: number }

export interface WorkerInput {
  readonly worker: number
  readonly runAttempt: RunAttempt
}

/**
 * A long-lived worker: gets a job, makes one attempt, answers with an outcome. It never touches the store. Made once and fed by events:
 * a child spawned per job costs ten times as much, and XState keeps finished ones.
 */
export const workerLogic = fromCallback<WorkerCommand, WorkerInput>(({ input, receive, sendBack }) => {
  const { worker, runAttempt } = input
  const running = new Map<number, RunningAttempt>()
  const tell = (event: WorkerEvent) => sendBack(event)

  receive((command) => {
    if (command.type === 'abort') {
      running.get(command.jobId)?.abort(command.reason, command.lost)
      return
    }
    const jobId = command.job.id
    const attempt = runAttempt(command.job, {
      settled: (event, tookMs, ended) => {
        if (ended) running.delete(jobId)
        tell({ type: 'settled', worker, jobId, event, tookMs, ended })
      },
      ended: () => {
        running.delete(jobId)
        tell({ type: 'ended', worker, jobId })
      },
    })
    running.set(jobId, attempt)
  })
})
