import { parentPort, workerData } from 'node:worker_threads'
import type { BackupReport } from '../../store.ts'
import type { ReportMessage } from '../thread/report-threads.ts'
import { backUp } from './backup.ts'

export interface BackupData {
  readonly path: string
  readonly target: string
}

/** Ms between two progress reports. */
const progressMs = 100

if (parentPort) {
  const post = (what: ReportMessage<BackupReport>) => parentPort?.postMessage(what)
  const { path, target } = workerData as BackupData
  let toldAt = performance.now()
  try {
    const report = await backUp(path, target, (pages, ofPages) => {
      if (performance.now() - toldAt < progressMs) return
      toldAt = performance.now()
      post({ done: pages, of: ofPages })
    })
    post({ report })
  } catch (error) {
    post({ error: error instanceof Error ? error.message : String(error) })
  }
}
