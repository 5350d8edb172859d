// A server whose jobs may kill it, to be started again by `poison.ts` until all is done: then it ends with 0.
//
//   node poison-victim.mjs '{ "build", "database", "settings" }'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'

const { build, database, settings } = JSON.parse(process.argv[2])
const { createJobSystem, defineHandler } = await import(join(build, 'index.js'))

const anything = { '~standard': { version: 1, vendor: 'victim', validate: (value) => ({ value }) } }
const runs = {
  innocent: ({ ms }) => setTimeout(ms),
  async poison({ ms, how }) {
    if (ms > 0) await setTimeout(ms)
    if (how === 'abort') process.abort()
    process.kill(process.pid, 'SIGKILL')
    await setTimeout(60_000)
  },
}
const handlers = Object.entries(runs).map(([type, run]) => defineHandler({ type, payload: anything, run }))
const system = await createJobSystem({ database, handlers, ...settings, onFatal: () => process.exit(1) })
await system.start()
for (;;) {
  const { scheduled, queued, leased, running, retrying } = await system.counts()
  if (scheduled + queued + leased + running + retrying === 0) break
  await setTimeout(20)
}
await system.stop()
process.exit(0)
