import { EventEmitter } from 'node:events'
import { MessageChannel } from 'node:worker_threads'
import { afterAll, beforeAll } from 'vitest'
import { storeThreads } from '../../src/persistence/sqlite/client.ts'
import type { ThreadOptions } from '../../src/persistence/sqlite/thread/protocol.ts'
import { runStore } from '../../src/persistence/sqlite/thread/thread.ts'

const startThread = storeThreads.start

/**
 * What runs on a thread of its own runs on the test's, in every test file that does not ask for `onThreads`: to start a thread and load its
 * modules takes longer than most tests of what a system does. What runs in processes of its own, as crashes, stalls and commands do, has
 * its threads in any case.
 */
export function runStoresHere(): void {
  storeThreads.start = startHere
}

/** For files whose subject is the thread, or what waits while another process or the loop stands still: the test would stand still, too. */
export function onThreads(): void {
  beforeAll(() => {
    storeThreads.start = startThread
  })
  afterAll(runStoresHere)
}

/** Starts a store's thread on the caller's own. */
export function startHere(options: ThreadOptions): ReturnType<typeof storeThreads.start> {
  const { port1: here, port2: there } = new MessageChannel()
  const link = new EventEmitter()
  here.on('message', (message) => link.emit('message', message))
  here.on('close', () => link.emit('exit', 0))
  setImmediate(() => runStore(there, options))
  return Object.assign(link, { postMessage: (message: unknown) => here.postMessage(message) }) as never
}
