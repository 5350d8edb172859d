import { parentPort, workerData } from 'node:worker_threads'
import type { ListFilter } from '../store.ts'
import { openForReading } from './connection.ts'
import { Reader } from './reader.ts'

/** The thread for reads that scan: they hold up neither the loop nor a commit. Started with the file's path; answers each in turn. */
export type ReadAsk = readonly [callId: number, filter: ListFilter]
export type ReadTell =
  | readonly [callId: number, page: ReturnType<Reader['list']>]
  | readonly [callId: number, page: null, error: string]

if (parentPort) {
  const port = parentPort
  const reader = new Reader(openForReading(workerData as string))
  port.on('message', ([callId, filter]: ReadAsk) => {
    let answer: ReadTell
    try {
      answer = [callId, reader.list(filter)]
    } catch (error) {
      answer = [callId, null, error instanceof Error ? error.message : String(error)]
    }
    port.postMessage(answer)
  })
}
