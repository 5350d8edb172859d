import { Worker } from 'node:worker_threads'
import { UnavailableError } from '../../errors.ts'
import type { ReadAsk, ReadTell, Scan, ScanAnswer, ScanGiven } from './reader-thread.ts'

/** Reads that scan, on a thread of their own, which starts with the first of them. */
export class Scanner {
  readonly #path: string
  readonly #waiting = new Map<number, { resolve(answer: never): void; reject(error: Error): void }>()
  #thread: Worker | undefined
  #lastCall = 0

  constructor(path: string) {
    this.#path = path
  }

  /** Rejects with `UnavailableError` where the file cannot be read now. */
  scan<S extends Scan>(scan: S, given: ScanGiven<S>): Promise<ScanAnswer<S>> {
    this.#thread ??= this.#start()
    const callId = ++this.#lastCall
    this.#thread.postMessage([callId, scan, given] satisfies ReadAsk)
    return new Promise((resolve, reject) => this.#waiting.set(callId, { resolve, reject }))
  }

  async close(): Promise<void> {
    await this.#thread?.terminate()
  }

  #start(): Worker {
    const thread = new Worker(new URL('./reader-thread.js', import.meta.url), { workerData: this.#path })
    thread.on('message', ([callId, answer, error]: ReadTell) => {
      const waiting = this.#waiting.get(callId)
      this.#waiting.delete(callId)
      if (error === undefined) waiting?.resolve(answer as never)
      else waiting?.reject(new UnavailableError(`the database cannot be read: ${error}`))
    })
    // The next list starts it anew.
    thread.on('error', (error) => this.#end(error))
    thread.on('exit', () => this.#end(new Error('its thread ended')))
    return thread
  }

  #end(cause: Error): void {
    this.#thread = undefined
    for (const { reject } of this.#waiting.values()) {
      reject(new UnavailableError(`the database cannot be read: ${cause.message}`, { cause }))
    }
    this.#waiting.clear()
  }
}
