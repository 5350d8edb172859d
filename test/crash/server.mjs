// A server, or a producer, in a process of its own, for tests that end it by force. It does what its parent tells it over IPC, and writes
// what it saw into a witness file of its own: one JSON line each, before anything else happens.
//
//   node server.mjs '{ "database", "witness", "producer"?, "holdMs"?, "graceMs"?, "aheadMs"?, "endsAtStart"?, "settings": {…} }'
import { copyFileSync, openSync, writeSync } from 'node:fs'
import { connect } from 'node:net'
import { resolve } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { z } from 'zod'

const built = process.env.JOBMACHINE_BUILD ?? resolve(import.meta.dirname, '../../dist')
const { createJobSystem, defineHandler } = await import(`${built}/index.js`)
const { ManualClock } = await import(`${built}/runtime/clock.js`)

const {
  database,
  witness,
  producer = false,
  holdMs = 0,
  graceMs,
  aheadMs = 0,
  endsAtStart = false,
  settings = {},
} = JSON.parse(process.argv[2])
const file = openSync(witness, 'a')
const note = (what, more) => writeSync(file, `${JSON.stringify({ what, at: Date.now(), pid: process.pid, ...more })}\n`)

const spin = (ms) => {
  for (const until = performance.now() + ms; performance.now() < until; );
}

/** The handlers, between the two lines that witness each call. */
const runs = {
  quick() {},
  sleep: ({ ms }) => setTimeout(ms),
  // In the first process it lasts until the kill; in later ones it takes no time.
  hold: () => setTimeout(holdMs),
  stuck: () => new Promise(() => {}),
  polite: (_, { signal }) => setTimeout(600_000, undefined, { signal }),
  report(_, { progress, log }) {
    progress({ done: 1, total: 2 })
    log.info({}, 'half way')
    return setTimeout(holdMs)
  },
  flaky(_, { attempt }) {
    if (attempt === 1) throw new Error('the first attempt fails')
  },
  hopeless() {
    throw new Error('hopeless')
  },
  block: ({ ms }) => spin(ms),
  // Like waiting for a file or another process: the loop is blocked too, but the processor is free for others.
  wait: ({ ms = holdMs }) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms),
  // Ends when the server there has answered.
  ask: ({ port }, { signal }) =>
    new Promise((resolve, reject) => {
      const socket = connect(port, '127.0.0.1').once('data', resolve).once('error', reject)
      signal.addEventListener('abort', () => socket.destroy(signal.reason))
    }),
  poison: () => process.kill(process.pid, 'SIGKILL'),
  exit: () => process.exit(0),
  abort: () => process.abort(),
}

const handlers = Object.entries(runs).map(([type, run]) =>
  defineHandler({
    type,
    payload: z.any(),
    async run(payload, context) {
      note('start', { id: context.jobId, attempt: context.attempt, token: context.idempotencyToken })
      await run(payload, context)
      note('effect', { id: context.jobId, attempt: context.attempt })
    },
  }),
)

const lines = (level) => (fields, message) => note('log', { level, message, fields })
const log = { debug() {}, info: lines('info'), warn: lines('warn'), error: lines('error'), child: () => log }

/** The machine's clock, ahead by this much. */
function clockAhead() {
  const clock = new ManualClock(Date.now() + aheadMs)
  setInterval(() => clock.set(Date.now() + aheadMs), 5).unref()
  return clock
}

const system = await createJobSystem({
  database,
  log,
  ...(aheadMs > 0 ? { clock: clockAhead() } : {}),
  ...settings,
  ...(producer ? {} : { handlers }),
  onFatal(error) {
    note('fatal', { message: error.message })
    process.exit(1)
  },
}).catch((error) => {
  process.send({ refused: { code: error.code, pid: error.pid, message: error.message } }, () => process.exit(75))
  return new Promise(() => {})
})

process.on('SIGTERM', async () => {
  await system.stop(graceMs === undefined ? {} : { graceMs })
  process.exit(0)
})

process.on('message', async ({ call, args, answer }) => {
  try {
    // As an application that makes its own backup.
    if (call === 'copyHere') copyFileSync(args[0], `${args[0]}.copy`)
    if (call === 'copyHere') return process.send({ answer, result: null })
    const result = await system[call](...args)
    if (call === 'enqueue') note('acknowledged', { ids: result.map(({ id }) => id) })
    process.send({ answer, result })
  } catch (error) {
    process.send({ answer, error: { code: error.code, message: error.message } })
  }
})

note('starting')
const start = system.start()
if (endsAtStart) process.kill(process.pid, 'SIGTERM')
// Refused if it was told to stop meanwhile.
await start.then(
  () => process.send({ ready: true }),
  () => {},
)
