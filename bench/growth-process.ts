import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Engine } from './engine.ts'
import { workers } from './load.ts'
import type { ResidentSample } from './questions/memory-growth.ts'

/** Enqueued jobs that have not begun, at most, so that the backlog does not grow. */
const backlogMax = 10_000
const sampleMs = 500
/** V8 empties pages in one collection, gives them back in the next, and partly on another thread. */
const collections = { count: 3, apartMs: 200 }

/**
 * Enqueues and runs this many jobs, or as many as there is time for, steadily, and repeatedly reports the memory of the process; after the
 * first `warmJobs` and at the end also after the loop's garbage has been collected.
 */
const [folder, jobs, warmJobs, forMs] = process.argv.slice(2) as [string, string, string, string]
setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void
const engine = await Engine.open(folder, { workers })
await engine.system.start()
const begun = performance.now()
const tell = (collected: boolean) => {
  const { rss, heapUsed } = process.memoryUsage()
  const sample: ResidentSample = {
    jobs: engine.begunCount,
    ms: performance.now() - begun,
    mb: rss / 1_000_000,
    heapMb: heapUsed / 1_000_000,
    collected,
  }
  process.send!(sample)
}
const tellCollected = async () => {
  for (let i = 0; i < collections.count; i++) {
    collect()
    await sleep(collections.apartMs)
  }
  tell(true)
}
const telling = setInterval(() => tell(false), sampleMs)
let enqueued = 0
let isWarm = false
while (enqueued < Number(jobs) && performance.now() - begun < Number(forMs)) {
  enqueued += await engine.enqueueBatch()
  await engine.begun(enqueued - backlogMax)
  if (isWarm || engine.begunCount < Number(warmJobs)) continue
  isWarm = true
  await tellCollected()
}
await engine.succeeded(enqueued, performance.now())
clearInterval(telling)
await tellCollected()
await engine.close()
