import { type Actor, createActor, type InputFrom } from 'xstate'
import type { Settings } from '../../config.ts'
import { JobCancelledError, LeaseLostError, ShutdownError } from '../../errors.ts'
import { exponential } from '../../handlers/backoff.ts'
import type { JobContext } from '../../handlers/define.ts'
import type { Registry } from '../../handlers/registry.ts'
import { dispatcherMachine } from '../../machines/dispatcher.ts'
import type { RunStats } from '../../observe/telemetry/run-stats.ts'
import type { Tracing } from '../../observe/tracing/tracing.ts'
import type { Store } from '../../persistence/store.ts'
import type { Clock } from '../../runtime/clock.ts'
import { timers } from '../../runtime/timers.ts'
import type { Inspector, SystemLog } from '../job-system.ts'
import { createRunAttempt } from './attempt.ts'
import { LongPayloads } from './long-payloads.ts'
import { Reports } from './reports.ts'

/** What a dispatcher is made of. */
interface DispatcherParts {
  readonly settings: Settings
  readonly clock: Clock
  readonly random: () => number
  readonly log: SystemLog
  readonly keepLogs: boolean
  readonly inspect?: Inspector | undefined
  readonly registry: Registry
  readonly store: Store
  readonly stats: RunStats
  readonly tracing: Tracing
  readonly listener: InputFrom<typeof dispatcherMachine>['listener']
}

/** Creates the actor that gives jobs to workers, with what its attempts need, but does not start it. */
export function createDispatcher(parts: DispatcherParts): Actor<typeof dispatcherMachine> {
  const { settings, clock, random, log, keepLogs, inspect, registry, store, stats, tracing, listener } = parts
  const clockTimers = clock.timers ?? timers
  const runAttempt = createRunAttempt({
    registry,
    databaseIdOf: (jobId) => store.databaseIdOf(jobId),
    transactions: store,
    longPayloads: new LongPayloads(store),
    scheduleOf: (jobId) => scheduleOf(store, jobId),
    timeoutMs: settings.jobTimeoutMs,
    maxResultBytes: settings.maxResultBytes,
    backoff: exponential({ baseMs: settings.retryBaseMs, maxMs: settings.retryMaxMs }),
    random,
    now: () => clock.now(),
    // With a manual clock, no time is lost while the loop is blocked.
    stalls: clock.timers ? { loopMs: () => 0, threadMs: () => 0 } : store.stalls,
    timers: clockTimers,
    reports: new Reports(store, clockTimers),
    keepLogs,
    tracing,
    log: ({ id, type, attempt }, trace) => log.child({ job_id: id, type, attempt: attempt + 1, ...trace }),
    stats: {
      started(job, at, attemptMs) {
        store.letLive(attemptMs)
        stats.started(job, at)
      },
      ended: (job, tookMs) => stats.ended(job, tookMs),
    },
  })
  return createActor(dispatcherMachine, {
    ...(inspect ? { inspect: harmless(inspect, log) } : {}),
    input: {
      workers: settings.workers,
      runAttempt,
      reasons: {
        shutdown: () => new ShutdownError(),
        lost: (cancelled) => (cancelled ? new JobCancelledError() : new LeaseLostError()),
      },
      store,
      listener,
    },
  })
}

/** Read when a handler asks, so that no other job pays for it. */
async function scheduleOf(store: Pick<Store, 'history'>, jobId: number): ReturnType<JobContext['schedule']> {
  const [origin] = (await store.history(jobId, { after: 0, limit: 1 })) ?? []
  if (origin?.schedule === undefined) return null
  const { schedule: name, tick = null, missed = 0, firstMissed = null } = origin
  return { name, tick, missed, firstMissed }
}

/** A throw inside an actor's work would end that actor. */
function harmless(inspect: Inspector, log: SystemLog): Inspector {
  return (event) => {
    try {
      inspect(event)
    } catch (error) {
      log.error({ err: error }, 'the inspect callback threw')
    }
  }
}
