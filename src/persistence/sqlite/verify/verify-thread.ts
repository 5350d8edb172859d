import { parentPort, workerData } from 'node:worker_threads'
import type { VerifyReport } from '../../store.ts'
import type { ReportMessage } from '../thread/report-threads.ts'
import { verifyFile } from './verify.ts'

/** Ms between two progress reports. */
const progressMs = 100

if (parentPort) {
  const post = (what: ReportMessage<VerifyReport>) => parentPort?.postMessage(what)
  let toldAt = 0
  try {
    const report = verifyFile(workerData as string, (id, lastId) => {
      if (performance.now() - toldAt < progressMs) return
      toldAt = performance.now()
      post({ done: id, of: lastId })
    })
    post({ report })
  } catch (error) {
    post({ error: error instanceof Error ? error.message : String(error) })
  }
}
