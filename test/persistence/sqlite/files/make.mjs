/**
 * Makes a database with jobs in every state, as a process leaves it that was killed: `node make.mjs DIST FILE`. DIST is a build of the commit
 * whose schema the file is to have; see README.md beside this.
 */
import { copyFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

const [dist, file] = [resolve(process.argv[2]), resolve(process.argv[3])]
const { openSqliteStore } = await import(join(dist, 'persistence/sqlite/client.js'))
const { ManualClock } = await import(join(dist, 'runtime/clock.js'))

const clock = new ManualClock(Date.UTC(2026, 0, 1))
const path = `${file}.making`
const open = (retentionMs = 0) =>
  openSqliteStore({
    path,
    clock,
    types: ['work'],
    leaseMs: 30_000,
    maxQueueDepth: 1_000,
    retentionMs,
    retryBaseMs: 1_000,
    retryMaxMs: 60_000,
    owner: { pid: 4711, host: 'fixture', startedAt: '2026-01-01T00:00:00.000Z' },
    newDatabaseId: 'a-database-of-an-earlier-version',
    notify() {},
    longestTimeoutMs: () => 0,
  })
const job = (given = {}) => ({
  type: 'work',
  queue: 'default',
  payload: '{"n":1}',
  priority: 0,
  maxAttempts: 3,
  timeoutMs: null,
  runAt: null,
  delayMs: null,
  idempotency: null,
  unique: null,
  cause: null,
  trace: null,
  ...given,
})

let store = await open(60_000)
const run = async (limit, ...events) => {
  const leased = await store.lease({ limit, wait: false })
  for (const event of ['start', ...events]) {
    const error = event === 'fail' || event === 'reject' ? { name: 'Error', message: 'it failed' } : undefined
    const delayMs = event === 'snooze' || event === 'fail' ? 5_000 : undefined
    const returned = (id) => (event === 'succeed' ? { result: `{"id":${id}}` } : {})
    await store.apply(leased.map(({ id, leaseToken }) => ({ id, leaseToken, event, error, delayMs, ...returned(id) })))
  }
  return leased
}
const enqueue = (count, given) => store.enqueue(Array.from({ length: count }, () => job(given)))

// Removed by retention, but for the newest of them.
await enqueue(3)
await run(3, 'succeed')
clock.advance(120_000)
await store.sweep()
await store.close()
store = await open()
// Succeeded, one with a key; dead at once, and after a retry; cancelled; requeued.
await enqueue(2)
await enqueue(1, { idempotency: { key: 'a-key', content: 'its-content' } })
await run(3, 'succeed')
await enqueue(2)
await run(2, 'reject')
await enqueue(2, { maxAttempts: 2 })
await run(2, 'fail')
clock.advance(5_000)
await store.sweep()
await run(2, 'fail')
await enqueue(2)
await store.send('cancel', 12)
await store.send('requeue', 12)
await store.send('cancel', 11)
await run(1, 'succeed')
// A long history.
await enqueue(1, { priority: 9 })
for (let round = 0; round < 120; round++) {
  await run(1, 'snooze')
  clock.advance(5_000)
  await store.sweep()
}
await run(1, 'succeed')
// A crash while two ran and one was leased; one of them had its last attempt.
await enqueue(1, { maxAttempts: 1 })
await enqueue(1)
await run(2)
await enqueue(1)
await store.lease({ limit: 1, wait: false })
await store.close()
store = await open()
await store.recoverOrphans()
clock.advance(60_000)
await store.sweep()
// Then jobs that wait for their attempts and their instants, one that nobody handles, and what a kill leaves behind.
await run(2, 'fail')
await enqueue(2, { delayMs: 3_600_000 })
const unique = { key: 'k', until: 'ended', onConflict: 'after' }
await enqueue(1, { queue: 'mail', priority: 6, unique })
await enqueue(1, { queue: 'mail', priority: 5 })
await run(1)
// It waits for the one that runs.
await enqueue(1, { unique })
await store.lease({ limit: 1, wait: false })
await enqueue(1, { type: 'unknown here', priority: 9 })
await enqueue(3)
await store.lease({ limit: 2, wait: false })
await store.close()
copyFileSync(path, file)
console.log(file)
