import { Session } from 'node:inspector'
import { performance } from 'node:perf_hooks'

/** How long the loop must have had little to do, in ms, and how little, as a share of that time. */
const quietMs = 5_000
const quietShare = 0.05

/**
 * Once the process has little to do, gives back the memory that its start took: a fifth of all. V8 does so by itself only after some
 * garbage, which takes an idle process minutes. Once, because it holds up the loop for a tenth of a second.
 */
export function returnMemoryWhenIdle(): void {
  const before = performance.eventLoopUtilization()
  setTimeout(() => {
    if (performance.eventLoopUtilization(before).utilization > quietShare) returnMemoryWhenIdle()
    else returnMemory()
  }, quietMs).unref()
}

/** Only a debugger may ask V8 for this. Nothing depends on it, and Node.js may have been built without one. */
function returnMemory(): void {
  try {
    const session = new Session()
    session.connect()
    session.post('HeapProfiler.enable')
    // Not in the callback: V8 still holds a lock there, for which the end of the session would wait for ever.
    session.post('HeapProfiler.collectGarbage', () => setImmediate(() => session.disconnect()))
  } catch {
    // The memory stays.
  }
}
