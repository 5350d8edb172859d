import { EventEmitter } from 'node:events'
import { MessageChannel } from 'node:worker_threads'
import { afterAll, beforeAll } from 'vitest'
import { answerReads } from '../../src/persistence/sqlite/read/reader-thread.ts'
import { Scanner } from '../../src/persistence/sqlite/read/scanner.ts'
import type { ThreadOptions } from '../../src/persistence/sqlite/thread/protocol.ts'
import { storeThreads } from '../../src/persistence/sqlite/thread/store-threads.ts'
import { runStore } from '../../src/persistence/sqlite/thread/thread.ts'

const startThread = storeThreads.start
const startReader = Scanner.start

/**
 * Runs the store's thread on the test's thread, in every test file that does not call `onThreads`: starting a thread and loading its
 * modules takes longer than most tests of a system. Separate processes, as for crashes, stalls and commands, have their threads in any
 * case.
 */
export function runStoresHere(): void {
  storeThreads.start = startHere
  Scanner.start = startReaderHere
}

/** For files about the thread, or about waiting while another process or the loop is blocked: otherwise the test would be blocked too. */
export function onThreads(): void {
  beforeAll(() => {
    storeThreads.start = startThread
    Scanner.start = startReader
  })
  afterAll(runStoresHere)
}

/** Starts a store's thread on the caller's own thread. */
export function startHere(options: ThreadOptions): ReturnType<typeof storeThreads.start> {
  const { port1: here, port2: there } = new MessageChannel()
  const link = new EventEmitter()
  here.on('message', (message) => link.emit('message', message))
  here.on('close', () => link.emit('exit', 0))
  setImmediate(() => runStore(there, options))
  return Object.assign(link, { postMessage: (message: unknown) => here.postMessage(message) }) as never
}

/** Starts the reads that scan on the caller's own thread. */
function startReaderHere(path: string): ReturnType<typeof Scanner.start> {
  const { port1: here, port2: there } = new MessageChannel()
  const link = new EventEmitter()
  const close = answerReads(there, path)
  here.on('message', (message) => link.emit('message', message))
  here.on('close', () => link.emit('exit', 0))
  return Object.assign(link, {
    postMessage: (message: unknown) => here.postMessage(message),
    terminate: async () => {
      here.close()
      close()
      return 0
    },
  }) as never
}
