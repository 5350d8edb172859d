import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import Database from 'better-sqlite3'
import { better, defineQueue, defineWorker, JobStatus } from 'plainjob'
import type { Peer, PeerOptions, Place } from './peer.ts'

const type = 'noop'
const logger = { error: console.error, warn() {}, info() {}, debug() {} }

/** Variant `full` sets `synchronous=FULL`, for which plainjob has no option. */
export async function open({ folder, variant }: Place, { workers, onRun }: PeerOptions): Promise<Peer> {
  const connection = better(new Database(join(folder, 'jobs.db')))
  const queue = defineQueue({ connection, logger })
  if (variant === 'full') connection.pragma('synchronous = FULL')
  const handle = ({ data }: { data: string }) => onRun((JSON.parse(data) as { message: string }).message)
  return {
    async enqueue(message) {
      queue.add(type, { message })
      // It answers at once, so callers in a loop would keep timers, and with them the workers, from running.
      await turn()
    },
    async enqueueMany(messages) {
      queue.addMany(
        type,
        messages.map((message) => ({ message })),
      )
      await turn()
    },
    async start() {
      for (let count = 0; count < workers; count++) {
        void defineWorker(type, handle, { queue, logger, pollIntervall: 10 }).start()
      }
    },
    async left() {
      const count = (status: JobStatus) => queue.countJobs({ type, status })
      return count(JobStatus.Pending) + count(JobStatus.Processing)
    },
  }
}
