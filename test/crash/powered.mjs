// A server under load until its power is cut: stores jobs without end, and writes down what it was told and what its handlers do.
//
//   node powered.mjs BUILD DATABASE SEED
//   node powered.mjs BUILD DATABASE finish     stores nothing, ends when everything is at its end
import { openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { z } from 'zod'

const [build, database, seed] = process.argv.slice(2)
const { createJobSystem, defineHandler, SnoozeError } = await import(pathToFileURL(join(build, 'index.js')).href)
const file = openSync(`${database}.witness`, 'a')
const note = (what, ids) => writeSync(file, `${JSON.stringify({ what, ids })}\n`)

const runs = {
  quick() {},
  slow: () => setTimeout(20),
  flaky(_, { attempt }) {
    if (attempt === 1) throw new Error('the first attempt fails')
  },
  hopeless() {
    throw new Error('hopeless')
  },
  snoozing(_, { jobId }) {
    if (jobId % 3 > 0 && Math.random() < 0.5) throw new SnoozeError(10)
  },
}
const handlers = Object.entries(runs).map(([type, run]) =>
  defineHandler({
    type,
    payload: z.any(),
    run(payload, context) {
      note('start', [context.jobId])
      return run(payload, context)
    },
  }),
)
const system = await createJobSystem({ database, handlers, workers: 5, retryBaseMs: 10, retryMaxMs: 50 })
await system.start()

if (seed === 'finish') {
  const isFinished = async () => {
    const { scheduled, queued, leased, running, retrying } = await system.counts()
    return scheduled + queued + leased + running + retrying === 0
  }
  while (!(await isFinished())) await setTimeout(10)
  await system.stop()
  process.exit(0)
}

let count = Number(seed)
async function load() {
  for (;;) {
    const many = ++count % 7 === 0 ? 60 : 1 + (count % 3)
    const jobs = Array.from({ length: many }, (_, n) => ({
      type: Object.keys(runs)[(count + n) % 5],
      payload: { filler: 'x'.repeat((count * 97) % 1_500) },
      ...(n % 5 === 4 ? { delayMs: 50 } : {}),
    }))
    const ids = (await system.enqueue(jobs)).map(({ id }) => id)
    note('stored', ids)
    if (count % 4 === 0) {
      const cancelled = await system.cancel(ids[0]).catch(() => null)
      if (cancelled) note('cancelled', [ids[0]])
    }
  }
}
await Promise.all([load(), load(), load()])
