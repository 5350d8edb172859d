import type { NewJob } from '../../src/index.ts'
import { comparing } from '../compare.ts'
import { Engine } from '../engine.ts'
import { bulkBatch, jobsPerRun, perSecond, repeat, repeatInLanes, warmUpJobs, workers } from '../load.ts'
import { MixedJobs, mixed } from '../mixed.ts'

const callers = 4

/** How much of its speed is left when no two jobs are alike? */
export const mixedJobs = comparing({
  about:
    'jobs of 20 types in 100 queues, a tenth with a key, a fifth with a priority, over jobs of one type and queue with payloads of the same sizes (100 bytes to 8 kB, median 600): enqueued by 4 callers in calls of 1,000, then run by 100 workers',
  units: { mixed_bulk: 'ratio', mixed_drain: 'ratio' },
  detail: { jobs: jobsPerRun, workers, callers, ...mixed },

  async engine(folder) {
    const alike = await bulkAndDrain(folder, 'alike', true)
    const unlike = await bulkAndDrain(folder, 'mixed', false)
    return {
      values: { mixed_bulk: unlike.bulk / alike.bulk, mixed_drain: unlike.drain / alike.drain },
      notes: {
        bulkAlike: alike.bulk,
        bulkMixed: unlike.bulk,
        drainAlike: alike.drain,
        drainMixed: unlike.drain,
      },
    }
  },
})

/** Both in jobs/s, in a file of their own. */
async function bulkAndDrain(folder: string, name: string, alike: boolean): Promise<{ bulk: number; drain: number }> {
  const source = new MixedJobs()
  const calls: NewJob[][] = []
  repeat(warmUpJobs + jobsPerRun, () => {
    calls.push(Array.from({ length: bulkBatch }, () => source.make({ alike })))
    return bulkBatch
  })
  const engine = await Engine.open(folder, { workers, file: `${name}.db` })
  let next = 0
  const enqueue = async () => {
    await engine.system.enqueue(calls[next++]!)
    return bulkBatch
  }
  await repeatInLanes(callers, warmUpJobs / bulkBatch, enqueue)
  const bulk = await repeatInLanes(callers, jobsPerRun / bulkBatch, enqueue)
  await engine.system.start()
  await engine.begun(warmUpJobs)
  const { count, ms } = await engine.succeeded(warmUpJobs + jobsPerRun, performance.now())
  await engine.close()
  return { bulk: perSecond(bulk), drain: perSecond({ count: count - warmUpJobs, ms }) }
}
