import { comparing } from '../compare.ts'
import { jobsPerRun, limitBatch, workers } from '../load.ts'
import { million, openMillion } from '../million.ts'
import { drainBare, drainEngine } from './drain.ts'

/** What of its speed is left when a million jobs wait behind? */
export const backlog = comparing({
  about: 'drain/s with a million jobs queued in the same queue, over drain/s with none',
  units: { backlog: 'ratio' },
  detail: { jobs: jobsPerRun, queued: million, workers, limitBatch },

  async engine(folder, bench) {
    const { engine } = await openMillion(bench)
    const withNone = await drainEngine(folder)
    const withMillion = await drainEngine(engine)
    return { values: { backlog: withMillion / withNone }, notes: { withNone, withMillion } }
  },

  async limit(folder, bench) {
    const { bare } = await openMillion(bench)
    const limitWithNone = drainBare(folder)
    const limitWithMillion = drainBare(bare)
    return { values: { backlog: limitWithMillion / limitWithNone }, notes: { limitWithNone, limitWithMillion } }
  },
})
