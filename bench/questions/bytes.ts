import { join } from 'node:path'
import Database from 'better-sqlite3'
import { comparing } from '../compare.ts'
import { Engine } from '../engine.ts'
import { lanes, repeatInLanes, workers } from '../load.ts'
import { failOnce, MixedJobs, mixed } from '../mixed.ts'

const jobs = 50_000
/** Jobs of one call; every caller waits for its own. */
const callLength = 50

/** What does a job leave in the file? */
export const bytes = comparing({
  about:
    'bytes of the file for each mixed job that has ended, without the table of payloads: enqueued by 100 callers in calls of 50 while 100 workers run, until all have succeeded. `bytesOf`: by table and index',
  units: { bytes_per_job: 'bytes' },
  once: true,
  detail: { jobs, workers, callers: lanes, callLength, ...mixed },

  async engine(folder) {
    const engine = await Engine.open(folder, { workers, onRun: failOnce })
    const source = new MixedJobs()
    await engine.system.start()
    await repeatInLanes(lanes, jobs / callLength, async () => {
      await engine.system.enqueue(source.many(callLength))
      return callLength
    })
    const { count } = await engine.succeeded(jobs, performance.now())
    await engine.close()
    if (count < jobs) throw new Error(`${count} of ${jobs} jobs succeeded in the time that they had`)
    const { job_payloads: payloads, ...bytesOf } = bytesByTable(join(folder, 'jobs.db'), jobs)
    return {
      values: { bytes_per_job: Object.values(bytesOf).reduce((sum, each) => sum + each, 0) },
      detail: { bytesOf, payloads },
    }
  },
})

/** The pages of each table and index that has more than a byte for each job. */
function bytesByTable(path: string, count: number): Record<string, number> {
  const db = new Database(path, { readonly: true })
  const rows = db.prepare('SELECT name, sum(pgsize) FROM dbstat GROUP BY name').raw().all() as [string, number][]
  db.close()
  return Object.fromEntries(rows.flatMap(([name, size]) => (size > count ? [[name, Math.round(size / count)]] : [])))
}
