import type { Retention } from '../../../job/retention.ts'
import type { JobState } from '../../../machines/job.ts'
import type { CommitMeter } from '../../commit-meter.ts'
import type { Epoch } from '../../epoch.ts'
import type { ScheduleMove, ScheduleMoveResult } from '../../schedules.ts'
import type { EventSet } from '../../sql/ranges.ts'
import type {
  AmendResult,
  Command,
  CommandResult,
  EnqueueResult,
  Lease,
  LeasedJob,
  LeaseEvent,
  Recovered,
  StoreEvent,
} from '../../store.ts'
import type { Batch } from '../batches.ts'
import type { FileId } from '../file/held-locks.ts'
import type { Owner } from '../file/lock.ts'

/** The loop's requests to the store's thread. */
export type Request =
  | ({ readonly op: 'enqueue' } & NewCalls)
  | { readonly op: 'lease'; readonly limit: number; readonly wait: boolean; readonly start: boolean }
  | {
      readonly op: 'apply'
      readonly sets: readonly EventSet[]
      readonly attempts?: AttemptTraces | null
      readonly reports?: string | null
      readonly results?: Results | null
    }
  /** `reports`: as `reportsOf` makes them; `size`: how much they count in a transaction. */
  | { readonly op: 'report'; readonly reports: string; readonly size: number }
  | { readonly op: 'abandon'; readonly leases: readonly Lease[] }
  | { readonly op: 'recover'; readonly after: number }
  | { readonly op: 'send'; readonly command: Command; readonly id: number; readonly cause: string | null }
  | {
      readonly op: 'amend'
      readonly id: number
      readonly changes: string
      readonly cause: string | null
      readonly requeue: boolean
    }
  | {
      readonly op: 'command'
      readonly command: Command
      readonly ids: readonly number[]
      readonly state: JobState | undefined
      readonly cause: string | null
    }
  | ({ readonly op: 'moveSchedules' } & PackedMoves)
  | { readonly op: 'sweep' | 'noteStop' | 'stopLeasing' | 'close' }

/** The `traceparent`s of attempts whose jobs may be tried again. */
export type AttemptTraces = readonly (readonly [jobId: number, traceparent: string])[]

/** What the handlers of `length` jobs with consecutive ids and one lease token returned, as a JSON array. */
export type ResultList = readonly [firstId: number, length: number, leaseToken: number, results: string]

/** What handlers returned. `singles`: of jobs without a neighbour that did, as a JSON object by `resultKey`, for one statement; null if there are none. */
export interface Results {
  readonly shared: readonly ResultList[]
  readonly singles: string | null
}

export type Operation = Request['op']

/** The jobs of calls that arrived together. */
export interface NewCalls {
  /** The id of the first call, for when they must be settled one by one; the ids of the others follow it. */
  readonly firstCallId: number
  /** How many jobs each call has, in order; null: one each. */
  readonly counts: readonly number[] | null
  readonly batches: readonly Batch[]
}

/** A move of a schedule without its job. */
export type PackedMove = Omit<ScheduleMove, 'job'> & { readonly makesJob: boolean }

/** `count` moves of schedules as JSON text, which costs a third of objects, and their jobs in the same order. */
export interface PackedMoves {
  readonly count: number
  readonly moves: string
  readonly batches: readonly Batch[]
}

/** The thread's answer to each request. */
export interface Answers {
  /**
   * All stored, with consecutive ids and, for each batch, its state and its number of jobs; or a result for each call; null if each call is
   * answered separately, by its own id.
   */
  enqueue:
    | { readonly firstId: number; readonly states: readonly JobState[]; readonly counts: readonly number[] }
    | readonly EnqueueResult[]
    | null
  /** The facts of leased jobs as JSON text, which costs a third of objects, their payloads, and their traces as JSON text; null if none has one. */
  lease: { readonly facts: string; readonly payloads: readonly LeasedJob['payload'][]; readonly traces: string | null }
  apply: RefusedEvent[]
  report: null
  abandon: null
  /** One bounded step: where to continue (`last`; null when done), what it recovered, and `wasStopping` as in `Recovered`. */
  recover: Recovered & { readonly last: number | null }
  send: CommandResult
  amend: AmendResult
  command: number[]
  moveSchedules: ScheduleMoveResult[]
  sweep: null
  noteStop: null
  stopLeasing: null
  close: null
}

/** One event of an `apply` that changed nothing. */
export type RefusedEvent = Pick<LeaseEvent, 'event' | keyof Lease>

/** Why a call was refused; nothing of it is stored. */
export type Rejection = { readonly kind: 'unavailable' | 'full' | 'broken invariant'; readonly message: string }

/** Loop to thread: all requests of one turn of the loop. */
export type Requests = readonly (readonly [callId: number, request: Request])[]

/** Thread to loop: everything that one commit settled. It is sent after the files were checked and the mark was written. */
export interface Reply {
  readonly opened?: { readonly epochs: readonly Epoch[] }
  /** Why the file was not opened. */
  readonly openFailure?:
    | { readonly kind: 'unusable' | 'unavailable'; readonly message: string }
    | {
        readonly kind: 'jobs lost'
        readonly fault: string
        readonly missing: number | null
        readonly acceptance: string
      }
  readonly settled: readonly (readonly [callId: number, answer: Answers[Operation]])[]
  readonly refused: readonly (readonly [callId: number, refusal: Rejection])[]
  readonly events: readonly Exclude<StoreEvent, { type: 'fatal' }>[]
  /** `lost`: a `DatabaseLostError`. */
  readonly fatal?: { readonly message: string; readonly lost: boolean }
}

export interface WriterOptions {
  readonly leaseMs: number
  /** Job types that may be leased here. */
  readonly types: readonly string[]
  /** Limits on all waiting jobs, and on those of one queue; without the latter only the former applies. */
  readonly maxQueueDepth: number
  readonly maxDepthPerQueue?: number | undefined
  readonly retentionMs: number
  readonly retention?: Retention | undefined
}

/** The options of the thread. */
export interface ThreadOptions {
  readonly path: string
  /** Null for a producer, which enqueues, and leaves leases, sweeps and commands to the server. */
  readonly server: { readonly owner: Owner; readonly lock: FileId | null } | null
  readonly writer: WriterOptions
  /** The id of a new file, or of a new epoch. */
  readonly newDatabaseId: string
  readonly acceptLoss: string | undefined
  readonly secureDelete?: boolean | undefined
  /** The cell of a manual clock; null for the system clock. */
  readonly clock: BigInt64Array | null
  /** See `Heartbeat`. */
  readonly heartbeat: Int32Array | null
  /** The memory for its measurements of commits. */
  readonly commits: CommitMeter['memory']
  /** One cell, which the loop changes and notifies after each message: a thread that sleeps waits for that. */
  readonly bell: Int32Array
}
