import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { defaults } from '../src/config.ts'
import { openSqliteStore } from '../src/persistence/sqlite/client.ts'
import { lockForServer, thisProcess } from '../src/persistence/sqlite/file/lock.ts'
import { systemClock } from '../src/runtime/clock.ts'
import { orphanCount } from './crashed.ts'
import { noop } from './load.ts'

/**
 * Holds jobs like a server that runs this many at once, which is more than the settings of a system allow: leases and starts them through
 * the store, and waits to be killed.
 */
const path = join(process.argv[2]!, 'jobs.db')
lockForServer(path)
const store = await openSqliteStore({
  ...defaults,
  path,
  types: [noop.type],
  owner: thisProcess(systemClock.now()),
  newDatabaseId: randomUUID(),
  clock: systemClock,
  notify: () => {},
  longestTimeoutMs: () => defaults.jobTimeoutMs,
})
await store.recoverOrphans()
let held = 0
while (held < orphanCount) {
  const jobs = await store.lease({ limit: orphanCount - held, wait: true })
  await store.apply(jobs.map(({ id, leaseToken }) => ({ id, leaseToken, event: 'start' })))
  held += jobs.length
}
process.once('disconnect', () => process.exit())
process.send!('held')
