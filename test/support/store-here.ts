import { EventEmitter } from 'node:events'
import { MessageChannel } from 'node:worker_threads'
import { afterAll, beforeAll } from 'vitest'
import { type Driver, loadDriver } from '../../src/persistence/postgres/connection.ts'
import { runNode } from '../../src/persistence/postgres/node/thread.ts'
import { nodeThreads } from '../../src/persistence/postgres/nodes.ts'
import { answerReads } from '../../src/persistence/sqlite/read/reader-thread.ts'
import { Scanner } from '../../src/persistence/sqlite/read/scanner.ts'
import type { ThreadOptions } from '../../src/persistence/sqlite/thread/protocol.ts'
import { type ReportMessage, ReportThreads } from '../../src/persistence/sqlite/thread/report-threads.ts'
import { storeThreads } from '../../src/persistence/sqlite/thread/store-threads.ts'
import { runStore } from '../../src/persistence/sqlite/thread/thread.ts'
import { verifyFile } from '../../src/persistence/sqlite/verify/verify.ts'
import type { VerifyReport } from '../../src/persistence/store.ts'

const startThread = storeThreads.start
const startReader = Scanner.start
const startReport = ReportThreads.start
const startNode = nodeThreads.start

/**
 * Runs the threads of stores on the test's thread, in every test file that does not call `onThreads`: starting a thread and loading its
 * modules takes longer than most tests of a system. Separate processes, as for crashes, stalls and commands, have their threads in any
 * case.
 */
export function runStoresHere(): void {
  storeThreads.start = startHere
  Scanner.start = startReaderHere
  ReportThreads.start = startReportHere
  nodeThreads.start = (...given) => startNodeHere(loadDriver())(...given)
}

/** For files about the thread, or about waiting while another process or the loop is blocked: otherwise the test would be blocked too. */
export function onThreads(): void {
  beforeAll(() => {
    storeThreads.start = startThread
    Scanner.start = startReader
    ReportThreads.start = startReport
    nodeThreads.start = startNode
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

/** Checks a file on the caller's own thread; a backup has a thread in any case. */
function startReportHere(script: URL, workerData: unknown): ReturnType<typeof ReportThreads.start> {
  if (!script.href.endsWith('/verify-thread.js')) return startReport(script, workerData)
  const link = new EventEmitter()
  const check = setImmediate(() => {
    link.emit('message', reportOf(workerData as string))
    link.emit('exit', 0)
  })
  return Object.assign(link, {
    terminate: async () => {
      clearImmediate(check)
      return link.emit('exit', 0)
    },
  }) as never
}

function reportOf(path: string): ReportMessage<VerifyReport> {
  try {
    return { report: verifyFile(path, () => {}) }
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) }
  }
}

/** Runs the thread of a node on the caller's own thread, with the driver of a test. */
export function startNodeHere(driver: Driver): typeof nodeThreads.start {
  return (options) => {
    const { port1: here, port2: there } = new MessageChannel()
    const link = new EventEmitter()
    here.on('message', (message) => link.emit('message', message))
    here.on('close', () => link.emit('exit', 0))
    runNode(there, options, driver)
    return Object.assign(link, {
      postMessage: (message: unknown) => here.postMessage(message),
      ref: () => here.ref(),
      unref: () => here.unref(),
      async terminate() {
        here.close()
        return 0
      },
    }) as never
  }
}
