import { comparing } from '../compare.ts'
import { jobsPerRun, limitBatch, workers } from '../load.ts'
import { million, openMillion, type Waiting } from '../million.ts'
import type { Bench, Question } from '../question.ts'
import { drainBare, drainEngine } from './drain.ts'

/** How much of its speed is left when a million jobs wait behind? */
export const backlog = besideMillion('backlog', 'queued')

/** `name`: the figure's. */
export function besideMillion(name: string, waiting: Waiting): Question {
  const open = (bench: Bench) => openMillion[waiting](bench)
  return comparing({
    about: `drain/s with a million jobs ${waiting} in the same queue, over drain/s with none`,
    units: { [name]: 'ratio' },
    detail: { jobs: jobsPerRun, [waiting]: million, workers, limitBatch },

    async engine(folder, bench) {
      const { engine } = await open(bench)
      const withNone = await drainEngine(folder)
      const withMillion = await drainEngine(engine)
      return { values: { [name]: withMillion / withNone }, notes: { withNone, withMillion } }
    },

    async limit(folder, bench) {
      const { bare } = await open(bench)
      const limitWithNone = drainBare(folder)
      const limitWithMillion = drainBare(bare)
      return { values: { [name]: limitWithMillion / limitWithNone }, notes: { limitWithNone, limitWithMillion } }
    },
  })
}
