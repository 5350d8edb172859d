import { Queue, Worker } from 'bullmq'
import type { Peer, PeerOptions, Place } from './peer.ts'

const name = 'noop'
const retries = { attempts: 4, backoff: { type: 'fixed', delay: 10 } }

/** One queue and one worker, each with its own connections, as in its documentation. Mixed jobs are all in that queue: a worker has one. */
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
    async enqueueMixed(jobs) {
      const added = jobs.map(({ type, payload, priority = 0, idempotencyKey: jobId, delayMs: delay = 0 }) => ({
        name: type,
        data: payload,
        opts: { ...retries, delay, ...(priority > 0 && { priority }), ...(jobId && { jobId }) },
      }))
      await (added.length === 1 ? queue.add(added[0]!.name, added[0]!.data, added[0]!.opts) : queue.addBulk(added))
    },
    async start() {
      const worker = new Worker<{ message: string }>(
        name,
        async ({ data, attemptsMade }) => onRun(data.message, { attempt: attemptsMade + 1 }),
        {
          connection,
          concurrency: workers,
        },
      )
      worker.on('error', console.error)
      await worker.waitUntilReady()
    },
    async left() {
      const counts = await queue.getJobCounts('waiting', 'active', 'delayed', 'prioritized')
      return Object.values(counts).reduce((sum, count) => sum + count, 0)
    },
  }
}
