// For each edge of the machine, and each removal by retention, what makes a job take it: done by `victim.mjs`, in a process that dies when
// the job takes it. Other jobs of the file may take the edge earlier, which is just as good.

const quick = { type: 'quick' }
const hold = { type: 'hold' }
const hopeless = { type: 'hopeless', maxRetries: 0 }

/** A job that runs and does not end. */
async function hung({ enqueue, untilCalled }, more = {}) {
  const [id] = await enqueue({ ...hold, ...more })
  await untilCalled(id)
  return id
}

/**
 * A job that is leased but not started, beside the only worker, which hangs. The dispatcher never leaves one like that, so it is leased
 * directly.
 */
async function leased(tools) {
  await hung(tools)
  const [id] = await tools.enqueue(quick)
  await tools.leaseWaiting()
  return id
}

/** Ended jobs to be removed by the next process, and one more, because the newest event of the file stays. */
async function ended({ enqueue, until, command, far, leaveOrphans }) {
  const [done, cancelled, dead] = await enqueue(quick, { ...quick, delayMs: far }, { type: 'unmendable' })
  await command('cancel', cancelled)
  await until(done, 'succeeded')
  await until(dead, 'dead')
  await enqueue({ ...quick, delayMs: far })
  leaveOrphans()
}

/** A job that waits for one that runs; returns the ids of both. */
async function blocked(tools, more = {}) {
  const unique = { key: `${process.pid}`, onConflict: 'after' }
  const first = await hung(tools, { unique })
  const [second] = await tools.enqueue({ ...hold, unique, ...more })
  return [first, second]
}

/** By edge, `from event to`. */
export const scenarios = {
  'new enqueue scheduled': ({ enqueue, far }) => enqueue({ ...quick, delayMs: far }, { ...quick, delayMs: 1 }),
  'new enqueue blocked': blocked,
  'blocked unblock queued': async (tools) => {
    const [first] = await blocked(tools)
    await tools.command('cancel', first)
  },
  'blocked unblock scheduled': async (tools) => {
    const [first] = await blocked(tools, { delayMs: 1_000 })
    await tools.command('cancel', first)
  },
  'blocked cancel cancelled': async (tools) => {
    const [, second] = await blocked(tools)
    await tools.command('cancel', second)
  },
  'blocked amend blocked': async (tools) => {
    const [, second] = await blocked(tools)
    await tools.amend(second, { priority: 3 })
  },
  'new enqueue queued': ({ enqueue }) => enqueue(...Array.from({ length: 1_000 }, () => quick)),
  'scheduled due queued': ({ enqueue }) => enqueue({ ...quick, delayMs: 1 }),
  'scheduled cancel cancelled': async ({ enqueue, command, far }) => {
    const [id] = await enqueue({ ...quick, delayMs: far })
    await command('cancel', id)
  },
  'scheduled amend scheduled': async ({ enqueue, amend, far }) => {
    const [id] = await enqueue({ ...quick, delayMs: far })
    await amend(id, { priority: 3, maxAttempts: 9 })
  },
  'scheduled amend queued': async ({ enqueue, amend, far }) => {
    const [id] = await enqueue({ ...quick, delayMs: far })
    await amend(id, { delayMs: 0 })
  },
  'queued amend queued': async (tools) => {
    await hung(tools)
    const [id] = await tools.enqueue(quick)
    await tools.amend(id, { priority: 3 })
  },
  'queued amend scheduled': async (tools) => {
    await hung(tools)
    const [id] = await tools.enqueue(quick)
    await tools.amend(id, { delayMs: 1_000 })
  },
  'queued lease leased': ({ enqueue }) => enqueue(quick),
  'queued cancel cancelled': async (tools) => {
    await hung(tools)
    const waiting = await tools.enqueue(quick, quick, quick)
    await tools.command('cancel', waiting.at(-1))
  },
  'leased start running': ({ enqueue }) => enqueue(quick),
  'leased release queued': async (tools) => {
    await leased(tools)
    await tools.releaseLeased()
  },
  'leased expire queued': async (tools) => {
    await leased(tools)
    tools.leaveOrphans()
  },
  'leased cancel cancelled': async (tools) => {
    await tools.command('cancel', await leased(tools))
  },
  'running succeed succeeded': ({ enqueue }) => enqueue(quick),
  'running fail retrying': ({ enqueue }) => enqueue({ type: 'flaky' }),
  'running fail dead': ({ enqueue }) => enqueue(hopeless),
  'running reject dead': ({ enqueue }) => enqueue({ type: 'unmendable' }),
  'running snooze scheduled': ({ enqueue }) => enqueue({ type: 'snoozing' }),
  'running release queued': async (tools) => {
    await hung(tools)
    await tools.stop(0)
  },
  'running expire retrying': async (tools) => {
    await hung(tools)
    tools.leaveOrphans()
  },
  'running expire dead': async (tools) => {
    await hung(tools)
    await tools.crashAsIf(3)
    tools.leaveOrphans()
  },
  'running cancel cancelled': async (tools) => {
    await tools.command('cancel', await hung(tools))
  },
  'retrying due queued': ({ enqueue }) => enqueue({ type: 'flaky' }),
  'retrying cancel cancelled': async ({ enqueue, until, command }) => {
    const [id] = await enqueue({ type: 'patient' })
    await until(id, 'retrying')
    await command('cancel', id)
  },
  'retrying amend retrying': async ({ enqueue, until, amend }) => {
    const [id] = await enqueue({ type: 'patient' })
    await until(id, 'retrying')
    await amend(id, { priority: 3 })
  },
  'retrying amend queued': async ({ enqueue, until, amend }) => {
    const [id] = await enqueue({ type: 'patient' })
    await until(id, 'retrying')
    await amend(id, { delayMs: 0 })
  },
  'dead cancel cancelled': async ({ enqueue, until, command }) => {
    const [id] = await enqueue(hopeless)
    await until(id, 'dead')
    await command('cancel', id)
  },
  'dead requeue queued': async ({ enqueue, until, command }) => {
    const [id] = await enqueue(hopeless)
    await until(id, 'dead')
    await command('requeue', id)
  },
  'cancelled requeue queued': async ({ enqueue, command, far }) => {
    const [id] = await enqueue({ ...quick, delayMs: far })
    await command('cancel', id)
    await command('requeue', id)
  },
  'succeeded retention': ended,
  'cancelled retention': ended,
  'dead retention': ended,
}
