import { comparing } from '../compare.ts'
import { Engine } from '../engine.ts'
import { BareSqlite } from '../limit.ts'
import { payloadText, perSecond, repeat, repeatInLanes, workers } from '../load.ts'

const jobs = 20_000
const warmUp = 5_000
/** One commit each: on most disks time is up before all jobs are stored. */
const forMs = 2_500

/** How fast can one caller enqueue that waits for each acknowledgement? */
export const enqueueSingle = comparing({
  about: 'one caller awaits each enqueue before the next; the limit commits each job by itself',
  units: { enqueue_single: 'jobs/s' },
  detail: { jobs, workers: 0, callers: 1, limitBatch: 1 },

  async engine(folder) {
    const engine = await Engine.open(folder, { workers })
    const enqueue = () => engine.enqueueOne()
    await repeatInLanes(1, warmUp, enqueue)
    const work = await repeatInLanes(1, jobs, enqueue, forMs)
    await engine.close()
    return { values: { enqueue_single: perSecond(work) } }
  },

  limit(folder) {
    const bare = new BareSqlite(folder)
    const enqueue = () => bare.enqueue([payloadText])
    repeat(warmUp, enqueue)
    const work = repeat(jobs, enqueue, forMs)
    bare.close()
    return { values: { enqueue_single: perSecond(work) } }
  },
})
