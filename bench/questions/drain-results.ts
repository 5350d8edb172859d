import { join } from 'node:path'
import { comparing } from '../compare.ts'
import { jobsPerRun, workers } from '../load.ts'
import { drainEngine } from './drain.ts'

const resultBytes = 100
const text = 'x'.repeat(resultBytes - JSON.stringify({ text: '' }).length)

/** How much of its speed is left if each job has a result? */
export const drainResults = comparing({
  about: 'drain/s of handlers that each return an object, over drain/s of handlers that return nothing',
  units: { drain_results: 'ratio' },
  detail: { jobs: jobsPerRun, workers, resultBytes },

  async engine(folder) {
    const withNone = await drainEngine(join(folder, 'none'))
    const withResults = await drainEngine(join(folder, 'results'), undefined, () => ({ text }))
    return { values: { drain_results: withResults / withNone }, notes: { withNone, withResults } }
  },
})
