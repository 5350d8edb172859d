import { Worker } from 'node:worker_threads'
import { ownThread } from '../../../runtime/own-thread.ts'
import type { ThreadOptions } from './protocol.ts'

/** For the thread's short-lived objects: without it V8 uses 9 MB more after a million jobs, and is no faster. */
const youngGenerationMaxMb = 12

/** The parts of `Worker` that the loop uses. */
export type ThreadLink = Pick<Worker, 'on' | 'once' | 'postMessage'>

/** Starts the writing half of the store on a separate thread. One object, which tests replace to run it on the loop's thread. */
export const storeThreads = {
  start(workerData: ThreadOptions): ThreadLink {
    const resourceLimits = { maxYoungGenerationSizeMb: youngGenerationMaxMb }
    return new Worker(new URL('./thread.js', import.meta.url), { workerData, resourceLimits, ...ownThread })
  },
}
