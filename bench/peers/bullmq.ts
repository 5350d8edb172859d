import { Queue, Worker } from 'bullmq'
import type { Peer, PeerOptions, Place } from './peer.ts'

const name = 'noop'

/** One queue and one worker, each with its own connections, as in its documentation. */
export async function open({ port }: Place, { workers, onRun }: PeerOptions): Promise<Peer> {
  const connection = { host: '127.0.0.1', port: port! }
  const queue = new Queue<{ message: string }>(name, { connection })
  await queue.waitUntilReady()
  return {
    async enqueue(message) {
      await queue.add(name, { message })
    },
    async enqueueMany(messages) {
      await queue.addBulk(messages.map((message) => ({ name, data: { message } })))
    },
    async start() {
      const worker = new Worker<{ message: string }>(name, async ({ data }) => onRun(data.message), {
        connection,
        concurrency: workers,
      })
      worker.on('error', console.error)
      await worker.waitUntilReady()
    },
    async left() {
      const { waiting, active } = await queue.getJobCounts('waiting', 'active')
      return waiting! + active!
    },
  }
}
