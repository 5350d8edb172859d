import { waitsOf } from '../arrivals.ts'
import { comparing } from '../compare.ts'
import type { Question } from '../question.ts'
import { leastTimeInQueueMs } from '../queueing.ts'
import { mean, percentile } from '../statistics.ts'

const attemptMs = 100
const jobsASecond = 500
const jobs = 5_000
const fullJobs = 50_000
const warmUp = 200
/** How long the engine may take beyond the calculated time before it is given up. */
const patienceMs = 30_000

/** How long do jobs of 100 ms wait on average, if 500 arrive per second and this many workers run them? */
export const brief: readonly Question[] = [10, 20, 50, 100, 200, 500].map((workers) => {
  const name = `brief_${workers}`
  return comparing({
    about: `average time in queue of jobs of 100 ms that come evenly, 500 a second, to ${workers} workers: from the call of enqueue to the first line of the handler, by one clock in one process, the commits in between; the limit is what arithmetic gives`,
    units: { [name]: 'ms' },
    once: true,
    detail: { workers, jobsASecond, attemptMs },

    async engine(folder, { full }) {
      const workload = { jobs: full ? fullJobs : jobs, jobsASecond, workers, attemptMs }
      const forMs = 3 * leastTimeInQueueMs(workload) + patienceMs
      const { waits } = await waitsOf(folder, { ...workload, warmUp, forMs })
      return {
        values: { [name]: mean(waits) },
        notes: { jobs: workload.jobs, p50Ms: percentile(waits, 0.5), p99Ms: percentile(waits, 0.99) },
      }
    },

    limit: (_folder, { full }) => ({
      values: { [name]: leastTimeInQueueMs({ jobs: full ? fullJobs : jobs, jobsASecond, workers, attemptMs }) },
    }),
  })
})
