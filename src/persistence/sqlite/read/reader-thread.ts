import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { openForReading } from '../file/connection.ts'
import { Reader } from './reader.ts'

/** The reads that may scan. */
export type Scan = 'list' | 'matching' | 'census' | 'pathOf' | 'jobFacts' | 'transitions'

/**
 * The thread for reads that scan, so that they block neither the loop nor a commit. It is started with the file's path. It answers each
 * request in turn, except that a count by type and a list let others pass.
 */
export type ReadRequest =
  | readonly [callId: number, scan: Scan, given: Parameters<Reader[Scan]>[0]]
  /** The caller no longer waits for that call. */
  | readonly [callId: number, stop: 'stop', given: undefined]
export type ReadReply =
  | readonly [callId: number, answer: Awaited<ReturnType<Reader[Scan]>>]
  | readonly [callId: number, answer: null, error: string]

if (parentPort) answerReads(parentPort, workerData as string)

/** Answers what comes through a port from the file at `path`. Returns what closes the file. */
export function answerReads(port: MessagePort, path: string): () => void {
  let db: ReturnType<typeof openForReading> | undefined
  let reader: Reader | undefined
  /** One for each call in progress. */
  const stops = new Map<number, AbortController>()
  port.on('message', async ([callId, scan, given]: ReadRequest) => {
    if (scan === 'stop') {
      stops.get(callId)?.abort()
      return
    }
    const stop = new AbortController()
    stops.set(callId, stop)
    let answer: ReadReply
    try {
      // Opened here, where it may fail: the next read tries again.
      db ??= openForReading(path)
      reader ??= new Reader(db)
      answer = [callId, await reader[scan](given as never, stop.signal)]
    } catch (error) {
      answer = [callId, null, error instanceof Error ? error.message : String(error)]
    }
    stops.delete(callId)
    port.postMessage(answer)
  })
  return () => db?.close()
}
