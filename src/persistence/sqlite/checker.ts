import { Worker } from 'node:worker_threads'
import { UnavailableError } from '../../errors.ts'
import { ownThread } from '../../own-thread.ts'
import type { VerifyReport } from '../store.ts'
import type { VerifyTell } from './verify-thread.ts'

/** Checks of the whole file, each on a thread of its own. */
export class Checker {
  readonly #path: string
  readonly #threads = new Set<Worker>()

  constructor(path: string) {
    this.#path = path
  }

  /** Rejects with `UnavailableError` where the file cannot be read, or is closed meanwhile. */
  verify(onProgress: (id: number, lastId: number) => void = () => {}): Promise<VerifyReport> {
    const thread = new Worker(new URL('./verify-thread.js', import.meta.url), { workerData: this.#path, ...ownThread })
    this.#threads.add(thread)
    return new Promise((resolve, reject) => {
      const fail = (why: string) => reject(new UnavailableError(`the database cannot be checked: ${why}`))
      thread.on('message', (tell: VerifyTell) => {
        if ('report' in tell) resolve(tell.report)
        else if ('error' in tell) fail(tell.error)
        else onProgress(tell.id, tell.lastId)
      })
      thread.on('error', (error) => fail(error.message))
      thread.on('exit', () => {
        this.#threads.delete(thread)
        fail('it was ended')
      })
    })
  }

  /** Ends the checks that are under way. */
  async close(): Promise<void> {
    await Promise.all([...this.#threads].map((thread) => thread.terminate()))
  }
}
