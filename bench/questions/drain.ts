import type { JobSystem } from '../../src/index.ts'
import { comparing } from '../compare.ts'
import { Engine, type EngineOptions } from '../engine.ts'
import { BareSqlite } from '../limit.ts'
import { bulkBatch, jobsPerRun, limitBatch, payloadText, perSecond, repeat, warmUpJobs, workers } from '../load.ts'

/** How fast do 100 workers run queued jobs? */
export const drain = comparing({
  about: 'all jobs are queued, then run: lease, start and success of each on disk; the limit commits batches of 100',
  units: { drain: 'jobs/s' },
  detail: { jobs: jobsPerRun, workers, limitBatch },
  engine: async (folder) => ({ values: { drain: await drainEngine(folder) } }),
  limit: (folder) => ({ values: { drain: drainBare(folder) } }),
})

/** What else runs, from before the first job; returns a function that ends it. */
type Meanwhile = (system: JobSystem) => Promise<() => Promise<void>>

/** Adds the jobs to those already queued in `folder`, and runs as many; jobs/s. */
export async function drainEngine(
  folder: string,
  meanwhile?: Meanwhile,
  onRun?: EngineOptions['onRun'],
): Promise<number> {
  const engine = await Engine.open(folder, { workers, ...(onRun ? { onRun } : {}) })
  await engine.fill(warmUpJobs + jobsPerRun)
  const end = await meanwhile?.(engine.system)
  try {
    await engine.system.start()
    await engine.begun(warmUpJobs)
    const { count, ms } = await engine.succeeded(warmUpJobs + jobsPerRun, performance.now())
    return perSecond({ count: count - warmUpJobs, ms })
  } finally {
    await end?.()
    await engine.close()
  }
}

/** The same in bare SQLite. */
export function drainBare(folder: string): number {
  const bare = new BareSqlite(folder)
  const batch = Array.from({ length: bulkBatch }, () => payloadText)
  repeat(warmUpJobs + jobsPerRun, () => bare.enqueue(batch))
  repeat(warmUpJobs, () => bare.drain(limitBatch))
  const work = repeat(jobsPerRun, () => bare.drain(limitBatch))
  bare.close()
  return perSecond(work)
}
