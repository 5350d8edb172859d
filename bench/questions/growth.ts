import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { comparing } from '../compare.ts'
import { Engine } from '../engine.ts'
import { makeFinished } from '../finished.ts'
import { perSecond, workers } from '../load.ts'
import { copyToDisk } from '../scratch.ts'
import { median, percentile, rounded } from '../statistics.ts'

/** Jobs that have ended in each file. */
const sizes = { usual: [1_000, 1_000_000], full: [1_000, 10_000, 100_000, 1_000_000, 10_000_000] }
const rounds = 3
const drained = 20_000
const singles = 200

/** What does a file that is full of jobs that have ended make slower? */
export const growth = comparing({
  about:
    'files with 1,000 and a million jobs that have ended (--full: 10^3 to 10^7), in turns: jobs/s of a drain of 20,000 more and the p50 of the latency of one job after another, each over that with 1,000; ms of a start, of the first page of jobs that have succeeded, and of a search for a text that nobody has. `sizes`: all of them for each file',
  units: {
    growth_drain: 'ratio',
    growth_latency: 'ratio',
    growth_start_ms: 'ms',
    growth_list_ms: 'ms',
    growth_search_ms: 'ms',
  },
  once: true,
  detail: { workers, drained, singles, rounds },

  async engine(folder, { full, progress, scratch }) {
    const files = (full ? sizes.full : sizes.usual).map((size) => ({ size, folder: join(folder, `${size}`) }))
    for (const file of files) {
      progress.say(`growth_…: making a file with ${file.size.toLocaleString('en-US')} jobs`)
      mkdirSync(file.folder)
      await makeFinished(file.folder, file.size)
    }
    const seen = new Map(files.map(({ size }) => [size, [] as Reading[]]))
    for (let round = 1; round <= rounds; round++) {
      for (const file of files) {
        progress.say(`growth_…: ${file.size.toLocaleString('en-US')} jobs, round ${round} of ${rounds}`)
        const reading = scratch.during((copy) => {
          // Each round adds jobs, of which the largest file hardly grows.
          if (file === files.at(-1)) return read(file.folder)
          copyToDisk(file.folder, copy)
          return read(copy)
        })
        seen.get(file.size)!.push(await reading)
      }
    }
    const all = [...seen].map(([size, readings]) => ({ size, ...mediansOf(readings) }))
    const [least, most] = [all[0]!, all.at(-1)!]
    return {
      values: {
        growth_drain: most.drain / least.drain,
        growth_latency: least.latencyMs / most.latencyMs,
        growth_start_ms: most.startMs,
        growth_list_ms: most.listMs,
        growth_search_ms: most.searchMs,
      },
      detail: { jobs: most.size, sizes: all },
    }
  },
})

interface Reading {
  readonly drain: number
  /** Jobs/s of the bulk enqueue before it. */
  readonly fill: number
  readonly latencyMs: number
  readonly startMs: number
  readonly listMs: number
  readonly searchMs: number
}

async function read(folder: string): Promise<Reading> {
  const { drain, fillMs } = await drainOf(folder)
  let engine: Engine | undefined
  const startMs = await msOf(async () => {
    engine = await Engine.open(folder, { workers })
    await engine.system.start()
  })
  const { system } = engine!
  // Starts the thread that reads.
  await system.list({ type: 'nobody', limit: 1 })
  const listMs = await msOf(() => system.list({ state: 'succeeded' }))
  const searchMs = await msOf(async () => {
    for (let cursor: string | undefined | null; cursor !== null; )
      cursor = (await system.list({ text: 'nobody has this', ...(cursor ? { cursor } : {}) })).nextCursor
  })
  const waits: number[] = []
  for (let attempt = 1; attempt <= singles; attempt++)
    waits.push(await msOf(() => Promise.all([engine!.enqueueOne(), engine!.begun(attempt)])))
  await engine!.close()
  return {
    drain,
    fill: perSecond({ count: drained, ms: fillMs }),
    latencyMs: percentile(waits, 0.5),
    startMs,
    listMs,
    searchMs,
  }
}

async function drainOf(folder: string): Promise<{ drain: number; fillMs: number }> {
  const engine = await Engine.open(folder, { workers })
  const fillMs = await msOf(() => engine.fill(drained))
  await engine.system.start()
  const work = await engine.succeeded(drained, performance.now())
  await engine.close()
  return { drain: perSecond(work), fillMs }
}

async function msOf(run: () => Promise<unknown>): Promise<number> {
  const begun = performance.now()
  await run()
  return performance.now() - begun
}

function mediansOf(readings: readonly Reading[]): Reading {
  const names = Object.keys(readings[0]!) as (keyof Reading)[]
  return Object.fromEntries(names.map((name) => [name, rounded(median(readings.map((each) => each[name])))])) as never
}
