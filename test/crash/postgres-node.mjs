/**
 * A node that runs jobs until it is killed: BUILD, the address, the schema, LEASE_MS. It writes a line when it has started, and one for each
 * thing that it logs.
 */
import { z } from 'zod'

const [, , build, connectionString, schema, leaseMs = '1000'] = process.argv
const { createJobSystem, defineHandler } = await import(`${build}/index.js`)
const runs = {
  work: () => new Promise((resolve) => setTimeout(resolve, 5)),
  report(ms, { progress, log }) {
    progress(50)
    log.info({}, 'half way')
    return new Promise((resolve) => setTimeout(resolve, ms))
  },
  sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  block(ms) {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
  },
}
const say = (_, message) => console.log(message)
const log = { debug() {}, info() {}, warn: say, error: say, child: () => log }
const system = await createJobSystem({
  postgres: { connectionString, schema },
  handlers: Object.entries(runs).map(([type, run]) => defineHandler({ type, payload: z.number(), run })),
  leaseMs: Number(leaseMs),
  log,
})
await system.start()
console.log('started')
