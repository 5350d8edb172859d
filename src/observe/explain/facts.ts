import { hasTag } from '../../machines/edges.ts'
import type { Prefetch } from '../../machines/prefetch.ts'
import type { Assigned, RunningAttempt, Slots, Standstill } from '../../machines/slots.ts'
import type { JobFacts } from '../../persistence/store.ts'

/** For how long what is due, or has run out, may stay as it is before a reader thinks that no server lives, in ms. */
const lateMs = 1_000

/** One attempt of a job that this process knows of. */
interface AttemptFacts {
  /** Of the lease that it was made under. */
  readonly leaseToken: number
  /** `next`: waits for a worker to come free. `stuck`: given up, but its handler goes on. */
  readonly phase: 'next' | 'called' | 'stuck'
  /** Null if the handler was not called yet. */
  readonly timeoutMs: number | null
  /** When its handler was told to stop, in epoch ms, and why; null while it was not. */
  readonly aborted: RunningAttempt['aborted']
  readonly standstill: Standstill
}

/** An attempt that holds a worker. */
export interface WorkerHolder {
  readonly jobId: number
  readonly type: string
  /** When its handler was called, in epoch ms. */
  readonly since: number
  /** When it is told to stop, if it goes on for so long; null if it was told. */
  readonly until: number | null
  /** When it was told to stop; null if it was not. */
  readonly abortedAt: number | null
}

/** What the file's server knows of itself and of one job, and the file does not. */
export interface ServerFacts {
  /** What the system is doing; a producer is never `recovering`. */
  readonly phase: 'created' | 'recovering' | 'serving' | 'draining' | 'stopped' | 'failed'
  /** What dead processes had leased has been moved on: a lease in the file is this process's. */
  readonly hasRecovered: boolean
  /** Why commits fail; null if they go well. */
  readonly trouble: string | null
  /** When a stop that has begun aborts what still runs, in epoch ms. */
  readonly abortsAt: number | null
  /** Whether the job's type is run here. */
  readonly hasHandler: boolean
  /** Those that are. */
  readonly types: readonly string[]
  /** How long what has ended is kept; 0: for ever. */
  readonly retentionMs: number
  /** Attempts that can be made at once, those that hold a slot now, and what is known of them. */
  readonly slots: number
  readonly busy: number
  readonly holders: readonly WorkerHolder[]
  readonly attempts: readonly AttemptFacts[]
}

/** All that an explanation is made from; the file was read a little before the process. */
export interface Snapshot {
  readonly jobFacts: JobFacts
  /** Null if this process is not a server: then it knows only the file. */
  readonly server: ServerFacts | null
  /** Epoch ms. */
  readonly now: number
}

/** A snapshot, and what follows from it of the job's lease and of the attempt that is made under it. */
export interface Facts extends Snapshot {
  readonly isExecuting: boolean
  /** Something has not happened that a live server would have made happen. */
  readonly isLate: boolean
  /** For a process that is not a server: the job is held, but its lease ran out so long ago that its holder must have ended. */
  readonly isAbandoned: boolean
  /** The job is held by a process that has ended: what is leased when a server comes is, until it has recovered. */
  readonly isOrphan: boolean
  /** The attempt that the job's lease was given for, as this process has it. */
  readonly attempt: AttemptFacts | undefined
  /** Its start is on disk and its handler was not called: the next worker that comes free does, or it is given back. */
  readonly isNext: boolean
  /** Its start is on disk; whether this process has heard of it already is not known. */
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
    isOrphan: lease !== null && server !== null && !server.hasRecovered,
    attempt,
    isNext: attempt?.phase === 'next',
    hasJustStarted: job.startedAt !== null && job.startedAt + lateMs > now,
  }
}

/** What is known without looking at the slots. */
type Known = Omit<ServerFacts, 'slots' | 'busy' | 'holders' | 'attempts'>

/** The part of the dispatcher that is observed. */
interface Dispatching {
  readonly slots: Slots
  readonly prefetch: Prefetch
}

function holderOf({ id, type }: Assigned['job'], { startedAt, timeoutMs, aborted }: RunningAttempt): WorkerHolder {
  const until = aborted ? null : startedAt + timeoutMs
  return { jobId: id, type, since: startedAt, until, abortedAt: aborted?.at ?? null }
}

const noStandstill: Standstill = { stoppedMs: 0, blockedMs: 0 }

/** What a server's dispatcher knows of one job, and of the workers that it may need. */
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
        return { leaseToken, phase: 'next', timeoutMs: null, aborted: null, standstill: noStandstill } as const
      }),
      ...assigned.map(({ job, phase, attempt }) => ({
        leaseToken: job.leaseToken,
        phase: phase === 'stuck' ? phase : ('called' as const),
        timeoutMs: attempt?.timeoutMs ?? null,
        aborted: attempt?.aborted ?? null,
        standstill: attempt?.standstill ?? noStandstill,
      })),
    ],
  }
}
