/** A server of a file that enqueues all the time, and says which jobs it has acknowledged: BUILD, the file, and how many jobs it stores first. */
import { z } from 'zod'

const [, , build, database, first] = process.argv
const { createJobSystem, defineHandler, PermanentError, RetryAfterError } = await import(`${build}/index.js`)
const run = ({ n }) => {
  if (n % 5 === 0) throw new Error('bad luck')
  return new Promise((resolve) => setTimeout(resolve, n % 7))
}
const handler = defineHandler({ type: 'work', payload: z.object({ n: z.number() }), run })
const quick = defineHandler({ type: 'quick', payload: z.number(), async run() {} })
const late = defineHandler({
  type: 'late',
  payload: z.number(),
  async run() {
    throw new RetryAfterError({ delayMs: 1e9 })
  },
})
const bad = defineHandler({
  type: 'bad',
  payload: z.number(),
  async run() {
    throw new PermanentError('no "good" \\ \u0000')
  },
})
const slow = defineHandler({
  type: 'slow',
  payload: z.number(),
  run: (_payload, { signal }) =>
    new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
})
const handlers = [handler, quick, late, bad, slow]
const system = await createJobSystem({ database, handlers, retryBaseMs: 20, workers: 5, shutdownGraceMs: 1_000 })
for (let n = 0; n < Number(first); n += 1_000) {
  const job = (of) => {
    const type = ['quick', 'work', 'late', 'bad'][of % 4]
    const payload = type === 'work' ? { n: of } : of
    return { type, payload, queue: `q${of % 3}`, ...(of % 7 === 0 ? { delayMs: 1e9 } : {}) }
  }
  await system.enqueue(Array.from({ length: 1_000 }, (_, of) => job(of)))
}
await system.start()
let stopping = false
process.on('SIGTERM', async () => {
  stopping = true
  await system.stop()
  process.exit(0)
})
// One runs, and one waits behind it.
const unique = { key: 'one', onConflict: 'after' }
const [running] = await system.enqueue([{ type: 'slow', payload: 1, priority: 10, unique }])
while ((await system.find(running.id)).state !== 'running') await new Promise((resolve) => setTimeout(resolve, 5))
await system.enqueue({ type: 'slow', payload: 2, unique })
for (let n = 0; !stopping; n++) {
  const jobs = [0, 1, 2].map((of) => ({ type: 'work', payload: { n }, idempotencyKey: `${process.pid}-${n}-${of}` }))
  const stored = await system.enqueue(jobs).catch(() => [])
  if (n % 10 === 3 && stored[0]) await system.cancel(stored[0].id).catch(() => {})
  console.log(JSON.stringify(stored.map(({ id }, of) => [id, jobs[of].idempotencyKey])))
  await new Promise((resolve) => setTimeout(resolve, 2))
}
