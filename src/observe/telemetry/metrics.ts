import { countStates, hasTag, jobStates } from '../../machines/edges.ts'
import { isCommand } from '../../machines/events.ts'
import type { JobState } from '../../machines/job.ts'
import type { EdgeCount } from '../../persistence/store.ts'
import type { RunStats } from './run-stats.ts'

/** The first three are current values from the store; the rest are since this process opened the file. */
export interface Metrics {
  readonly activeWorkers: number
  /** Jobs in `queued`. */
  readonly queueDepth: number
  readonly deadLetterCount: number
  /** Attempts that failed or whose lease expired, and that run again. */
  readonly retryCount: number
  readonly successCount: number
  /** Attempts that ended in `fail`, `reject` or `expire`. */
  readonly failureCount: number
  /** 0 if no attempt has ended. */
  readonly avgExecutionMs: number
  /** From `runAt` to the handler's call; 0 if no attempt has started. */
  readonly avgTimeInQueueMs: number
}

/** The current counts minus those when the file was opened: later changes happened during this process. */
export function toMetrics(counts: readonly EdgeCount[], countsAtOpen: readonly EdgeCount[], stats: RunStats): Metrics {
  const states = countStates(counts)
  const total = (which: (state: JobState) => boolean) =>
    jobStates.filter(which).reduce((sum, state) => sum + states[state], 0)
  const now = stepsIn(counts)
  const atOpen = stepsIn(countsAtOpen)
  return {
    activeWorkers: stats.active,
    queueDepth: total((state) => hasTag(state, 'ready')),
    deadLetterCount: total((state) => hasTag(state, 'ended') && !hasTag(state, 'expendable')),
    retryCount: now.retried - atOpen.retried,
    successCount: now.succeeded - atOpen.succeeded,
    failureCount: now.failed - atOpen.failed,
    avgExecutionMs: stats.avgExecutionMs,
    avgTimeInQueueMs: stats.avgTimeInQueueMs,
  }
}

/** Jobs that are ready now, and how many ever became ready other than by a command. */
export function toWaiting(counts: readonly EdgeCount[]): { readonly ready: number; readonly arrived: number } {
  const isReady = (state: JobState | null) => state !== null && hasTag(state, 'ready')
  return {
    ready: countEdges(counts, ({ to }) => isReady(to)) - countEdges(counts, ({ from }) => hasTag(from, 'ready')),
    arrived: countEdges(counts, ({ from, event, to }) => isReady(to) && !hasTag(from, 'ready') && !isCommand(event)),
  }
}

/** How often jobs took each step, in these counts. */
export function stepsIn(counts: readonly EdgeCount[]) {
  return {
    enqueued: countEdges(counts, ({ event }) => event === 'enqueue'),
    started: countEdges(counts, ({ event }) => event === 'start'),
    succeeded: countEdges(counts, ({ event }) => event === 'succeed'),
    failed: countEdges(counts, hasFailed),
    retried: countEdges(counts, (edge) => hasFailed(edge) && edge.to !== null && hasTag(edge.to, 'waiting')),
  }
}

/** How often edges of a kind were taken. */
function countEdges(counts: readonly EdgeCount[], which: (edge: EdgeCount) => boolean): number {
  return counts.reduce((sum, edge) => (which(edge) ? sum + edge.count : sum), 0)
}

/** An attempt that ended badly. A lease that expired before its start was not an attempt. */
function hasFailed({ event, from }: EdgeCount): boolean {
  return (event === 'fail' || event === 'reject' || event === 'expire') && hasTag(from, 'executing')
}
