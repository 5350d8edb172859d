import { Engine } from './engine.ts'
import { workers } from './load.ts'
import type { ResidentSample } from './questions/memory-growth.ts'

/** Enqueued and not begun, so that the backlog does not grow. */
const backlogMax = 10_000
const sampleMs = 500

/** Enqueues and runs so many jobs, or as many as there is time for, steadily, and tells again and again what the process takes. */
const [folder, jobs, forMs] = process.argv.slice(2) as [string, string, string]
const engine = await Engine.open(folder, { workers })
await engine.system.start()
const begun = performance.now()
const tell = () => {
  const { rss, heapUsed } = process.memoryUsage()
  const sample: ResidentSample = {
    jobs: engine.begunCount,
    ms: performance.now() - begun,
    mb: rss / 1_000_000,
    heapMb: heapUsed / 1_000_000,
  }
  process.send!(sample)
}
const telling = setInterval(tell, sampleMs)
let enqueued = 0
while (enqueued < Number(jobs) && performance.now() - begun < Number(forMs)) {
  enqueued += await engine.enqueueBatch()
  await engine.begun(enqueued - backlogMax)
}
await engine.succeeded(enqueued, performance.now())
clearInterval(telling)
tell()
await engine.close()
