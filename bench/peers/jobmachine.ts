import { Client } from 'pg'
import { Engine } from '../engine.ts'
import { noop } from '../load.ts'
import type { Peer, PeerOptions, Place } from './peer.ts'
import { urlOf } from './postgres.ts'
import { serverCpu } from './server-cpu.ts'

/** As a program would run it: the engine of the other benches, on a file or on a server. */
export async function open({ folder, port }: Place, options: PeerOptions): Promise<Peer> {
  const postgres = port === undefined ? undefined : urlOf(port)
  const { system } = await Engine.open(folder, {
    ...options,
    ...(postgres && { postgres: { connectionString: postgres } }),
  })
  const jobOf = (message: string) => ({ ...noop, payload: { message } })
  const client = postgres === undefined ? undefined : new Client({ connectionString: postgres })
  await client?.connect()
  return {
    async enqueue(message) {
      await system.enqueue(jobOf(message))
    },
    async enqueueMany(messages) {
      await system.enqueue(messages.map(jobOf))
    },
    async enqueueMixed(jobs) {
      await (jobs.length === 1 ? system.enqueue(jobs[0]!) : system.enqueue(jobs))
    },
    start: () => system.start(),
    async left() {
      const { scheduled, queued, leased, running, retrying } = await system.counts()
      return scheduled + queued + leased + running + retrying
    },
    ...(client && { serverCpu: () => serverCpu(client) }),
  }
}
