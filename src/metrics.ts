import type { Metrics } from './job-system.ts'
import { countStates, hasTag, jobStates } from './machines/edges.ts'
import type { JobState } from './machines/job.ts'
import type { EdgeCount } from './persistence/store.ts'
import type { RunStats } from './run-stats.ts'

/** Today's counts less those of when the file was opened: what has come since is this process's. */
export function toMetrics(counts: readonly EdgeCount[], countsAtOpen: readonly EdgeCount[], stats: RunStats): Metrics {
  const states = countStates(counts)
  const total = (which: (state: JobState) => boolean) =>
    jobStates.filter(which).reduce((sum, state) => sum + states[state], 0)
  const sinceOpened = (which: (edge: EdgeCount) => boolean) =>
    sum(counts.filter(which)) - sum(countsAtOpen.filter(which))
  return {
    activeWorkers: stats.active,
    queueDepth: total((state) => hasTag(state, 'ready')),
    deadLetterCount: total((state) => hasTag(state, 'ended') && !hasTag(state, 'expendable')),
    retryCount: sinceOpened((edge) => hasFailed(edge) && edge.to !== null && hasTag(edge.to, 'waiting')),
    successCount: sinceOpened(({ event }) => event === 'succeed'),
    failureCount: sinceOpened(hasFailed),
    avgExecutionMs: stats.avgExecutionMs,
    avgTimeInQueueMs: stats.avgTimeInQueueMs,
  }
}

/** An attempt that ended badly; a lease that ran out before its start was none. */
function hasFailed({ event, from }: EdgeCount): boolean {
  return (event === 'fail' || event === 'reject' || event === 'expire') && hasTag(from, 'executing')
}

function sum(counts: readonly EdgeCount[]): number {
  return counts.reduce((total, { count }) => total + count, 0)
}
