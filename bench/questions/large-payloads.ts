import { Child } from '../child.ts'
import { comparing } from '../compare.ts'
import { workers } from '../load.ts'

const jobs = 2_000
const payloadBytes = 262_144

/** The report of `large-payload-process.ts`. */
export interface LargePayloadReading {
  readonly rssMb: number
  readonly blockMs: number
  readonly jobsASecond: number
}

/** How much memory do large payloads take while they run, and for how long do they block the loop? */
export const largePayloads = comparing({
  about:
    'a process of its own drains 2,000 queued no-ops with payloads of 256 KB by 100 workers: the most resident memory, looked at every 5 ms, and the longest time between two ticks of a timer of 1 ms',
  units: { large_payload_rss_mb: 'MB', large_payload_block_ms: 'ms' },
  detail: { jobs, workers, payloadBytes },

  async engine(folder) {
    const filling = new Child('large-payload-process.js', 'fill', folder, `${jobs}`, `${payloadBytes}`)
    await filling.next()
    await filling.ended
    const draining = new Child('large-payload-process.js', 'drain', folder, `${jobs}`, `${payloadBytes}`)
    const { rssMb, blockMs, jobsASecond } = await draining.next<LargePayloadReading>()
    await draining.ended
    return { values: { large_payload_rss_mb: rssMb, large_payload_block_ms: blockMs }, notes: { jobsASecond } }
  },
})
