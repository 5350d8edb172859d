import { comparing } from '../compare.ts'
import { Engine } from '../engine.ts'
import { BareSqlite } from '../limit.ts'
import {
  jobsPerRun,
  lanes,
  limitBatch,
  payloadText,
  perSecond,
  repeat,
  repeatInLanes,
  warmUpJobs,
  workers,
} from '../load.ts'

/** How many jobs a second can come and go at once? */
export const steady = comparing({
  about:
    '100 callers, each awaits its enqueue before its next, while 100 workers run, until the last success is on disk; the limit enqueues 100 jobs and drains them in one transaction',
  units: { steady: 'jobs/s' },
  detail: { jobs: jobsPerRun, workers, callers: lanes, limitBatch },

  engine: async (folder) => ({ values: { steady: await steadyEngine(folder, jobsPerRun) } }),

  limit(folder) {
    const bare = new BareSqlite(folder)
    const turn = () =>
      bare.enqueueAndDrain(
        Array.from({ length: limitBatch }, () => payloadText),
        limitBatch,
      )
    repeat(warmUpJobs, turn)
    const work = repeat(jobsPerRun, turn)
    bare.close()
    return { values: { steady: perSecond(work) } }
  },
})

/** Lets so many jobs come and go in a file in `folder`; jobs/s. */
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
