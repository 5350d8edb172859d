import { Engine } from '../engine.ts'
import { noop } from '../load.ts'
import type { Peer, PeerOptions, Place } from './peer.ts'

/** As a program would run it: the engine of the other benches. */
export async function open({ folder }: Place, options: PeerOptions): Promise<Peer> {
  const { system } = await Engine.open(folder, options)
  const jobOf = (message: string) => ({ ...noop, payload: { message } })
  return {
    async enqueue(message) {
      await system.enqueue(jobOf(message))
    },
    async enqueueMany(messages) {
      await system.enqueue(messages.map(jobOf))
    },
    start: () => system.start(),
    async left() {
      const { queued, leased, running } = await system.counts()
      return queued + leased + running
    },
  }
}
