import { Logger, makeWorkerUtils, run } from 'graphile-worker'
import { Client } from 'pg'
import { mixedTypes } from '../mixed.ts'
import type { Peer, PeerOptions, Place } from './peer.ts'
import { urlOf } from './postgres.ts'
import { serverCpu } from './server-cpu.ts'

const task = 'noop'
/** As its documentation measures it: worker.graphile.org/docs/performance. */
const batched = { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 }

/**
 * Enqueues by its own functions, each a separate SQL statement; a finished job is deleted. Mixed jobs are in no queue, because it runs one job
 * of a queue at a time.
 */
export async function open({ port, variant }: Place, { workers, onRun }: PeerOptions): Promise<Peer> {
  const connectionString = urlOf(port)
  const logger = new Logger(() => () => {})
  const utils = await makeWorkerUtils({ connectionString, logger })
  await utils.migrate()
  const client = new Client({ connectionString })
  await client.connect()
  const handle = async (payload: unknown) => onRun((payload as { message: string }).message)
  return {
    async enqueue(message) {
      await utils.addJob(task, { message })
    },
    async enqueueMany(messages) {
      await utils.addJobs(messages.map((message) => ({ identifier: task, payload: { message } })))
    },
    async enqueueMixed(jobs) {
      const added = jobs.map(({ type: identifier, payload, priority = 0, idempotencyKey: jobKey, delayMs }) => ({
        identifier,
        payload,
        // The lowest goes first.
        priority: -priority,
        ...(jobKey && { jobKey }),
        ...(delayMs && { runAt: new Date(Date.now() + delayMs) }),
      }))
      await (added.length === 1
        ? utils.addJob(added[0]!.identifier, added[0]!.payload, added[0])
        : utils.addJobs(added))
    },
    async start() {
      await run({
        preset: {
          worker: { connectionString, concurrentJobs: workers, ...(variant === 'batched' ? batched : {}) },
        },
        logger,
        parsedCronItems: [],
        taskList: Object.fromEntries([task, ...mixedTypes].map((name) => [name, handle])),
      })
    },
    async left() {
      const { rows } = await client.query<{ count: string }>('SELECT count(*) FROM graphile_worker._private_jobs')
      return Number(rows[0]!.count)
    },
    serverCpu: () => serverCpu(client),
  }
}
