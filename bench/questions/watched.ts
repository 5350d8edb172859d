import { join } from 'node:path'
import type { JobSystem } from '../../src/index.ts'
import { Child } from '../child.ts'
import { comparing } from '../compare.ts'
import { serveSystem } from '../http-server.ts'
import { jobsPerRun, workers } from '../load.ts'
import { drainEngine } from './drain.ts'

const dashboards = 10

/** How much of its speed is left while it is watched? */
export const watched = comparing({
  about: `drain/s with ${dashboards} open dashboards, asked for by a process of their own as often as their scripts do, over drain/s with none`,
  units: { watched: 'ratio' },
  detail: { jobs: jobsPerRun, workers, dashboards },

  async engine(folder) {
    const withNone = await drainEngine(join(folder, 'alone'))
    let pages = 0
    const whileWatched = await drainEngine(join(folder, 'watched'), async (system) => {
      const watching = await watch(system)
      return async () => {
        pages = await watching.stop()
      }
    })
    return { values: { watched: whileWatched / withNone }, notes: { withNone, whileWatched, pages } }
  },
})

/** Opens the dashboards; resolves when one has been answered. `stop` returns how many pages were. */
async function watch(system: JobSystem): Promise<{ stop(): Promise<number> }> {
  const server = await serveSystem(system)
  const watcher = new Child('watch-process.js', server.url, `${dashboards}`)
  await watcher.next()
  return {
    async stop() {
      const isWatching = watcher.isRunning
      await watcher.kill()
      await server.close(0)
      if (!isWatching) throw new Error('the dashboards ended before the drain did')
      let pages = 1
      for await (const _page of watcher.messages()) pages++
      return pages
    },
  }
}
