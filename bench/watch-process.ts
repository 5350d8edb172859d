import { setTimeout as sleep } from 'node:timers/promises'

/** What an open dashboard requests, and how often, like its scripts. */
const asked = [
  { path: '/', everyMs: 1_000 },
  { path: '/dashboard/series', everyMs: 2_000 },
]

/** Repeats the requests, like a browser that shows the overview; each dashboard begins at a different moment. */
async function watch(url: string, share: number): Promise<never> {
  const asking = asked.map(async ({ path, everyMs }): Promise<never> => {
    await sleep(everyMs * share)
    for (;;) {
      const answer = await fetch(url + path)
      if (!answer.ok) throw new Error(`${path} answered ${answer.status}`)
      await answer.arrayBuffer()
      process.send?.(path)
      await sleep(everyMs)
    }
  })
  return Promise.race(asking)
}

const [url, dashboards] = process.argv.slice(2) as [string, string]
await Promise.all(Array.from({ length: Number(dashboards) }, (_, index) => watch(url, index / Number(dashboards))))
