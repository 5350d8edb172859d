import { setTimeout as sleep } from 'node:timers/promises'
import { comparing } from '../compare.ts'
import { Engine } from '../engine.ts'
import { BareMixed } from '../limit-mixed.ts'
import {
  bulkBatch,
  jobsPerRun,
  lanes,
  limitBatch,
  perSecond,
  repeat,
  repeatInLanes,
  type Work,
  warmUpJobs,
  workers,
} from '../load.ts'
import { failOnce, type MixedJob, MixedJobs, mixed } from '../mixed.ts'

const bulkCallers = 4
/** Every other call of `mixed_steady` has this many jobs, the others have one. */
const arrayLength = 50
/** Ms between two checks of the counts. */
const lookMs = 1

type Speeds = Readonly<Record<'bulk' | 'drain' | 'steady', number>>

/** How much of its speed is left when no two jobs are alike? */
export const mixedJobs = comparing({
  about:
    'jobs of 20 types in 100 queues, a tenth with a key, a fifth with a priority, a tenth delayed by up to 2 s, 3 % that fail once, over jobs of one type and queue with payloads of the same sizes (100 bytes to 8 kB, median 600): enqueued by 4 callers in calls of 1,000; run by 100 workers once all are due; and both at the same time, by 100 callers with one job and with 50 in turn, until none is left that is due. The limit stores and runs the same rows, without failures, in batches of 100, and promotes none',
  units: { mixed_bulk: 'ratio', mixed_drain: 'ratio', mixed_steady: 'ratio' },
  detail: { jobs: jobsPerRun, workers, bulkCallers, callers: lanes, limitBatch, ...mixed },

  engine: async (folder) => compared(await speedsOf(folder, true), await speedsOf(folder, false)),
  limit: (folder) => {
    const { values, notes } = compared(bareSpeeds(folder, true), bareSpeeds(folder, false))
    return { values, notes: Object.fromEntries(Object.entries(notes).map(([name, note]) => [`${name}Limit`, note])) }
  },
})

function compared(alike: Speeds, unlike: Speeds) {
  return {
    values: {
      mixed_bulk: unlike.bulk / alike.bulk,
      mixed_drain: unlike.drain / alike.drain,
      mixed_steady: unlike.steady / alike.steady,
    },
    notes: {
      bulkAlike: alike.bulk,
      bulkMixed: unlike.bulk,
      drainAlike: alike.drain,
      drainMixed: unlike.drain,
      steadyAlike: alike.steady,
      steadyMixed: unlike.steady,
    },
  }
}

/** In jobs/s. */
async function speedsOf(folder: string, alike: boolean): Promise<Speeds> {
  const jobs = new MixedJobs()
  const name = alike ? 'alike' : 'mixed'
  const { bulk, drain } = await bulkAndDrain(folder, `${name}-drain.db`, () => jobs.many(bulkBatch, { alike }))
  const steady = await steadyOf(folder, `${name}-steady.db`, jobs.many(warmUpJobs + jobsPerRun, { alike }))
  return { bulk, drain, steady }
}

async function bulkAndDrain(folder: string, file: string, makeCall: () => MixedJob[]) {
  const calls: MixedJob[][] = []
  repeat(warmUpJobs + jobsPerRun, () => {
    calls.push(makeCall())
    return bulkBatch
  })
  const engine = await Engine.open(folder, { workers, file, onRun: failOnce })
  let next = 0
  const enqueue = async () => {
    await engine.system.enqueue(calls[next++]!)
    return bulkBatch
  }
  await repeatInLanes(bulkCallers, warmUpJobs / bulkBatch, enqueue)
  const bulk = await repeatInLanes(bulkCallers, jobsPerRun / bulkBatch, enqueue)
  while ((await engine.system.counts()).scheduled > 0) await sleep(lookMs)
  await engine.system.start()
  await engine.begun(warmUpJobs)
  const { count, ms } = await engine.succeeded(warmUpJobs + jobsPerRun, performance.now())
  await engine.close()
  return { bulk: perSecond(bulk), drain: perSecond({ count: count - warmUpJobs, ms }) }
}

async function steadyOf(folder: string, file: string, jobs: readonly MixedJob[]): Promise<number> {
  const { system, ...engine } = await opened(folder, file)
  let next = 0
  let calls = 0
  const enqueue = async () => {
    const length = calls++ % 2 === 0 ? 1 : arrayLength
    const some = jobs.slice(next, next + length)
    next += some.length
    await (length === 1 ? system.enqueue(some[0]!) : system.enqueue(some))
    return some.length
  }
  const callsFor = (count: number) => (2 * count) / (1 + arrayLength)
  await system.start()
  await repeatInLanes(lanes, callsFor(warmUpJobs), enqueue)
  const before = await engine.untilNoneIsDue()
  const begun = performance.now()
  await repeatInLanes(lanes, callsFor(jobsPerRun), enqueue)
  const count = (await engine.untilNoneIsDue()) - before
  const steady = perSecond({ count, ms: performance.now() - begun })
  await engine.close()
  return steady
}

async function opened(folder: string, file: string) {
  const engine = await Engine.open(folder, { workers, file, onRun: failOnce })
  return {
    system: engine.system,
    close: () => engine.close(),
    /** Resolves with the number of jobs that have succeeded. */
    async untilNoneIsDue(): Promise<number> {
      for (;;) {
        const { queued, leased, running, succeeded } = await engine.system.counts()
        if (queued + leased + running === 0) return succeeded
        await sleep(lookMs)
      }
    },
  }
}

/** The same in bare SQLite; there `steady` stores and runs batches in turn. */
function bareSpeeds(folder: string, alike: boolean): Speeds {
  const jobs = new MixedJobs()
  const batchOf = (count: number) => () => jobs.many(count, { alike })
  const bare = new BareMixed(folder, alike ? 'alike' : 'mixed')
  const enqueue = (count: number, batch: () => MixedJob[]): Work => {
    const batches: MixedJob[][] = []
    for (let made = 0; made < count; made += batches.at(-1)!.length) batches.push(batch())
    return repeat(count, () => bare.enqueue(batches.pop()!))
  }
  const drain = (count: number) => repeat(count, () => bare.drain(limitBatch))
  enqueue(warmUpJobs, batchOf(bulkBatch))
  const bulk = enqueue(jobsPerRun, batchOf(bulkBatch))
  drain(warmUpJobs)
  const drained = drain(jobsPerRun)
  let next = 0
  const batches = Array.from({ length: jobsPerRun / limitBatch }, batchOf(limitBatch))
  const steady = repeat(jobsPerRun, () => {
    bare.enqueue(batches[next++]!)
    return bare.drain(limitBatch)
  })
  bare.close()
  return { bulk: perSecond(bulk), drain: perSecond(drained), steady: perSecond(steady) }
}
