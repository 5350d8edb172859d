import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { sql } from 'drizzle-orm'
import { buildDBClient, Runner, SqliteQueue } from 'liteque'
import type { Peer, PeerOptions, Place } from './peer.ts'

/** Variant `full` sets `synchronous=FULL`, for which liteque has no option. It also has no call for many jobs. */
export async function open({ folder, variant }: Place, { workers, onRun }: PeerOptions): Promise<Peer> {
  const db = buildDBClient(join(folder, 'jobs.db'), { runMigrations: true })
  if (variant === 'full') db.run(sql`PRAGMA synchronous = FULL`)
  // Its runner's transactions return a promise, which better-sqlite3 refuses since 11.10. Earlier versions committed them empty, and their
  // statements ran afterwards, one by one, as they do here.
  db.transaction = (work) => work(db as never)
  const queue = new SqliteQueue<{ message: string }>('noop', db, {
    defaultJobArgs: { numRetries: 3 },
    keepFailedJobs: false,
  })
  const run = async ({ data }: { data: { message: string } }) => onRun(data.message)
  const runner = new Runner(queue, { run }, { concurrency: workers, pollIntervalMs: 10, timeoutSecs: 60 })
  return {
    async enqueue(message) {
      await queue.enqueue({ message })
      // It waits for nothing outside, so callers in a loop would keep timers, and with them the runner, from running.
      await turn()
    },
    async start() {
      void runner.run()
    },
    async left() {
      const { pending, pending_retry, running } = await queue.stats()
      return pending + pending_retry + running
    },
  }
}
