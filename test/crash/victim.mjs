// A server that is going to be killed. It takes its work from its argument and writes what it sees into a witness file, one JSON line each,
// before anything else happens; a line that its death cut short does not parse.
//
//   node victim.mjs '{ "build", "database", "witness", "run", "settings", "take"? | "load"? | "serve"? | "produce"? | "finish"? }'
//
// `build` is the copy of dist that it runs, `run` its number among those on the file. `take`: takes that edge, once. `load`: works under a
// load that this seed makes, until it is killed. `serve`: serves the API until it is killed or told to end. `produce`: runs no
// jobs, and stores one each so many ms. `finish`: asks again whatever was not acknowledged, runs all there is and ends.
import { openSync, readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { makeLoad, refused } from './victim-load.mjs'
import { scenarios } from './victim-scenarios.mjs'
import { serveOver } from './victim-server.mjs'

const { build, database, witness, run, settings, take, load, serve, produce, finish } = JSON.parse(process.argv[2])
const { createJobSystem, defineHandler, PermanentError, RetryAfterError, SnoozeError } = await import(
  join(build, 'index.js')
)
const { ManualClock, systemClock } = await import(join(build, 'runtime/clock.js'))
const { openSqliteStore } = await import(join(build, 'persistence/sqlite/client.js'))

const file = openSync(witness, 'a')
const note = (what, more) => writeSync(file, `\n${JSON.stringify({ what, run, ...more })}`)

/** Longer than any run lasts. */
const far = 3_600_000
const snoozed = new Set()
/** Jobs that this run has made dead. */
const dead = new Set()
/** Jobs whose handler this run has called. */
const called = new Set()

/** The handlers. A job whose `run` is not this one has had its moment and succeeds. */
const runs = {
  quick() {},
  long: ({ ms }) => setTimeout(ms),
  // Until the process ends, unless it is told to.
  hold: (payload, { signal }) => payload.run === run && setTimeout(far, undefined, { signal }),
  flaky(_, { attempt }) {
    if (attempt === 1) throw new Error('the first attempt fails')
  },
  hopeless() {
    throw new Error('hopeless')
  },
  unmendable() {
    throw new PermanentError('no retry can mend it')
  },
  // Until it is requeued.
  dying(_, { jobId }) {
    if (dead.delete(jobId)) return
    dead.add(jobId)
    throw new PermanentError('a requeue mends it')
  },
  snoozing(payload, { jobId }) {
    if (payload.run !== run || snoozed.has(jobId)) return
    snoozed.add(jobId)
    throw new SnoozeError(20)
  },
  patient(payload) {
    if (payload.run === run) throw new RetryAfterError(far)
  },
}

const anything = { '~standard': { version: 1, vendor: 'victim', validate: (value) => ({ value }) } }
const handlers = Object.entries(runs).map(([type, act]) =>
  defineHandler({
    type,
    payload: anything,
    async run(payload, context) {
      const { jobId: id, attempt, idempotencyToken: token } = context
      note('start', { id, attempt, token, key: payload.key, at: Date.now() })
      if (take) called.add(id)
      let outcome = 'threw'
      try {
        await act(payload, context)
        outcome = 'ended'
      } catch (error) {
        if (error instanceof PermanentError) outcome = 'rejected'
        throw error
      } finally {
        note('effect', { id, attempt, outcome })
      }
      return { id, attempt }
    },
  }),
)

/** How far the clock of a finishing run is ahead of the machine's. */
let aheadMs = 0
function movableClock() {
  const clock = new ManualClock(Date.now())
  setInterval(() => clock.set(Date.now() + aheadMs), 5).unref()
  return clock
}

const system = await createJobSystem({
  database,
  ...(produce ? {} : { handlers }),
  ...settings,
  ...(finish ? { clock: movableClock() } : {}),
  onFatal(error) {
    note('fatal', { message: error.stack })
    process.exit(1)
  },
})

async function ask(jobs) {
  const enqueued = await system.enqueue(jobs)
  note('acknowledged', { jobs: enqueued.map(({ id }, index) => [id, jobs[index].idempotencyKey]) })
  return enqueued.map(({ id }) => id)
}

let otherHands
let heldApart = []
let asked = 0
async function takeOtherHands() {
  otherHands ??= await openSqliteStore({
    path: database,
    owner: null,
    types: Object.keys(runs),
    leaseMs: far,
    maxQueueDepth: 1,
    retentionMs: 0,
    clock: systemClock,
    notify() {},
    longestTimeoutMs: () => 0,
  })
}
/** The tools of a scenario or a load. */
const tools = {
  far,
  /** Stores jobs, each with a key, and returns their ids. */
  enqueue(...given) {
    const jobs = given.map(({ payload = {}, ...job }) => {
      const key = `${run}.${asked++}`
      return { payload: { ...payload, run, key }, idempotencyKey: key, ...job }
    })
    note('asked', { jobs })
    return ask(jobs)
  },
  async command(event, id) {
    note('commanding', { event, id })
    await system[event](id)
    note('commanded', { event, id })
  },
  async amend(id, changes, requeue = false) {
    await takeOtherHands()
    note('amending', { id })
    await otherHands.amend(id, JSON.stringify(changes), null, requeue)
    note('amended', { id })
  },
  async stateOf(id) {
    return (await system.find(id))?.state
  },
  async until(id, state) {
    while ((await tools.stateOf(id)) !== state) await setTimeout(1)
  },
  async untilCalled(id) {
    while (!called.has(id)) await setTimeout(1)
  },
  /** Leases waiting jobs, and does nothing more. */
  async leaseWaiting() {
    await takeOtherHands()
    heldApart = await otherHands.lease({ limit: 1_000, wait: false })
  },
  /** Makes running jobs look as after this many crashes, while they run. */
  async crashAsIf(times) {
    await takeOtherHands()
    for (let crashes = 0; crashes < times; crashes++) {
      await otherHands.recoverOrphans()
      await otherHands.lease({ limit: 1, wait: false, start: true })
    }
  },
  releaseLeased: () => otherHands.apply(heldApart.map(({ id, leaseToken }) => ({ id, leaseToken, event: 'release' }))),
  stop: (graceMs) => system.stop({ graceMs }),
  /** Dies with what it holds: the next process on the file takes the edge. */
  leaveOrphans() {
    note('orphaned')
    process.kill(process.pid, 'SIGKILL')
  },
}

/** Repeats each unacknowledged call unchanged: calls that were stored are not stored twice. */
async function askAgain() {
  const lines = readFileSync(witness, 'utf8').split('\n').flatMap(parsed)
  const known = new Set(lines.flatMap(({ what, jobs }) => (what === 'acknowledged' ? jobs.map(([, key]) => key) : [])))
  for (const { what, jobs } of lines) {
    if (what === 'asked' && !known.has(jobs[0].idempotencyKey)) await ask(jobs)
  }
}

function parsed(line) {
  try {
    return [JSON.parse(line)]
  } catch {
    return []
  }
}

async function untilAllEnded() {
  for (;;) {
    const { blocked, scheduled, queued, leased, running, retrying } = await system.counts()
    if (blocked + scheduled + queued + leased + running + retrying === 0) return
    await setTimeout(5)
  }
}

/** Stores one job each at this interval in ms; what is refused was not stored, or is repeated in the end. */
async function produceEach(ms) {
  for (let n = 0; ; n++) {
    const job = { type: n % 10 === 0 ? 'flaky' : 'quick', queue: 'produced', delayMs: n % 5 === 0 ? 500 : 0 }
    await tools.enqueue(job).catch((error) => {
      refused(error)
      note('refused', { code: error.code })
    })
    await setTimeout(ms)
  }
}

let server
process.on('SIGTERM', async () => {
  await system.stop({ graceMs: 30 })
  if (!serve && !produce) return
  await server?.close(1_000)
  process.exit(0)
})
await system.start()
if (take) {
  const scenario = scenarios[take]
  if (!scenario) throw new Error(`no scenario takes the edge "${take}"`)
  await scenario(tools)
} else if (load !== undefined) {
  process.send('serving')
  await makeLoad(tools, load)
} else if (serve) {
  server = await serveOver(build, system)
  process.send(server.url)
} else if (produce) {
  await produceEach(produce)
} else if (finish) {
  await askAgain()
  // Jobs that wait for a far instant run too.
  aheadMs = 2 * far
  await untilAllEnded()
  await system.stop()
  process.exit(0)
}
