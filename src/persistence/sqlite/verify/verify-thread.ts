import { parentPort, workerData } from 'node:worker_threads'
import type { VerifyReport } from '../../store.ts'
import type { ReportTell } from '../thread/report-threads.ts'
import { verifyFile } from './verify.ts'

/** Between two words about how far it is, in ms. */
const progressMs = 100

if (parentPort) {
  const tell = (what: ReportTell<VerifyReport>) => parentPort?.postMessage(what)
  let toldAt = 0
  try {
    const report = verifyFile(workerData as string, (id, lastId) => {
      if (performance.now() - toldAt < progressMs) return
      toldAt = performance.now()
      tell({ done: id, of: lastId })
    })
    tell({ report })
  } catch (error) {
    tell({ error: error instanceof Error ? error.message : String(error) })
  }
}
