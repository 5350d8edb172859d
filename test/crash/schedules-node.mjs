/**
 * A server whose schedules tick until it is killed: BUILD, the options of its database as JSON, the number of schedules, and when they begin in
 * epoch ms. It writes a line when it has started.
 */
import { z } from 'zod'

const [, , build, database, count, startsAt] = process.argv
const { createJobSystem, defineHandler } = await import(`${build}/index.js`)
const say = (fields, message) => console.log(message, JSON.stringify(fields))
const log = { debug() {}, info() {}, warn: say, error: say, child: () => log }
const system = await createJobSystem({
  ...JSON.parse(database),
  handlers: [defineHandler({ type: 'work', payload: z.unknown(), run() {} })],
  leaseMs: 1_000,
  schedules: Array.from({ length: Number(count) }, (_, index) => ({
    name: `s${index}`,
    everyMs: 1_000,
    startsAt: Number(startsAt) + index * 37,
    missed: 'all',
    job: { type: 'work', payload: index },
  })),
  log,
})
await system.start()
console.log('started')
