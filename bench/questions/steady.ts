import { comparing } from '../compare.ts'
import { Engine } from '../engine.ts'
import { jobsPerRun, lanes, limitBatch, perSecond, repeatInLanes, warmUpJobs, workers } from '../load.ts'
import { endToEndBare } from './end-to-end.ts'

/** How many jobs per second can come and go at the same time? */
export const steady = comparing({
  about:
    '100 callers, each awaits its enqueue before its next, while 100 workers run, until the last success is on disk; the limit is that of `end_to_end`',
  units: { steady: 'jobs/s' },
  detail: { jobs: jobsPerRun, workers, callers: lanes, limitBatch },

  engine: async (folder) => ({ values: { steady: await steadyEngine(folder, jobsPerRun) } }),

  limit: (folder) => ({ values: { steady: endToEndBare(folder) } }),
})

/** Lets this many jobs come and go in a file in `folder`; jobs/s. */
export async function steadyEngine(folder: string, jobs: number): Promise<number> {
  const engine = await Engine.open(folder, { workers })
  const enqueue = () => engine.enqueueOne()
  await engine.system.start()
  await repeatInLanes(lanes, warmUpJobs, enqueue)
  await engine.succeeded(warmUpJobs, performance.now())
  const begun = performance.now()
  const enqueued = await repeatInLanes(lanes, jobs, enqueue)
  const { count, ms } = await engine.succeeded(warmUpJobs + enqueued.count, begun)
  await engine.close()
  return perSecond({ count: count - warmUpJobs, ms })
}
