import { comparing } from '../compare.ts'
import { Engine } from '../engine.ts'
import { BareSqlite } from '../limit.ts'
import { bulkBatch, jobsPerRun, payloadText, perSecond, repeat, repeatInLanes, warmUpJobs, workers } from '../load.ts'

/** How fast can one caller enqueue by calls of 1,000? */
export const enqueueBulk = comparing({
  about: 'one caller awaits each call of 1,000 jobs before the next; the limit commits batches of 1,000',
  units: { enqueue_bulk: 'jobs/s' },
  detail: { jobs: jobsPerRun, workers: 0, callers: 1, limitBatch: bulkBatch },

  async engine(folder) {
    const engine = await Engine.open(folder, { workers })
    const enqueue = () => engine.enqueueBatch()
    await repeatInLanes(1, warmUpJobs / bulkBatch, enqueue)
    const work = await repeatInLanes(1, jobsPerRun / bulkBatch, enqueue)
    const pipelined = await repeatInLanes(2, jobsPerRun / bulkBatch, enqueue)
    await engine.close()
    return { values: { enqueue_bulk: perSecond(work) }, notes: { withTwoCallsUnderWay: perSecond(pipelined) } }
  },

  limit(folder) {
    const bare = new BareSqlite(folder)
    const enqueue = () => bare.enqueue(Array.from({ length: bulkBatch }, () => payloadText))
    repeat(warmUpJobs, enqueue)
    const work = repeat(jobsPerRun, enqueue)
    bare.close()
    return { values: { enqueue_bulk: perSecond(work) } }
  },
})
