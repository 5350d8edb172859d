import { evenly, waitsOf } from '../arrivals.ts'
import { comparing } from '../compare.ts'
import { BareSqlite } from '../limit.ts'
import { payloadText } from '../load.ts'
import { percentile } from '../statistics.ts'

const jobsASecond = 200
const workers = 10
const jobs = 2_000
const limitJobs = 500
const warmUp = 100

/** How long does a job wait if nothing delays it? */
export const latency = comparing({
  about:
    'from the call of enqueue to the first line of the handler, at 200 jobs a second, evenly spaced; the limit is one transaction that enqueues, leases and starts the job',
  units: { latency_p50_ms: 'ms', latency_p99_ms: 'ms' },
  detail: { jobs, workers, jobsASecond, limitBatch: 1 },

  async engine(folder) {
    const { waits } = await waitsOf(folder, { jobs, warmUp, jobsASecond, workers })
    return reading(waits)
  },

  async limit(folder) {
    const bare = new BareSqlite(folder)
    const waits: number[] = []
    await evenly(warmUp + limitJobs, jobsASecond, () => {
      const begun = performance.now()
      bare.enqueueAndStart(payloadText)
      waits.push(performance.now() - begun)
    })
    bare.close()
    return reading(waits.slice(warmUp))
  },
})

function reading(waits: readonly number[]) {
  return { values: { latency_p50_ms: percentile(waits, 0.5), latency_p99_ms: percentile(waits, 0.99) } }
}
