import { comparing } from '../compare.ts'
import { Engine } from '../engine.ts'
import { bulkBatch, jobsPerRun, perSecond, warmUpJobs, workers } from '../load.ts'
import { MixedJobs } from '../mixed.ts'

/** Does it matter in how many queues the jobs are? */
export const queues = comparing({
  about: 'jobs/s of `drain` with jobs in 100 and in 10,000 queues at random, over that with all jobs in one',
  units: { queues_100: 'ratio', queues_10000: 'ratio' },
  detail: { jobs: jobsPerRun, workers },

  async engine(folder) {
    const one = await drainOf(folder, 1)
    const hundred = await drainOf(folder, 100)
    const tenThousand = await drainOf(folder, 10_000)
    return {
      values: { queues_100: hundred / one, queues_10000: tenThousand / one },
      notes: { drain1: one, drain100: hundred, drain10000: tenThousand },
    }
  },
})

async function drainOf(folder: string, queues: number): Promise<number> {
  const jobs = new MixedJobs()
  const engine = await Engine.open(folder, { workers, file: `${queues}.db` })
  for (let left = warmUpJobs + jobsPerRun; left > 0; left -= bulkBatch)
    await engine.system.enqueue(Array.from({ length: bulkBatch }, () => jobs.inQueueOf(queues)))
  await engine.system.start()
  await engine.begun(warmUpJobs)
  const { count, ms } = await engine.succeeded(warmUpJobs + jobsPerRun, performance.now())
  await engine.close()
  return perSecond({ count: count - warmUpJobs, ms })
}
