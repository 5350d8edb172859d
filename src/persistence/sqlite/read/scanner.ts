import { Worker } from 'node:worker_threads'
import { UnavailableError } from '../../../errors.ts'
import { ownThread } from '../../../runtime/own-thread.ts'
import type { Reader } from './reader.ts'
import type { ReadReply, ReadRequest, Scan } from './reader-thread.ts'

/** The parts of `Worker` that are used here. */
type ThreadLink = Pick<Worker, 'on' | 'postMessage' | 'terminate'>

interface Waiting {
  resolve(answer: never): void
  reject(error: Error): void
}

/** One thread, and its unanswered requests. */
interface Running {
  readonly thread: ThreadLink
  readonly waiting: Map<number, Waiting>
}

/** Reads that scan, on a separate thread, which starts with the first of them. */
export class Scanner {
  /** Starts the thread for a file. Tests replace it to run it on the loop's thread. */
  static start = (path: string): ThreadLink =>
    new Worker(new URL('./reader-thread.js', import.meta.url), { workerData: path, ...ownThread })

  readonly #path: string
  #running: Running | undefined
  #lastCall = 0
  #closed = false

  constructor(path: string) {
    this.#path = path
  }

  /** Rejects with `UnavailableError` if the file cannot be read now, and with the reason of `signal` once that fires. */
  async scan<S extends Scan>(
    scan: S,
    given: Parameters<Reader[S]>[0],
    signal?: AbortSignal,
  ): Promise<Awaited<ReturnType<Reader[S]>>> {
    if (this.#closed) throw new UnavailableError('the system is stopped')
    signal?.throwIfAborted()
    this.#running ??= this.#start()
    const { thread, waiting } = this.#running
    const callId = ++this.#lastCall
    thread.postMessage([callId, scan, given] satisfies ReadRequest)
    const stop = () => {
      thread.postMessage([callId, 'stop', undefined] satisfies ReadRequest)
      waiting.get(callId)?.reject(signal!.reason)
    }
    signal?.addEventListener('abort', stop)
    try {
      return await new Promise<never>((resolve, reject) => waiting.set(callId, { resolve, reject }))
    } finally {
      waiting.delete(callId)
      signal?.removeEventListener('abort', stop)
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#running?.thread.terminate()
  }

  #start(): Running {
    const thread = Scanner.start(this.#path)
    const running: Running = { thread, waiting: new Map() }
    thread.on('message', ([callId, answer, error]: ReadReply) => {
      const call = running.waiting.get(callId)
      if (error === undefined) call?.resolve(answer as never)
      else call?.reject(new UnavailableError(`the database cannot be read: ${error}`))
    })
    thread.on('error', (error) => this.#end(running, error))
    thread.on('exit', () => this.#end(running, new Error('its thread ended')))
    return running
  }

  /** The thread's requests fail. The next read starts another thread, or may have done so already. */
  #end(ended: Running, cause: Error): void {
    if (this.#running === ended) this.#running = undefined
    for (const { reject } of ended.waiting.values()) {
      reject(new UnavailableError(`the database cannot be read: ${cause.message}`, { cause }))
    }
  }
}
