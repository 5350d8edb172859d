import { parentPort, workerData } from 'node:worker_threads'
import type { BackupReport } from '../store.ts'
import { backUp } from './backup.ts'

/** What the thread of one backup tells: how far it is, then what it made, or why it did not. */
export type BackupTell =
  | { readonly pages: number; readonly ofPages: number }
  | { readonly report: BackupReport }
  | { readonly error: string }

export interface BackupData {
  readonly path: string
  readonly target: string
}

/** Between two words about how far it is, in ms. */
const progressMs = 100

if (parentPort) {
  const tell = (what: BackupTell) => parentPort?.postMessage(what)
  const { path, target } = workerData as BackupData
  let toldAt = performance.now()
  try {
    const report = await backUp(path, target, (pages, ofPages) => {
      if (performance.now() - toldAt < progressMs) return
      toldAt = performance.now()
      tell({ pages, ofPages })
    })
    tell({ report })
  } catch (error) {
    tell({ error: error instanceof Error ? error.message : String(error) })
  }
}
