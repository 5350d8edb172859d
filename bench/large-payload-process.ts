import { Engine } from './engine.ts'
import { noop, workers } from './load.ts'
import type { LargePayloadReading } from './questions/large-payloads.ts'

const callJobs = 20
const rssEveryMs = 5
/** Of the timer whose ticks show for how long the loop was blocked. */
const tickMs = 1

const [task, folder, jobs, payloadBytes] = process.argv.slice(2) as ['fill' | 'drain', string, string, string]
const engine = await Engine.open(folder, { workers })
process.send!(task === 'fill' ? await fill() : await drain())
await engine.close()

async function fill(): Promise<number> {
  const frame = JSON.stringify({ message: '' }).length
  const payload = { message: 'x'.repeat(Number(payloadBytes) - frame) }
  for (let count = 0; count < Number(jobs); count += callJobs)
    await engine.system.enqueue(Array.from({ length: callJobs }, () => ({ ...noop, payload })))
  return Number(jobs)
}

async function drain(): Promise<LargePayloadReading> {
  let rss = 0
  let blockMs = 0
  const looking = setInterval(() => {
    rss = Math.max(rss, process.memoryUsage.rss())
  }, rssEveryMs)
  const begunAt = performance.now()
  let tickedAt = begunAt
  const ticking = setInterval(() => {
    const now = performance.now()
    blockMs = Math.max(blockMs, now - tickedAt)
    tickedAt = now
  }, tickMs)
  await engine.system.start()
  await engine.succeeded(Number(jobs), begunAt)
  clearInterval(looking)
  clearInterval(ticking)
  const seconds = (performance.now() - begunAt) / 1_000
  return { rssMb: rss / 1_000_000, blockMs, jobsASecond: Number(jobs) / seconds }
}
