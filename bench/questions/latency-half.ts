import { join } from 'node:path'
import { waitsOf } from '../arrivals.ts'
import { comparing } from '../compare.ts'
import { workers } from '../load.ts'
import { percentile } from '../statistics.ts'
import { steadyEngine } from './steady.ts'

const capacityJobs = 25_000
const arrivingMs = 2_000
const warmUpMs = 500

/** How long does a job wait at half of what the engine can do? */
export const latencyHalf = comparing({
  about:
    'from the call of enqueue to the first line of the handler, jobs arriving evenly at half of what `steady` gave right before; lateP99Ms: how late the calls themselves came, on the loop that they share with the engine and with timers of a millisecond',
  units: { latency_half_p50_ms: 'ms', latency_half_p99_ms: 'ms' },
  detail: { workers, arrivingMs },

  async engine(folder) {
    const capacity = await steadyEngine(join(folder, 'steady'), capacityJobs)
    const jobsASecond = Math.round(capacity / 2)
    const jobs = Math.round((jobsASecond * arrivingMs) / 1_000)
    const warmUp = Math.round((jobsASecond * warmUpMs) / 1_000)
    const { waits, late } = await waitsOf(join(folder, 'half'), { jobs, warmUp, jobsASecond, workers })
    return {
      values: { latency_half_p50_ms: percentile(waits, 0.5), latency_half_p99_ms: percentile(waits, 0.99) },
      notes: { jobs, jobsASecond, capacity, lateP99Ms: percentile(late, 0.99) },
    }
  },
})
