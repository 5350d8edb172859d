// The system that the examples of web frameworks mount.
import { createJobSystem, defineHandler } from 'jobmachine'
import { z } from 'zod'

const welcome = defineHandler({
  type: 'welcome',
  payload: z.strictObject({ name: z.string().min(1) }),
  async run({ name }) {
    console.log(`welcome, ${name}`)
  },
})

export async function startJobs(database = 'data/example.db') {
  const system = await createJobSystem({ database, handlers: [welcome] })
  await system.start()
  return system
}
