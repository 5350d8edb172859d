import type { RunningAttempt } from '../../machines/worker.ts'
import type { JobFacts } from '../../persistence/store.ts'

/** What a job system is doing; a producer knows no more than `created`, `serving` and what follows. */
export type ServerPhase = 'created' | 'recovering' | 'serving' | 'draining' | 'stopped' | 'failed'

/** One attempt of a job that this process knows of. */
export interface AttemptFacts {
  /** Of the lease that it was made under. */
  readonly leaseToken: number
  /** `next`: waits for a worker to come free. `stuck`: given up, but its handler goes on. */
  readonly phase: 'next' | 'called' | 'stuck'
  /** Null where the handler was not called yet. */
  readonly timeoutMs: number | null
  /** When its handler was told to stop, in epoch ms, and why; null while it was not. */
  readonly aborted: RunningAttempt['aborted']
}

/** What the file's server knows of itself and of one job, and the file does not. */
export interface ServerFacts {
  readonly phase: ServerPhase
  /** What dead processes had leased has been moved on: a lease in the file is this process's. */
  readonly hasRecovered: boolean
  /** Why commits fail; null where they go well. */
  readonly trouble: string | null
  /** When a stop that has begun aborts what still runs, in epoch ms. */
  readonly abortsAt: number | null
  /** Whether the job's type is run here. */
  readonly hasHandler: boolean
  /** How long what has ended is kept; 0: for ever. */
  readonly retentionMs: number
  /** Attempts that can be made at once, those that hold a slot now, and those of them that were given up and do not end. */
  readonly slots: number
  readonly busy: number
  readonly stuck: number
  readonly attempts: readonly AttemptFacts[]
}

/** All that an explanation is made from: a snapshot, in which the file was read a little before the process. */
export interface Facts {
  readonly jobFacts: JobFacts
  /** Null where this process is no server: then the file is all that is known. */
  readonly server: ServerFacts | null
  /** Epoch ms. */
  readonly now: number
}
