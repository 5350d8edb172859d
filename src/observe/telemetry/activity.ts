import type { Assigned, takenPhases } from '../../machines/slots.ts'

export type Phase = (typeof takenPhases)[number]

/** What runs now: one entry for each used slot, by worker. */
export interface Activity {
  /** The dispatcher's state, such as `dispatching` or `draining`; null for a producer, which runs nothing. */
  readonly mode: string | null
  /** The most jobs that run at once. */
  readonly slots: number
  readonly workers: readonly WorkerActivity[]
}

export interface WorkerActivity {
  /** From 1. Beyond 100 slots a worker has several of them. */
  readonly worker: number
  readonly jobId: number
  readonly type: string
  /** From 1. */
  readonly attempt: number
  /** `stuck`: the attempt was given up, but its handler is still running. */
  readonly phase: Phase
  /** When the handler was called, in epoch ms; null before. */
  readonly since: number | null
}

/** Assignments as readers see them. */
export function toWorkerActivity(assigned: readonly Assigned[]): WorkerActivity[] {
  return assigned.map(({ job, worker, phase, attempt }) => ({
    worker: worker + 1,
    jobId: job.id,
    type: job.type,
    attempt: job.attempt + 1,
    // An assigned job always holds a slot.
    phase: phase as Phase,
    since: attempt?.startedAt ?? null,
  }))
}
