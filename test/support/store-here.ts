import { EventEmitter } from 'node:events'
import { MessageChannel } from 'node:worker_threads'
import type { SqliteStoreOptions, ThreadLink } from '../../src/persistence/sqlite/client.ts'
import type { ThreadOptions } from '../../src/persistence/sqlite/protocol.ts'
import { runStore } from '../../src/persistence/sqlite/thread.ts'
import { type OpenedStore, openStore } from './store.ts'

/**
 * As `openStore` does, but what runs on a thread of its own runs on the test's. To start a thread and load its modules takes longer than most
 * tests of what a store does. Not for what waits for another process or stands still: the test would stand still, too.
 */
export function openStoreHere(options: Partial<SqliteStoreOptions> = {}): Promise<OpenedStore> {
  return openStore(options, startHere)
}

function startHere(options: ThreadOptions): ThreadLink {
  const { port1: here, port2: there } = new MessageChannel()
  const link = new EventEmitter()
  here.on('message', (message) => link.emit('message', message))
  here.on('close', () => link.emit('exit', 0))
  setImmediate(() => runStore(there, options))
  return Object.assign(link, { postMessage: (message: unknown) => here.postMessage(message) }) as never
}
