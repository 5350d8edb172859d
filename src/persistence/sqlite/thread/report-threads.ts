import { Worker } from 'node:worker_threads'
import { UnavailableError } from '../../../errors.ts'
import { ownThread } from '../../../runtime/own-thread.ts'

/** The messages of such a thread: its progress, then its result, or why there is none. */
export type ReportMessage<Report> =
  | { readonly done: number; readonly of: number }
  | { readonly report: Report }
  | { readonly error: string }

/** The parts of `Worker` that are used here. */
type ThreadLink = Pick<Worker, 'on' | 'terminate'>

/** Work on a whole file that ends with a report, such as a check or a backup, each on a separate thread. */
export class ReportThreads<Data, Report> {
  /** Starts a thread. Tests replace it to check a file on the loop's thread. */
  static start = (script: URL, workerData: unknown): ThreadLink => new Worker(script, { workerData, ...ownThread })

  readonly #script: URL
  readonly #fault: string
  readonly #threads = new Set<ThreadLink>()

  /** `fault`: the beginning of an error. */
  constructor(script: URL, fault: string) {
    this.#script = script
    this.#fault = fault
  }

  /** Rejects with `UnavailableError` if the work cannot be done, or is ended meanwhile. */
  run(workerData: Data, onProgress: (done: number, of: number) => void = () => {}): Promise<Report> {
    const thread = ReportThreads.start(this.#script, workerData)
    this.#threads.add(thread)
    return new Promise((resolve, reject) => {
      const fail = (why: string) => reject(new UnavailableError(`${this.#fault}: ${why}`))
      thread.on('message', (message: ReportMessage<Report>) => {
        if ('report' in message) resolve(message.report)
        else if ('error' in message) fail(message.error)
        else onProgress(message.done, message.of)
      })
      thread.on('error', (error) => fail(error.message))
      thread.on('exit', () => {
        this.#threads.delete(thread)
        fail('it was stopped')
      })
    })
  }

  /** Ends the running ones; the partial copy of a backup keeps its temporary name. */
  async close(): Promise<void> {
    await Promise.all([...this.#threads].map((thread) => thread.terminate()))
  }
}
