import { Child } from '../child.ts'
import { comparing } from '../compare.ts'
import { workers } from '../load.ts'
import { rounded } from '../statistics.ts'

const jobs = 2_000_000
/** By then everything has been loaded, compiled and allocated once. */
const warmJobs = 200_000
const forMs = 150_000
/** Points of the curve in the detail. */
const curvePoints = 20

/** The repeated report of `growth-process.ts`. */
export interface ResidentSample {
  /** Begun so far. */
  readonly jobs: number
  /** Since the first was enqueued. */
  readonly ms: number
  readonly mb: number
  /** The loop's heap: what is in use, and garbage that no collection has found yet. */
  readonly heapMb: number
  /** Whether all garbage of the loop was collected before. */
  readonly collected: boolean
}

/** Does a process that runs for a long time use more and more memory? */
export const memoryGrowth = comparing({
  about:
    "resident memory of a process of its own when it has enqueued and run 2,000,000 jobs, less what it took after the first 200,000, both after full collections of the loop's garbage, of which V8 keeps more or less as it likes; residentMb: on the way; peakMb: the most of that; heapFromMb, heapToMb: what lives in the loop's heap",
  units: { memory_growth_mb: 'MB' },
  once: true,
  detail: { workers, retention: '7 days, the default: nothing is removed meanwhile' },

  async engine(folder, { progress }) {
    const child = new Child('growth-process.js', folder, `${jobs}`, `${warmJobs}`, `${forMs}`)
    const samples: ResidentSample[] = []
    for await (const sample of child.messages<ResidentSample>()) {
      samples.push(sample)
      progress.say(`memory_growth_mb: ${sample.jobs.toLocaleString('en-US')} of 2,000,000 jobs have run`)
    }
    await child.ended
    const [from, to] = samples.filter(({ collected }) => collected)
    if (!from || !to) throw new Error(`the process ended after ${samples.at(-1)?.jobs} jobs`)
    const step = Math.ceil(samples.length / curvePoints)
    return {
      values: { memory_growth_mb: to.mb - from.mb },
      notes: {
        jobs: to.jobs,
        seconds: to.ms / 1_000,
        samples: samples.length,
        warmMb: from.mb,
        endMb: to.mb,
        peakMb: Math.max(...samples.map(({ mb }) => mb)),
        heapFromMb: from.heapMb,
        heapToMb: to.heapMb,
      },
      detail: {
        residentMb: samples
          .filter((_, index) => index % step === step - 1)
          .map((sample) => ({ jobs: sample.jobs, mb: rounded(sample.mb) })),
      },
    }
  },
})
