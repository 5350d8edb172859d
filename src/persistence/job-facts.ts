import type { JobRow } from '../job/row.ts'
import type { HistoryEvent } from './history.ts'

/**
 * A node: a process that serves the database and holds leases, by the name that it wrote there. It may have ended since; the store decides
 * which nodes are alive (`recoverOrphans`).
 */
export interface Owner {
  readonly pid: number
  readonly host: string
  readonly startedAt: string
}

/** A node that holds a job, if it is another than the one that was asked. */
interface OtherNode {
  readonly id: number
  /** Since it was heard of last, in ms by the database's clock. */
  readonly silentMs: number
  /** Silent for so long while others are heard of, it is declared dead. */
  readonly leaseMs: number
  /** Until then, in ms. */
  readonly leftMs: number
  /** It has ended, or was declared dead. */
  readonly isGone: boolean
}

/** A count; `more`: it stopped at a limit, and there are more. */
export interface Counted {
  readonly count: number
  readonly more: boolean
}

/** The place of a ready job: the jobs of its queue that are leased before it, those of them with a higher priority, and the queues that take turns, its own included. */
export interface PlaceInLine {
  readonly ahead: Counted
  readonly higher: Counted
  /** The highest priority of a ready job of its queue, its own included. */
  readonly highest: number
  readonly queues: Counted
}

/** How many of the newest events of a job are examined for failures, crashes and snoozes. */
export const jobFactsEventsMax = 1_000

/** Everything in the database that explains the state of a job, read at one instant. */
export interface JobFacts {
  readonly job: Pick<
    JobRow,
    | 'id'
    | 'state'
    | 'type'
    | 'queue'
    | 'priority'
    | 'attempt'
    | 'maxAttempts'
    | 'crashes'
    | 'timeoutMs'
    | 'runAt'
    | 'createdAt'
    | 'startedAt'
    | 'finishedAt'
    | 'idempotencyKey'
    | 'traceId'
  >
  /** What of it cannot be read, as a clause; null if all can. It is not run then. */
  readonly fault: string | null
  /** A server had no handler for its type, so it was set aside. */
  readonly isUnhandled: boolean
  /** It is to run alone. */
  readonly isSuspect: boolean
  /** The suspect that was started last and has not ended; null if there is none. */
  readonly exclusive: Pick<JobRow, 'id' | 'crashes' | 'startedAt' | 'timeoutMs'> | null
  /** Suspects in line that start before it. */
  readonly suspectsAhead: Counted
  /** `owner`: the node that holds it; null if it is not known. `other`: left out if it is this one. */
  readonly lease: {
    readonly token: number
    readonly expiresAt: number
    readonly owner: Owner | null
    readonly other?: OtherNode | undefined
  } | null
  /** Other live nodes that run its type; left out if there is only one node. */
  readonly handledByOthers?: number
  readonly lastEvent: HistoryEvent
  /** The end of the last attempt that failed, also from before a requeue. */
  readonly lastFailure: HistoryEvent | null
  /** The end of the last attempt, however it ended. */
  readonly lastEnd: HistoryEvent | null
  /** Attempts that ended with a snooze, and when the first of them did. */
  readonly snoozes: { readonly count: number; readonly since: number | null }
  /** Its unique key, and the other job that holds it, if one does; null if it has none. */
  readonly uniqueKey: { readonly key: string; readonly holder: Pick<JobRow, 'id' | 'state'> | null } | null
  /** How often its idempotency key was used again, so that this job was the answer, and when last; null if it was not. */
  readonly replays: { readonly count: number; readonly lastAt: number } | null
  /** Null if it is not ready, was set aside, or is a suspect. */
  readonly line: PlaceInLine | null
  /** The node that began to serve the database last; null if there was none. */
  readonly newestOwner: Owner | null
}
