import { Client } from 'pg'
import { PgBoss } from 'pg-boss'
import type { Peer, PeerOptions, Place } from './peer.ts'
import { urlOf } from './postgres.ts'
import { serverCpu } from './server-cpu.ts'

const queue = 'noop'

/**
 * Variant `tuned` takes as many jobs at once in one batch, and the next batch at once after a full one: the fastest of the ways that were
 * tried.
 */
export async function open({ port, variant }: Place, { workers, onRun }: PeerOptions): Promise<Peer> {
  const isTuned = variant === 'tuned'
  const connectionString = urlOf(port)
  const boss = new PgBoss({ connectionString, useListenNotify: isTuned })
  boss.on('error', console.error)
  await boss.start()
  await boss.createQueue(queue, { notify: isTuned })
  const client = new Client({ connectionString })
  await client.connect()
  return {
    async enqueue(message) {
      await boss.send(queue, { message })
    },
    async enqueueMany(messages) {
      await boss.insert(
        queue,
        messages.map((message) => ({ data: { message } })),
      )
    },
    async start() {
      await boss.work<{ message: string }>(
        queue,
        isTuned ? { batchSize: workers, burstWhenBatchFull: true } : { localConcurrency: workers },
        async (jobs) => {
          for (const { data } of jobs) onRun(data.message)
        },
      )
    },
    async left() {
      const { rows } = await client.query<{ count: string }>(
        `SELECT count(*) FROM pgboss.job WHERE name = $1 AND state < 'completed'`,
        [queue],
      )
      return Number(rows[0]!.count)
    },
    serverCpu: () => serverCpu(client),
  }
}
