import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { Queue, Worker } from 'bunqueue/client'
import type { Peer, PeerOptions, Place } from './peer.ts'

const name = 'noop'

/**
 * Runs only in Bun, embedded; its SQLite uses `synchronous=NORMAL`, which no option changes. It answers without waiting for anything
 * outside, so callers in a loop would keep timers, and with them the worker, from running.
 */
export async function open({ folder, variant }: Place, { workers, onRun }: PeerOptions): Promise<Peer> {
  const embedded = { embedded: true, dataPath: join(folder, 'jobs.db') }
  const queue = new Queue<{ message: string }>(name, {
    ...embedded,
    defaultJobOptions: { durable: variant === 'durable' },
  })
  return {
    async enqueue(message) {
      await queue.add(name, { message })
      await turn()
    },
    async enqueueMany(messages) {
      await queue.addBulk(messages.map((message) => ({ name, data: { message } })))
      await turn()
    },
    async start() {
      new Worker(name, async ({ data }: { data: { message: string } }) => onRun(data.message), {
        ...embedded,
        concurrency: workers,
        batchSize: 100,
        drainDelay: 10,
      })
    },
    async left() {
      const { waiting, active, delayed } = await queue.getJobCountsAsync()
      return waiting + active + delayed
    },
  }
}
