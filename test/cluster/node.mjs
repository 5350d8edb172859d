/**
 * A node that runs jobs until it is told to end: BUILD, the address, the schema, the lease in ms, the file in which it notes what it saw. Each
 * line of that file is written before what it says can have any effect on the queue.
 */
import { openSync, writeSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import { z } from 'zod'

const [, , build, connectionString, schema, leaseMs, file] = process.argv
const { createJobSystem, defineHandler, PermanentError, SnoozeError } = await import(`${build}/index.js`)

const witness = openSync(file, 'a')
/** Each line begins with a line end, so that one which a death cut short does not spoil another. */
const note = (line) => writeSync(witness, `\n${JSON.stringify({ ...line, pid: process.pid, at: Date.now() })}`)

const payload = z.object({ ms: z.number(), ends: z.enum(['well', 'late', 'dead', 'snoozed']), hasChild: z.boolean() })

async function run(payload, { jobId, attempt, signal }) {
  note({ what: 'start', id: jobId })
  try {
    await setTimeout(payload.ms, undefined, { signal })
    if (payload.hasChild) await enqueueChild(jobId)
  } catch (error) {
    note({ what: 'effect', id: jobId, outcome: 'threw' })
    throw error
  }
  const isFirst = !snoozed.has(jobId)
  snoozed.add(jobId)
  const outcome = {
    well: 'ended',
    late: attempt === 1 ? 'threw' : 'ended',
    dead: 'rejected',
    snoozed: isFirst ? 'snoozed' : 'ended',
  }
  note({ what: 'effect', id: jobId, outcome: outcome[payload.ends] })
  if (outcome[payload.ends] === 'threw') throw new Error('this attempt fails')
  if (outcome[payload.ends] === 'rejected') throw new PermanentError('no attempt can succeed')
  if (outcome[payload.ends] === 'snoozed') throw new SnoozeError(200)
}

/** Jobs that asked to be run later on this node. */
const snoozed = new Set()

/** Again and again under one key, so that there is one child however often its parent runs. */
async function enqueueChild(parent) {
  const child = {
    type: 'work',
    payload: { ms: 1, ends: 'well', hasChild: false },
    idempotencyKey: `child of ${parent}`,
  }
  const { id } = await system.enqueue(child)
  note({ what: 'acknowledged', jobs: [[id, child.idempotencyKey]] })
}

const open = () =>
  createJobSystem({
    postgres: { connectionString, schema },
    handlers: [defineHandler({ type: 'work', payload, run })],
    // So many that they often end together, and 16 jobs that make a transition together share a row of it.
    workers: 40,
    leaseMs: Number(leaseMs),
    retryBaseMs: 50,
    retryMaxMs: 500,
    onFatal(error) {
      note({ what: 'fatal', message: error.stack })
      process.exit(1)
    },
  })
let system
// As a supervisor would, while the server is away.
while (!system)
  system = await open().catch(async (error) => {
    if (error.code !== 'unavailable') throw error
    await setTimeout(100)
  })
process.once('SIGTERM', async () => {
  await system.stop()
  process.exit(0)
})
await system.start()
console.log('started')
