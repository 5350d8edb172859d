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

/** How fast can 100 callers enqueue, each of which waits for its own acknowledgements? */
export const enqueueLanes = comparing({
  about: '100 callers, each awaits its enqueue before its next; the limit commits batches of 100',
  units: { enqueue_lanes: 'jobs/s' },
  detail: { jobs: jobsPerRun, workers: 0, callers: lanes, limitBatch },

  async engine(folder) {
    const engine = await Engine.open(folder, { workers })
    const enqueue = () => engine.enqueueOne()
    await repeatInLanes(lanes, warmUpJobs, enqueue)
    const work = await repeatInLanes(lanes, jobsPerRun, enqueue)
    await engine.close()
    return { values: { enqueue_lanes: perSecond(work) } }
  },

  limit(folder) {
    const bare = new BareSqlite(folder)
    const enqueue = () => bare.enqueue(Array.from({ length: limitBatch }, () => payloadText))
    repeat(warmUpJobs, enqueue)
    const work = repeat(jobsPerRun, enqueue)
    bare.close()
    return { values: { enqueue_lanes: perSecond(work) } }
  },
})
