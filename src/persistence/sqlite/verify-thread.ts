import { parentPort, workerData } from 'node:worker_threads'
import type { VerifyReport } from '../store.ts'
import { verifyFile } from './verify.ts'

/** What the thread of one check tells: how far it is, then what it found, or why it cannot check. */
export type VerifyTell =
  | { readonly id: number; readonly lastId: number }
  | { readonly report: VerifyReport }
  | { readonly error: string }

/** Between two words about how far it is, in ms. */
const progressMs = 100

if (parentPort) {
  const tell = (what: VerifyTell) => parentPort?.postMessage(what)
  let toldAt = 0
  try {
    const report = verifyFile(workerData as string, (id, lastId) => {
      if (performance.now() - toldAt < progressMs) return
      toldAt = performance.now()
      tell({ id, lastId })
    })
    tell({ report })
  } catch (error) {
    tell({ error: error instanceof Error ? error.message : String(error) })
  }
}
