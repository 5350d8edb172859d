/** A server of a file that enqueues all the time, and says which jobs it has acknowledged: BUILD, the file. */
import { z } from 'zod'

const [, , build, database] = process.argv
const { createJobSystem, defineHandler } = await import(`${build}/index.js`)
const run = ({ n }) => {
  if (n % 5 === 0) throw new Error('bad luck')
  return new Promise((resolve) => setTimeout(resolve, n % 7))
}
const handler = defineHandler({ type: 'work', payload: z.object({ n: z.number() }), run })
const system = await createJobSystem({ database, handlers: [handler], retryBaseMs: 20, workers: 5 })
await system.start()
let stopping = false
process.on('SIGTERM', async () => {
  stopping = true
  await system.stop()
  process.exit(0)
})
for (let n = 0; !stopping; n++) {
  const jobs = [0, 1, 2].map((of) => ({ type: 'work', payload: { n }, idempotencyKey: `${process.pid}-${n}-${of}` }))
  const stored = await system.enqueue(jobs).catch(() => [])
  if (n % 10 === 3 && stored[0]) await system.cancel(stored[0].id).catch(() => {})
  console.log(JSON.stringify(stored.map(({ id }, of) => [id, jobs[of].idempotencyKey])))
  await new Promise((resolve) => setTimeout(resolve, 2))
}
