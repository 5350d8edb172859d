import { comparing } from '../compare.ts'
import { Engine } from '../engine.ts'
import { BareSqlite } from '../limit.ts'
import { jobsPerRun, limitBatch, payloadText, perSecond, repeat, warmUpJobs, workers } from '../load.ts'

/** How long does a burst take, from the first enqueue to the last success? */
export const endToEnd = comparing({
  about:
    'one caller enqueues by calls of 1,000 while 100 workers run, until the last success is on disk; the limit enqueues all, then drains all, in batches of 100',
  units: { end_to_end: 'jobs/s' },
  detail: { jobs: jobsPerRun, workers, callers: 1, limitBatch },

  async engine(folder) {
    const engine = await Engine.open(folder, { workers })
    await engine.system.start()
    await engine.fill(warmUpJobs)
    await engine.succeeded(warmUpJobs, performance.now())
    const begun = performance.now()
    await engine.fill(jobsPerRun)
    const { count, ms } = await engine.succeeded(warmUpJobs + jobsPerRun, begun)
    await engine.close()
    return { values: { end_to_end: perSecond({ count: count - warmUpJobs, ms }) } }
  },

  limit: (folder) => ({ values: { end_to_end: endToEndBare(folder) } }),
})

/** Enqueues all, then drains all, in bare SQLite; jobs/s. */
export function endToEndBare(folder: string): number {
  const bare = new BareSqlite(folder)
  const run = (count: number) => {
    const enqueued = repeat(count, () => bare.enqueue(Array.from({ length: limitBatch }, () => payloadText)))
    const drained = repeat(enqueued.count, () => bare.drain(limitBatch))
    return { count: drained.count, ms: enqueued.ms + drained.ms }
  }
  run(warmUpJobs)
  const work = run(jobsPerRun)
  bare.close()
  return perSecond(work)
}
