import { setTimeout as sleep } from 'node:timers/promises'
import { Engine } from './engine.ts'
import { measureMs, noop } from './load.ts'

/** Jobs that arrive one by one, whether or not earlier ones have run. */
export interface Arrivals {
  readonly jobs: number
  /** Jobs run to their end before the first of `jobs` arrives. */
  readonly warmUp: number
  readonly jobsASecond: number
  readonly workers: number
  /** How long each runs, by a timer; not at all by default. */
  readonly attemptMs?: number
  /** How long the last may take to run after its arrival; 15 s by default. */
  readonly forMs?: number
}

/** The results, in ms. */
export interface Waited {
  /** From the call of `enqueue` to the first line of the handler, in the order in which they ran. */
  readonly waits: readonly number[]
  /** From the instant at which each was to arrive to the call: timers are coarse, and the engine shares the loop. */
  readonly late: readonly number[]
}

/** Lets jobs arrive evenly at an engine in `folder` and measures how long each waits; rejects if not all have run in time. */
export async function waitsOf(
  folder: string,
  { jobs, warmUp, jobsASecond, workers, attemptMs = 0, forMs = measureMs }: Arrivals,
): Promise<Waited> {
  const calledAt = new Map<string, number>()
  const waits: number[] = []
  const onRun = (message: string) => {
    waits.push(performance.now() - calledAt.get(message)!)
    return attemptMs > 0 ? sleep(attemptMs) : undefined
  }
  const engine = await Engine.open(folder, { workers, onRun })
  await engine.system.start()
  const arrive = async (count: number, first: number) => {
    const acknowledged: Promise<unknown>[] = []
    const late = await evenly(count, jobsASecond, (index) => {
      const message = `${first + index}`.padStart(noop.payload.message.length, '.')
      calledAt.set(message, performance.now())
      acknowledged.push(engine.system.enqueue({ ...noop, payload: { message } }))
    })
    await Promise.all(acknowledged)
    const { count: ran } = await engine.succeeded(first + count, performance.now(), forMs)
    if (ran < first + count) throw new Error(`${ran} of ${first + count} jobs ran in the time that they had`)
    return late
  }
  await arrive(warmUp, 0)
  const late = await arrive(jobs, warmUp)
  await engine.close()
  return { waits: waits.slice(warmUp), late }
}

/** Calls `call` this often, each time at its own instant, however late the previous call was; returns how late each was, in ms. */
export async function evenly(count: number, aSecond: number, call: (index: number) => void): Promise<number[]> {
  const begun = performance.now()
  const late: number[] = []
  for (let index = 0; index < count; index++) {
    const instant = begun + (index * 1_000) / aSecond
    const inMs = instant - performance.now()
    if (inMs > 0) await sleep(inMs)
    late.push(performance.now() - instant)
    call(index)
  }
  return late
}
