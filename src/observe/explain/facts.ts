import { didYouMean } from '../../job/did-you-mean.ts'
import { hasTag } from '../../machines/edges.ts'
import type { EventType } from '../../machines/job.ts'
import type { LeaseEvent } from '../../machines/lease.ts'
import type { Prefetch } from '../../machines/prefetch.ts'
import type { Assigned, RunningAttempt, Slots, Stall } from '../../machines/slots.ts'
import type { HistoryEvent, JobFacts } from '../../persistence/store.ts'

/** How long a due job or an expired lease may stay unchanged before a reader concludes that no server is running, in ms. */
const lateMs = 1_000

/** One attempt of a job that this process knows. */
interface AttemptFacts {
  /** The token of its lease. */
  readonly leaseToken: number
  /** `next`: waits for a free worker. `stuck`: given up, but its handler is still running. */
  readonly phase: 'next' | 'called' | 'stuck'
  /** Null if the handler was not called yet. */
  readonly timeoutMs: number | null
  /** When its handler was told to stop, in epoch ms, and why; null before that. */
  readonly aborted: RunningAttempt['aborted']
  readonly stall: Stall
}

/** An attempt that holds a worker. */
export interface WorkerHolder {
  readonly jobId: number
  readonly type: string
  /** When its handler was called, in epoch ms. */
  readonly since: number
  /** When it will be told to stop, if it runs for that long; null if it already was. */
  readonly until: number | null
  /** When it was told to stop; null before that. */
  readonly abortedAt: number | null
}

/** What the file's server knows about itself and one job beyond what is in the file. */
export interface ServerFacts {
  /** What the system is doing; a producer is never `recovering`. */
  readonly phase: 'created' | 'recovering' | 'serving' | 'draining' | 'stopped' | 'failed'
  /** Whether the jobs of dead processes have been recovered, so that every lease in the file is this process's. */
  readonly hasRecovered: boolean
  /** Why commits fail; null if they succeed. `cause`: null if it is not known. */
  readonly trouble: { readonly message: string; readonly cause: 'full' | 'locked' | null } | null
  /** What stops nothing but should be ended, in clauses. */
  readonly warnings: readonly string[]
  /** When the current stop aborts running jobs, in epoch ms. */
  readonly abortsAt: number | null
  /** The path of the database file; null if it is none. */
  readonly file: string | null
  /** Whether the job's type has a handler here. */
  readonly hasHandler: boolean
  /** The types with a handler here. */
  readonly types: readonly string[]
  /** How long such a job is kept after it has ended in its state; 0 means forever. */
  readonly retentionMs: number
  /** The bulk action that the job's last event was part of, if this process still knows it. */
  readonly bulk: { readonly moved: number } | null
  /** The most simultaneous attempts, those that hold a slot now, and what is known about them. */
  readonly slots: number
  readonly busy: number
  readonly holders: readonly WorkerHolder[]
  readonly attempts: readonly AttemptFacts[]
  /** How its attempts ended whose outcome is not known to be on disk. */
  readonly outcomes: readonly Pick<LeaseEvent, 'leaseToken' | 'event'>[]
}

/** All facts of an explanation; the file was read a little before the process. */
export interface Snapshot {
  readonly jobFacts: JobFacts
  /** Its first event; left out if nobody has read it. */
  readonly origin?: HistoryEvent | undefined
  /** Null if this process is not a server: then it knows only the file. */
  readonly server: ServerFacts | null
  /** Epoch ms. */
  readonly now: number
}

/** A snapshot, with what follows from it about the job's lease and its attempt. */
export interface Facts extends Snapshot {
  readonly isExecuting: boolean
  /** Whether something has not happened that a running server would have done. */
  readonly isLate: boolean
  /** For a process that is not a server: the job is held, but its lease expired so long ago that its holder must have ended. */
  readonly isAbandoned: boolean
  /** Another node holds the job, as far as is known. */
  readonly isElsewhere: boolean
  /** The job is held by a process that has ended: all jobs that are leased when a server starts are, until it has recovered them. */
  readonly isOrphan: boolean
  /** The attempt of the job's lease, if this process has it. */
  readonly attempt: AttemptFacts | undefined
  /** How its handler ended, if that is not yet on disk. */
  readonly outcome: EventType | null
  /** Its start is on disk but its handler was not called: the next free worker calls it, or it is given back. */
  readonly isNext: boolean
  /** Its start is on disk, but it is unknown whether this process has heard of it. */
  readonly hasJustStarted: boolean
}

export function factsOf(snapshot: Snapshot): Facts {
  const { jobFacts, server, now } = snapshot
  const { job, lease } = jobFacts
  const attempt = lease === null ? undefined : server?.attempts.find(({ leaseToken }) => leaseToken === lease.token)
  const expected = lease ? lease.expiresAt : hasTag(job.state, 'timed') ? job.runAt : now
  const isLate = expected + lateMs < now
  return {
    ...snapshot,
    isExecuting: hasTag(job.state, 'executing'),
    isLate,
    isAbandoned: server === null && lease !== null && isLate,
    isElsewhere: lease?.other !== undefined && !lease.other.isGone,
    isOrphan: lease !== null && server !== null && (lease.other ? lease.other.isGone : !server.hasRecovered),
    attempt,
    outcome: server?.outcomes.find(({ leaseToken }) => leaseToken === lease?.token)?.event ?? null,
    isNext: attempt?.phase === 'next',
    hasJustStarted: job.startedAt !== null && job.startedAt + lateMs > now,
  }
}

/** The type with a handler here that is most similar to a job's type, if one is similar. */
export function nearestType({ jobFacts: { job }, server }: Facts): string | null {
  return /did you mean (\S+)\?/.exec(didYouMean(job.type, server?.types ?? []))?.[1] ?? null
}

/** What is known without the slots. */
type Known = Omit<ServerFacts, 'slots' | 'busy' | 'holders' | 'attempts' | 'outcomes'>

/** The observed part of the dispatcher. */
interface Dispatching {
  readonly slots: Slots
  readonly prefetch: Prefetch
}

function holderOf({ id, type }: Assigned['job'], { startedAt, timeoutMs, aborted }: RunningAttempt): WorkerHolder {
  const until = aborted ? null : startedAt + timeoutMs
  return { jobId: id, type, since: startedAt, until, abortedAt: aborted?.at ?? null }
}

const noStall: Stall = { stoppedMs: 0, blockedMs: 0 }

/** What a server's dispatcher knows about one job, and about the workers that it may need. */
export function serverFacts(jobId: number, known: Known, { slots, prefetch }: Dispatching): ServerFacts {
  const all = slots.assigned()
  const assigned = all.filter(({ job }) => job.id === jobId)
  const next = prefetch.next.filter(({ id }) => id === jobId)
  return {
    ...known,
    slots: slots.count,
    busy: slots.activeCount,
    holders: all.flatMap(({ job, attempt }) => (attempt ? [holderOf(job, attempt)] : [])),
    attempts: [
      ...next.map(({ leaseToken }) => {
        return { leaseToken, phase: 'next', timeoutMs: null, aborted: null, stall: noStall } as const
      }),
      ...assigned.map(({ job, phase, attempt }) => ({
        leaseToken: job.leaseToken,
        phase: phase === 'stuck' ? phase : ('called' as const),
        timeoutMs: attempt?.timeoutMs ?? null,
        aborted: attempt?.aborted ?? null,
        stall: attempt?.stall ?? noStall,
      })),
    ],
    outcomes: prefetch.uncommitted.filter(({ id }) => id === jobId),
  }
}
