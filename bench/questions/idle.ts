import { Child } from '../child.ts'
import { comparing } from '../compare.ts'

/** V8 gives the memory of the start back by then. */
const settleMs = 60_000
const measureMs = 60_000

/** The report of `idle-process.ts`. */
export interface IdleReading {
  readonly rssMb: number
  readonly heapMb: number
  readonly cpuMs: number
}

/** What does a server cost that has nothing to do? */
export const idle = comparing({
  about:
    'resident memory of `jobmachine serve` on an empty file a minute after its start, and the CPU time of all its threads in the minute after that, in percent of a core; heapMb: live data and garbage in the heap of its loop',
  units: { idle_mb: 'MB', idle_cpu: '%' },
  once: true,
  detail: { settleMs, measureMs },

  async engine(folder) {
    const child = new Child('idle-process.js', folder, `${settleMs}`, `${measureMs}`)
    const { rssMb, heapMb, cpuMs } = await child.next<IdleReading>()
    await child.kill()
    return { values: { idle_mb: rssMb, idle_cpu: (100 * cpuMs) / measureMs }, notes: { heapMb } }
  },
})
