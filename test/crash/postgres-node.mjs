/** A node that runs jobs until it is killed: BUILD, the address, the schema. */
import { z } from 'zod'

const [, , build, connectionString, schema] = process.argv
const { createJobSystem, defineHandler } = await import(`${build}/index.js`)
const run = () => new Promise((resolve) => setTimeout(resolve, 5))
const system = await createJobSystem({
  postgres: { connectionString, schema },
  handlers: [defineHandler({ type: 'work', payload: z.number(), run })],
  leaseMs: 1_000,
})
await system.start()
console.log('started')
