import { comparing } from '../compare.ts'
import { Engine } from '../engine.ts'
import { BareSqlite } from '../limit.ts'
import { bulkBatch, payloadText, perSecond, repeat, repeatInLanes, warmUpJobs, workers } from '../load.ts'

const callers = 4
/** More than in other figures, because 50,000 jobs are stored in a sixth of a second. */
const calls = 200

/** How fast can callers enqueue by calls of 1,000? */
export const enqueueBulk = comparing({
  about:
    '4 callers, each awaits its call of 1,000 jobs before its next; oneCaller: the same by one alone; the limit commits batches of 1,000',
  units: { enqueue_bulk: 'jobs/s' },
  detail: { jobs: calls * bulkBatch, workers: 0, callers, limitBatch: bulkBatch },

  async engine(folder) {
    const engine = await Engine.open(folder, { workers })
    const enqueue = () => engine.enqueueBatch()
    await repeatInLanes(callers, warmUpJobs / bulkBatch, enqueue)
    const work = await repeatInLanes(callers, calls, enqueue)
    const alone = await repeatInLanes(1, calls, enqueue)
    await engine.close()
    return { values: { enqueue_bulk: perSecond(work) }, notes: { oneCaller: perSecond(alone) } }
  },

  limit(folder) {
    const bare = new BareSqlite(folder)
    const enqueue = () => bare.enqueue(Array.from({ length: bulkBatch }, () => payloadText))
    repeat(warmUpJobs, enqueue)
    const work = repeat(calls * bulkBatch, enqueue)
    bare.close()
    return { values: { enqueue_bulk: perSecond(work) } }
  },
})
