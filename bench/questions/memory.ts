import { comparing } from '../compare.ts'
import { workers } from '../load.ts'
import { memoryOf, million, openMillion } from '../million.ts'

/** How much memory does a process use that serves a file with a million queued jobs? */
export const memory = comparing({
  about:
    'resident memory of a process of its own that has opened a file with a million queued jobs and runs 100 of them; the limit is a process with better-sqlite3 on such a file; filledMb: of the process that enqueued the million by calls of 1,000',
  units: { memory_mb: 'MB' },
  detail: { jobs: million, workers },

  async engine(_folder, bench) {
    const { engine, filledMb } = await openMillion.queued(bench)
    return { values: { memory_mb: await memoryOf('serve', engine) }, notes: { filledMb } }
  },

  async limit(_folder, bench) {
    const { bare } = await openMillion.queued(bench)
    return { values: { memory_mb: await memoryOf('bare-serve', bare) } }
  },
})
