// Run it after `npm run build`: node examples/welcome.js
import { createJobSystem, defineHandler, PermanentError } from 'jobmachine'
import { z } from 'zod'

const welcome = defineHandler({
  type: 'welcome',
  payload: z.strictObject({ name: z.string().min(1) }),
  maxRetries: 2,
  backoffMs: () => 20,
  async run({ name }, { attempt, idempotencyToken, signal }) {
    signal.throwIfAborted()
    if (name === 'nobody') throw new PermanentError('there is nobody to welcome')
    if (attempt === 1) throw new Error('the first try fails, to show a retry')
    console.log(`welcome, ${name} (attempt ${attempt}, token ${idempotencyToken})`)
  },
})

const system = await createJobSystem({
  database: process.argv[2] ?? 'data/example.db',
  handlers: [welcome],
  workers: 4,
})
await system.start()

const [ada, nobody] = await system.enqueue([
  { type: 'welcome', payload: { name: 'Ada' } },
  { type: 'welcome', payload: { name: 'nobody' } },
])

// Both are on disk: a power cut from now on loses neither.
for (const { id } of [ada, nobody]) {
  while (!(await system.find(id)).finishedAt) await new Promise((resolve) => setTimeout(resolve, 10))
  const history = await system.history(id)
  console.log(`job ${id}: ${history.map(({ event, to }) => `${event} → ${to}`).join(', ')}`)
}

await system.stop()
