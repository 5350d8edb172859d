import { Worker } from 'node:worker_threads'
import { UnavailableError } from '../../errors.ts'
import { ownThread } from '../../own-thread.ts'
import type { BackupReport } from '../store.ts'
import type { OnCopied } from './backup.ts'
import type { BackupData, BackupTell } from './backup-thread.ts'

/** Backups of the file, each on a thread of its own. */
export class Backups {
  readonly #path: string
  readonly #threads = new Set<Worker>()

  constructor(path: string) {
    this.#path = path
  }

  /** Rejects with `UnavailableError` where it cannot be made, or the store is closed meanwhile; then there is no file `target`. */
  make(target: string, onCopied: OnCopied = () => {}): Promise<BackupReport> {
    const workerData: BackupData = { path: this.#path, target }
    const thread = new Worker(new URL('./backup-thread.js', import.meta.url), { workerData, ...ownThread })
    this.#threads.add(thread)
    return new Promise((resolve, reject) => {
      const fail = (why: string) => reject(new UnavailableError(`no backup was made: ${why}`))
      thread.on('message', (tell: BackupTell) => {
        if ('report' in tell) resolve(tell.report)
        else if ('error' in tell) fail(tell.error)
        else onCopied(tell.pages, tell.ofPages)
      })
      thread.on('error', (error) => fail(error.message))
      thread.on('exit', () => {
        this.#threads.delete(thread)
        fail('it was ended')
      })
    })
  }

  /** Ends those that are under way; what they had copied stays under a name of its own. */
  async close(): Promise<void> {
    await Promise.all([...this.#threads].map((thread) => thread.terminate()))
  }
}
