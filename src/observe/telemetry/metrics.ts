import { countStates, hasTag, jobStates } from '../../machines/edges.ts'
import type { JobState } from '../../machines/job.ts'
import type { EdgeCount } from '../../persistence/store.ts'
import type { RunStats } from './run-stats.ts'

/** The first three are true now, from the store; the rest count since this process opened the file. */
export interface Metrics {
  readonly activeWorkers: number
  /** Jobs in `queued`. */
  readonly queueDepth: number
  readonly deadLetterCount: number
  /** Attempts that failed, or whose lease ran out, and that run again. */
  readonly retryCount: number
  readonly successCount: number
  /** Attempts that ended in `fail`, `reject` or `expire`. */
  readonly failureCount: number
  /** 0 where no attempt has ended. */
  readonly avgExecutionMs: number
  /** From `runAt` to the handler's call; 0 where no attempt has started. */
  readonly avgTimeInQueueMs: number
}

/** Today's counts less those of when the file was opened: what has come since is this process's. */
export function toMetrics(counts: readonly EdgeCount[], countsAtOpen: readonly EdgeCount[], stats: RunStats): Metrics {
  const states = countStates(counts)
  const total = (which: (state: JobState) => boolean) =>
    jobStates.filter(which).reduce((sum, state) => sum + states[state], 0)
  const sinceOpened = (which: (edge: EdgeCount) => boolean) =>
    countEdges(counts, which) - countEdges(countsAtOpen, which)
  return {
    activeWorkers: stats.active,
    queueDepth: total((state) => hasTag(state, 'ready')),
    deadLetterCount: total((state) => hasTag(state, 'ended') && !hasTag(state, 'expendable')),
    retryCount: sinceOpened(runsAgain),
    successCount: sinceOpened(({ event }) => event === 'succeed'),
    failureCount: sinceOpened(hasFailed),
    avgExecutionMs: stats.avgExecutionMs,
    avgTimeInQueueMs: stats.avgTimeInQueueMs,
  }
}

/** Jobs that are ready now, and how many became so ever, other than by being requeued. */
export function toWaiting(counts: readonly EdgeCount[]): { readonly ready: number; readonly arrived: number } {
  const isReady = (state: JobState | null) => state !== null && hasTag(state, 'ready')
  return {
    ready: countEdges(counts, ({ to }) => isReady(to)) - countEdges(counts, ({ from }) => hasTag(from, 'ready')),
    arrived: countEdges(counts, ({ event, to }) => isReady(to) && event !== 'requeue'),
  }
}

/** How often edges of a kind were taken. */
export function countEdges(counts: readonly EdgeCount[], which: (edge: EdgeCount) => boolean): number {
  return counts.reduce((sum, edge) => (which(edge) ? sum + edge.count : sum), 0)
}

/** An attempt that ended badly; a lease that ran out before its start was none. */
export function hasFailed({ event, from }: EdgeCount): boolean {
  return (event === 'fail' || event === 'reject' || event === 'expire') && hasTag(from, 'executing')
}

/** An attempt that ended badly and is to be made again. */
export function runsAgain(edge: EdgeCount): boolean {
  return hasFailed(edge) && edge.to !== null && hasTag(edge.to, 'waiting')
}
