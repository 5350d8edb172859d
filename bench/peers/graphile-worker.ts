import { Logger, makeWorkerUtils, run } from 'graphile-worker'
import { Client } from 'pg'
import type { Peer, PeerOptions, Place } from './peer.ts'
import { urlOf } from './postgres.ts'
import { serverCpu } from './server-cpu.ts'

const task = 'noop'
/** As its documentation measures it: worker.graphile.org/docs/performance. */
const batched = { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 }

/** Enqueues by its own functions, each a separate SQL statement; a finished job is deleted. */
export async function open({ port, variant }: Place, { workers, onRun }: PeerOptions): Promise<Peer> {
  const connectionString = urlOf(port)
  const logger = new Logger(() => () => {})
  const utils = await makeWorkerUtils({ connectionString, logger })
  await utils.migrate()
  const client = new Client({ connectionString })
  await client.connect()
  return {
    async enqueue(message) {
      await utils.addJob(task, { message })
    },
    async enqueueMany(messages) {
      await utils.addJobs(messages.map((message) => ({ identifier: task, payload: { message } })))
    },
    async start() {
      await run({
        preset: {
          worker: { connectionString, concurrentJobs: workers, ...(variant === 'batched' ? batched : {}) },
        },
        logger,
        parsedCronItems: [],
        taskList: { [task]: async (payload) => onRun((payload as { message: string }).message) },
      })
    },
    async left() {
      const { rows } = await client.query<{ count: string }>('SELECT count(*) FROM graphile_worker._private_jobs')
      return Number(rows[0]!.count)
    },
    serverCpu: () => serverCpu(client),
  }
}
