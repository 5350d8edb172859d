import { fork } from 'node:child_process'
import { join } from 'node:path'
import { serveHttp } from '../../src/http/server.ts'
import type { JobSystem } from '../../src/index.ts'
import { jobsPerRun, workers } from '../load.ts'
import type { Bench, Figure, Question } from '../question.ts'
import { median, rounded } from '../statistics.ts'
import { drainEngine } from './drain.ts'

const dashboards = 10
const about = `drain/s with ${dashboards} open dashboards, asked for by a process of their own as often as their scripts do, over drain/s with none`

/** What of its speed is left while it is watched? */
export const watched: Question = {
  names: ['watched'],
  about,
  async measure({ runs, scratch, progress }: Bench): Promise<Figure[]> {
    const drained = { watched: [] as number[], alone: [] as number[] }
    let pages = 0
    for (let run = 1; run <= runs; run++) {
      progress.say(`watched: run ${run} of ${runs}, with nobody watching`)
      drained.alone.push(await scratch.during((folder) => drainEngine(folder)))
      progress.say(`watched: run ${run} of ${runs}, with ${dashboards} dashboards`)
      drained.watched.push(
        await scratch.during((folder) =>
          drainEngine(folder, async (system) => {
            const watching = await watch(system)
            return async () => {
              pages += await watching.stop()
            }
          }),
        ),
      )
    }
    const ratios = drained.watched.map((value, index) => value / drained.alone[index]!)
    return [
      {
        name: 'watched',
        value: rounded(median(drained.watched) / median(drained.alone)),
        unit: 'ratio',
        detail: {
          about,
          jobs: jobsPerRun,
          workers,
          runs,
          pagesPerRun: Math.round(pages / runs),
          min: rounded(Math.min(...ratios)),
          max: rounded(Math.max(...ratios)),
          alone: rounded(median(drained.alone)),
          watched: rounded(median(drained.watched)),
        },
      },
    ]
  },
}

/** Opens the dashboards; resolves when one has been answered. `stop` gives how many pages were. */
async function watch(system: JobSystem): Promise<{ stop(): Promise<number> }> {
  const server = await serveHttp({
    system,
    log: {
      debug() {},
      info() {},
      warn() {},
      error: console.error,
      child() {
        return this
      },
    },
    now: Date.now,
    version: '',
    host: '127.0.0.1',
    port: 0,
    hosts: [],
    apiToken: null,
    maxRequestBytes: 1_000,
    maxInFlightRequests: 1_000,
  })
  const watcher = fork(join(import.meta.dirname, '../watch-process.js'), [server.url, `${dashboards}`])
  let pages = 0
  watcher.on('message', () => pages++)
  const ended = new Promise<never>((_, reject) => {
    watcher.once('exit', () => reject(new Error('the dashboards ended before the drain did')))
  })
  await Promise.race([new Promise((resolve) => watcher.once('message', resolve)), ended])
  return {
    async stop() {
      const isWatching = watcher.exitCode === null
      watcher.kill()
      await ended.catch(() => undefined)
      await server.close(0)
      if (!isWatching) throw new Error('the dashboards ended before the drain did')
      return pages
    },
  }
}
