import { Child } from '../child.ts'
import { comparing } from '../compare.ts'
import { workers } from '../load.ts'
import { mean, rounded } from '../statistics.ts'

const jobs = 2_000_000
/** By then everything has been loaded, compiled and grown once. */
const warmJobs = 200_000
const forMs = 150_000
/** Of so many samples, half a second apart, a mean is taken: between two collections of garbage memory goes up and down. */
const samplesMeant = 10
/** Of the curve in the detail. */
const curvePoints = 20

/** What `growth-process.ts` tells, again and again. */
export interface ResidentSample {
  /** Begun so far. */
  readonly jobs: number
  /** Since the first was enqueued. */
  readonly ms: number
  readonly mb: number
  /** Of the loop's heap: what is in use, and garbage that no collection has met yet. */
  readonly heapMb: number
}

/** Does a process that runs for long take more and more? */
export const memoryGrowth = comparing({
  about: `resident memory of a process of its own, its last ${samplesMeant} samples, when it has enqueued and run 2,000,000 jobs, less what it took after the first 200,000; residentMb: on the way; heapFromMb, heapToMb: the least of the loop's heap in use, in the first and the last third, which is what lives`,
  units: { memory_growth_mb: 'MB' },
  once: true,
  detail: { workers, retention: '7 days, the default: nothing is removed meanwhile' },

  async engine(folder, { progress }) {
    const child = new Child('growth-process.js', folder, `${jobs}`, `${forMs}`)
    const samples: ResidentSample[] = []
    for await (const sample of child.messages<ResidentSample>()) {
      samples.push(sample)
      progress.say(`memory_growth_mb: ${sample.jobs.toLocaleString('en-US')} of 2,000,000 jobs have run`)
    }
    await child.ended
    const last = samples.at(-1)
    if (last === undefined || last.jobs <= warmJobs) throw new Error(`the process ended after ${last?.jobs} jobs`)
    const warm = samples.filter((sample) => sample.jobs >= warmJobs)
    const atStart = residentOf(warm.slice(0, samplesMeant))
    const atEnd = residentOf(warm.slice(-samplesMeant))
    const third = Math.ceil(warm.length / 3)
    const step = Math.ceil(samples.length / curvePoints)
    return {
      values: { memory_growth_mb: atEnd - atStart },
      notes: {
        jobs: last.jobs,
        seconds: last.ms / 1_000,
        samples: samples.length,
        warmMb: atStart,
        endMb: atEnd,
        heapFromMb: leastHeapOf(warm.slice(0, third)),
        heapToMb: leastHeapOf(warm.slice(-third)),
      },
      detail: {
        residentMb: samples
          .filter((_, index) => index % step === step - 1)
          .map((sample) => ({ jobs: sample.jobs, mb: rounded(sample.mb) })),
      },
    }
  },
})

function leastHeapOf(samples: readonly ResidentSample[]): number {
  return Math.min(...samples.map(({ heapMb }) => heapMb))
}

function residentOf(samples: readonly ResidentSample[]): number {
  return mean(samples.map(({ mb }) => mb))
}
