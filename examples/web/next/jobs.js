// One system for the process, however often this is imported: Next.js may load a module more than once.
import { createJobSystem, defineHandler } from 'jobmachine'
import { createHttp } from 'jobmachine/http'
import { z } from 'zod'

const welcome = defineHandler({
  type: 'welcome',
  payload: z.strictObject({ name: z.string().min(1) }),
  async run({ name }) {
    console.log(`welcome, ${name}`)
  },
})

async function start() {
  const system = await createJobSystem({ database: process.env.DATABASE_PATH ?? 'data/app.db', handlers: [welcome] })
  await system.start()
  return createHttp(system, { basePath: '/admin/jobs' })
}

// Opens on first use and not at import, because next build imports this too.
export function jobs() {
  globalThis.jobs ??= start()
  return globalThis.jobs
}
