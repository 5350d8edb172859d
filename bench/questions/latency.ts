import { setTimeout as sleep } from 'node:timers/promises'
import { comparing } from '../compare.ts'
import { Engine } from '../engine.ts'
import { BareSqlite } from '../limit.ts'
import { noop, payloadText } from '../load.ts'
import { percentile } from '../statistics.ts'

const jobsASecond = 200
const workers = 10
const jobs = 2_000
const limitJobs = 1_000
const warmUp = 200

/** How long does a job wait where nothing stands in its way? */
export const latency = comparing({
  about:
    'from the call of enqueue to the first line of the handler, at 200 jobs a second, evenly spaced; the limit is one transaction that enqueues, leases and starts the job',
  units: { latency_p50_ms: 'ms', latency_p99_ms: 'ms' },
  detail: { jobs, workers, jobsASecond, limitBatch: 1 },

  async engine(folder) {
    const calledAt = new Map<string, number>()
    const waits: number[] = []
    const onRun = (message: string) => waits.push(performance.now() - calledAt.get(message)!)
    const engine = await Engine.open(folder, { workers, onRun })
    await engine.system.start()
    const acknowledged: Promise<unknown>[] = []
    const enqueue = (index: number) => {
      const message = `${index}`.padStart(noop.payload.message.length, '.')
      calledAt.set(message, performance.now())
      acknowledged.push(engine.system.enqueue({ ...noop, payload: { message } }))
    }
    await evenly(warmUp + jobs, enqueue)
    await Promise.all(acknowledged)
    await engine.succeeded(warmUp + jobs, performance.now())
    await engine.close()
    return reading(waits.slice(warmUp))
  },

  async limit(folder) {
    const bare = new BareSqlite(folder)
    const waits: number[] = []
    await evenly(warmUp + limitJobs, () => {
      const begun = performance.now()
      bare.enqueueAndStart(payloadText)
      waits.push(performance.now() - begun)
    })
    bare.close()
    return reading(waits.slice(warmUp))
  },
})

function reading(waits: readonly number[]) {
  return { values: { latency_p50_ms: percentile(waits, 0.5), latency_p99_ms: percentile(waits, 0.99) } }
}

/** Calls `call` so often, each at its own instant, however late the one before was. */
async function evenly(count: number, call: (index: number) => void): Promise<void> {
  const begun = performance.now()
  for (let index = 0; index < count; index++) {
    const inMs = begun + (index * 1_000) / jobsASecond - performance.now()
    if (inMs > 0) await sleep(inMs)
    call(index)
  }
}
