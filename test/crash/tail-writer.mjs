/** A node that stores jobs and runs them, as fast as it can, until it is told to stop: BUILD, the address, the schema. */
import { z } from 'zod'

const [, , build, connectionString, schema] = process.argv
const { createJobSystem, defineHandler } = await import(`${build}/index.js`)
let runs = 0
const run = () => {
  if (++runs % 5 === 0) throw new Error('again')
}
const system = await createJobSystem({
  postgres: { connectionString, schema },
  handlers: [defineHandler({ type: 'work', payload: z.number(), run })],
  retryBaseMs: 1,
  retryMaxMs: 5,
})
await system.start()
let isOver = false
process.once('SIGTERM', () => {
  isOver = true
})
console.log('started')
const lane = async () => {
  while (!isOver) {
    const count = 1 + Math.floor(Math.random() * 20)
    await system.enqueue(Array.from({ length: count }, (_, n) => ({ type: 'work', payload: n })))
  }
}
await Promise.all(Array.from({ length: 4 }, lane))
await system.stop()
process.exit(0)
